/* Any script of packets, pulls and pauses: no step past any end, a finite sound, and a delay within its bounds. */
#include "jitter_buffer.h"
#include "jitter_script.h"
#include "resampler.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define MAX_PULL 7200
#define MAX_PLAYED 36000 /* per script, so that none takes long */
#define MAX_MS 200

typedef struct {
    const uint8_t *data;
    size_t left;
    bw_jitter_buffer *buffer;
    int64_t now_ns;
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t played;
} script;

static uint8_t next_byte(script *s) {
    if (s->left == 0)
        return 0;
    s->left--;
    return *s->data++;
}

/* The bytes that follow a length of two bytes, as far as there are any. */
static const uint8_t *next_bytes(script *s, uint32_t *length) {
    uint32_t wanted = (uint32_t)next_byte(s) << 8;
    wanted |= next_byte(s);
    *length = wanted < s->left ? wanted : (uint32_t)s->left;
    const uint8_t *bytes = s->data;
    s->data += *length;
    s->left -= *length;
    return bytes;
}

static void insert_raw(script *s) {
    uint32_t length;
    const uint8_t *bytes = next_bytes(s, &length);
    bw_jitter_buffer_insert(s->buffer, bytes, length, s->now_ns);
}

static void insert_packet(script *s) {
    static uint8_t packet[12 + 65536];
    uint8_t flags = next_byte(s);
    s->sequence = (uint16_t)(s->sequence + (int8_t)next_byte(s));
    s->timestamp += 240u * (flags >> SCRIPT_FRAMES_SHIFT);
    uint32_t timestamp = s->timestamp + (flags & SCRIPT_TIME_JUMP ? 0x40000000 : 0), length;
    const uint8_t *payload = next_bytes(s, &length);
    const uint8_t header[12] = {0x80,
                                flags & SCRIPT_RED ? 63 : 111,
                                (uint8_t)(s->sequence >> 8),
                                (uint8_t)s->sequence,
                                (uint8_t)(timestamp >> 24),
                                (uint8_t)(timestamp >> 16),
                                (uint8_t)(timestamp >> 8),
                                (uint8_t)timestamp,
                                flags & SCRIPT_OTHER_SSRC ? 1 : 2,
                                0,
                                0,
                                1};
    memcpy(packet, header, sizeof header);
    memcpy(packet + sizeof header, payload, length);
    bw_jitter_buffer_insert(s->buffer, packet, length + (uint32_t)sizeof header, s->now_ns);
}

static void pull(script *s) {
    static float output[2 * MAX_PULL];
    uint32_t frames = 30u * next_byte(s) % (MAX_PULL + 1);
    if (s->played + frames > MAX_PLAYED)
        return;
    s->played += frames;
    s->now_ns += (int64_t)frames * 62500 / 3;
    bw_jitter_buffer_get(s->buffer, output, frames, s->now_ns);
    for (uint32_t i = 0; i < 2 * frames; i++)
        assert(isfinite(output[i]));
}

static void wait_a_while(script *s) {
    int64_t ms = next_byte(s);
    s->now_ns += ms * ms * 1000000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bw_resampler *filter;
    const bw_receiver_config config = {.payload_type = 111, .red_payload_type = 63, .start_ms = 40, .max_ms = MAX_MS};
    filter = filter ? filter : bw_resampler_new_band(48000, 48000, 2, 20000, 28000);
    script s = {.data = data, .left = size, .buffer = bw_jitter_buffer_new(&config, filter), .now_ns = 1};
    while (s.left > 0) {
        switch (next_byte(&s) % SCRIPT_STEPS) {
        case SCRIPT_RAW:
            insert_raw(&s);
            break;
        case SCRIPT_PACKET:
            insert_packet(&s);
            break;
        case SCRIPT_PULL:
            pull(&s);
            break;
        case SCRIPT_WAIT:
            wait_a_while(&s);
            break;
        }
    }
    bw_receiver_stats stats;
    bw_jitter_buffer_get_stats(s.buffer, &stats);
    assert(stats.jitter_buffer_target_ms >= 0.0 && stats.jitter_buffer_target_ms <= MAX_MS);
    bw_jitter_buffer_free(s.buffer);
    return 0;
}
