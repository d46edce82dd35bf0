/* Fuzzer: any script of packets, pulls and pauses causes no out-of-bounds access, finite output, and a delay within
 * its bounds. Speech is enhanced in every second length of script; "auto" would depend on the clock. */
#include "jitter_buffer.h"
#include "jitter_script.h"
#include "resampler.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define MAX_PULL 7200
#define MAX_PLAYED 36000 /* per script, to limit its running time */
#define MAX_MS 200

typedef struct {
    script_bytes bytes;
    script_sender sender;
    bw_jitter_buffer *buffer;
    int64_t now_ns;
    uint32_t played;
} script;

static void insert(script *s, bool raw) {
    uint32_t length;
    const uint8_t *packet = raw ? script_rest(&s->bytes, &length) : script_packet(&s->bytes, &s->sender, &length);
    bw_jitter_buffer_insert(s->buffer, packet, length, s->now_ns);
}

static void pull(script *s) {
    static float output[2 * MAX_PULL];
    uint32_t frames = 30u * script_byte(&s->bytes) % (MAX_PULL + 1);
    if (s->played + frames > MAX_PLAYED)
        return;
    s->played += frames;
    s->now_ns += (int64_t)frames * 62500 / 3;
    bw_jitter_buffer_get(s->buffer, output, frames, s->now_ns);
    for (uint32_t i = 0; i < 2 * frames; i++)
        assert(isfinite(output[i]));
}

static void step(script *s) {
    switch (script_byte(&s->bytes) % SCRIPT_STEPS) {
    case SCRIPT_RAW:
        insert(s, true);
        break;
    case SCRIPT_PACKET:
        insert(s, false);
        break;
    case SCRIPT_PULL:
        pull(s);
        break;
    case SCRIPT_WAIT:
        s->now_ns += script_wait_ns(&s->bytes);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bw_resampler *filter;
    const bw_receiver_config config = {.payload_type = SCRIPT_PAYLOAD_TYPE,
                                       .red_payload_type = SCRIPT_RED_PAYLOAD_TYPE,
                                       .start_ms = 40,
                                       .max_ms = MAX_MS};
    filter = filter ? filter : bw_resampler_new_band(48000, 48000, 2, 20000, 28000);
    script s = {.bytes = {data, size}, .buffer = bw_jitter_buffer_new(&config, filter), .now_ns = 1};
    bw_enhancement enhancement;
    bw_enhancement_init(&enhancement);
    bw_enhancement_set_mode(&enhancement, size % 2 ? BW_ENHANCEMENT_ON : BW_ENHANCEMENT_OFF);
    bw_jitter_buffer_set_enhancement(s.buffer, &enhancement);
    while (s.bytes.left > 0)
        step(&s);
    bw_receiver_stats stats;
    bw_jitter_buffer_get_stats(s.buffer, &stats);
    assert(stats.jitter_buffer_target_ms >= 0.0 && stats.jitter_buffer_target_ms <= MAX_MS);
    bw_jitter_buffer_free(s.buffer);
    return 0;
}
