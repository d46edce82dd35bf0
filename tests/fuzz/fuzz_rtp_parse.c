/* Fuzzer: any bytes as an RTP packet. All results must be readable to their last byte, and Opus durations valid. */
#include "opus_packet.h"
#include "rtp_parse.h"

#include <assert.h>
#include <stddef.h>

static volatile uint32_t sink;

static void touch(const uint8_t *data, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++)
        sink += data[i];
}

static void read_red(const bw_rtp_packet *packet) {
    bw_red_block blocks[BW_RED_MAX_BLOCKS];
    uint32_t count = bw_red_parse(blocks, packet->payload, packet->payload_bytes, packet->timestamp);
    assert(count <= BW_RED_MAX_BLOCKS);
    for (uint32_t i = 0; i < count; i++)
        touch(blocks[i].data, blocks[i].bytes);
}

static void read_opus(const bw_rtp_packet *packet) {
    uint32_t samples = bw_opus_samples(packet->payload, packet->payload_bytes);
    uint32_t recoverable = bw_opus_recoverable_samples(packet->payload, packet->payload_bytes);
    assert(samples <= BW_OPUS_MAX_SAMPLES && samples % BW_OPUS_GRAIN == 0);
    assert(recoverable <= 2880 && recoverable % BW_OPUS_GRAIN == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bw_rtp_packet packet;
    if (!bw_rtp_parse(&packet, data, (uint32_t)size))
        return 0;
    assert(packet.payload + packet.payload_bytes <= data + size);
    touch(packet.payload, packet.payload_bytes);
    read_red(&packet);
    read_opus(&packet);
    return 0;
}
