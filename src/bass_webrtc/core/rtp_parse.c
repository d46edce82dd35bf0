#include "rtp_parse.h"

#include "byte_order.h"

#include <string.h>

#define FIXED_HEADER_BYTES 12

/* Returns the length of a header extension in bytes (RFC 3550, 5.3.1); 0 when it runs past the end. */
static uint32_t skip_extension(const uint8_t *data, uint32_t length) {
    if (length < 4)
        return 0;
    uint32_t bytes = 4u * bw_read_u16(data + 2);
    return bytes <= length - 4 ? bytes + 4 : 0;
}

bool bw_rtp_parse_header(bw_rtp_packet *packet, const uint8_t *data, uint32_t length) {
    memset(packet, 0, sizeof *packet);
    if (length < FIXED_HEADER_BYTES || data[0] >> 6 != 2)
        return false;
    packet->csrc_count = data[0] & 0x0F;
    packet->marker = data[1] >> 7;
    packet->payload_type = data[1] & 0x7F;
    packet->sequence = (uint16_t)bw_read_u16(data + 2);
    packet->timestamp = bw_read_u32(data + 4);
    packet->ssrc = bw_read_u32(data + 8);
    uint32_t used = FIXED_HEADER_BYTES + 4u * packet->csrc_count;
    if (used > length)
        return false;
    if (data[0] & 0x10) {
        uint32_t extension = skip_extension(data + used, length - used);
        if (extension == 0)
            return false;
        used += extension;
    }
    packet->payload = data + used;
    packet->payload_bytes = length - used;
    return true;
}

bool bw_rtp_parse(bw_rtp_packet *packet, const uint8_t *data, uint32_t length) {
    if (!bw_rtp_parse_header(packet, data, length))
        return false;
    if (data[0] & 0x20) {
        /* The last byte is the padding length and counts itself (RFC 3550, 5.1). */
        uint32_t padding = data[length - 1];
        if (padding == 0 || padding > packet->payload_bytes)
            return false;
        packet->payload_bytes -= padding;
    }
    return true;
}

uint32_t bw_red_parse(bw_red_block blocks[BW_RED_MAX_BLOCKS], const uint8_t *payload, uint32_t length,
                      uint32_t timestamp) {
    uint32_t at = 0, count = 0;
    /* RFC 2198, 3: F | type 7 bits, then offset 14 | length 10; the header of the primary block is only its type. */
    while (at < length && payload[at] & 0x80) {
        if (length - at < 4 || count == BW_RED_MAX_BLOCKS - 1)
            return 0;
        uint32_t header = bw_read_u32(payload + at);
        blocks[count].payload_type = header >> 24 & 0x7F;
        blocks[count].timestamp = timestamp - (header >> 10 & 0x3FFF);
        blocks[count].bytes = header & 0x3FF;
        at += 4;
        count++;
    }
    if (at == length)
        return 0;
    blocks[count].payload_type = payload[at++];
    blocks[count].timestamp = timestamp;
    for (uint32_t i = 0; i < count; i++) {
        if (blocks[i].bytes > length - at)
            return 0;
        blocks[i].data = payload + at;
        at += blocks[i].bytes;
    }
    blocks[count].data = payload + at;
    blocks[count].bytes = length - at;
    return count + 1;
}
