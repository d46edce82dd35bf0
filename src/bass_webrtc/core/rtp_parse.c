#include "rtp_parse.h"

#include <stddef.h>
#include <string.h>

#define FIXED_HEADER_BYTES 12
#define ONE_BYTE_PROFILE 0xBEDE
#define TWO_BYTE_PROFILE 0x1000 /* The lower four bits are the application's (RFC 8285, 4.3). */

static uint16_t read_16(const uint8_t *data) { return (uint16_t)(data[0] << 8 | data[1]); }

static uint32_t read_32(const uint8_t *data) { return (uint32_t)read_16(data) << 16 | read_16(data + 2); }

/* RFC 3550, 5.3.1. Returns the bytes it takes, 0 when it runs past the end. */
static uint32_t parse_extension(bw_rtp_packet *packet, const uint8_t *data, uint32_t length) {
    if (length < 4)
        return 0;
    packet->extension_profile = read_16(data);
    packet->extension_bytes = 4u * read_16(data + 2);
    packet->extension = data + 4;
    return packet->extension_bytes <= length - 4 ? packet->extension_bytes + 4 : 0;
}

bool bw_rtp_parse(bw_rtp_packet *packet, const uint8_t *data, uint32_t length) {
    memset(packet, 0, sizeof *packet);
    if (length < FIXED_HEADER_BYTES || data[0] >> 6 != 2)
        return false;
    packet->csrc_count = data[0] & 0x0F;
    packet->marker = data[1] >> 7;
    packet->payload_type = data[1] & 0x7F;
    packet->sequence = read_16(data + 2);
    packet->timestamp = read_32(data + 4);
    packet->ssrc = read_32(data + 8);
    uint32_t used = FIXED_HEADER_BYTES + 4u * packet->csrc_count;
    if (used > length)
        return false;
    if (data[0] & 0x10) {
        uint32_t extension = parse_extension(packet, data + used, length - used);
        if (extension == 0)
            return false;
        used += extension;
    }
    uint32_t padding = 0;
    if (data[0] & 0x20) {
        /* The last byte counts itself (RFC 3550, 5.1). */
        padding = data[length - 1];
        if (padding == 0 || padding > length - used)
            return false;
    }
    packet->payload = data + used;
    packet->payload_bytes = length - used - padding;
    return true;
}

/* RFC 8285, 4.2: id and length - 1 share a byte; id 0 is padding, id 15 ends the reading. */
static const uint8_t *find_one_byte(const uint8_t *data, uint32_t bytes, uint8_t id, uint32_t *length) {
    for (uint32_t at = 0; at < bytes;) {
        uint8_t found = data[at] >> 4;
        uint32_t size = (data[at] & 0x0F) + 1u;
        at++;
        if (found == 0)
            continue;
        if (found == 15 || size > bytes - at)
            return NULL;
        if (found == id) {
            *length = size;
            return data + at;
        }
        at += size;
    }
    return NULL;
}

/* RFC 8285, 4.3: a byte each; id 0 is padding, of one byte. */
static const uint8_t *find_two_byte(const uint8_t *data, uint32_t bytes, uint8_t id, uint32_t *length) {
    for (uint32_t at = 0; at < bytes;) {
        uint8_t found = data[at++];
        if (found == 0)
            continue;
        if (at == bytes || data[at] > bytes - at - 1)
            return NULL;
        uint32_t size = data[at++];
        if (found == id) {
            *length = size;
            return data + at;
        }
        at += size;
    }
    return NULL;
}

const uint8_t *bw_rtp_find_extension(const bw_rtp_packet *packet, uint8_t id, uint32_t *length) {
    if (id == 0)
        return NULL;
    if (packet->extension_profile == ONE_BYTE_PROFILE)
        return find_one_byte(packet->extension, packet->extension_bytes, id, length);
    if ((packet->extension_profile & 0xFFF0) == TWO_BYTE_PROFILE)
        return find_two_byte(packet->extension, packet->extension_bytes, id, length);
    return NULL;
}

uint32_t bw_red_parse(bw_red_block blocks[BW_RED_MAX_BLOCKS], const uint8_t *payload, uint32_t length,
                      uint32_t timestamp) {
    uint32_t at = 0, count = 0;
    /* RFC 2198, 3: F | type 7, then distance 14 | length 10; the primary one's header is its type alone. */
    while (at < length && payload[at] & 0x80) {
        if (length - at < 4 || count == BW_RED_MAX_BLOCKS - 1)
            return 0;
        uint32_t header = read_32(payload + at);
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
