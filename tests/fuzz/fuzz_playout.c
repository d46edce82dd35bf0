/*
 * Fuzzer: any script of peers that are added, send, change settings and are removed, with reads in between. Checks for
 * out-of-bounds accesses, finite output, a mix within full scale, and silence for absent peers. SRTP is left out:
 * playout.c gets authenticated packets, but their content is arbitrary.
 */
#include "core.h"
#include "playout_script.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define MAX_READ 7200
#define MAX_PLAYED 48000 /* per script, to limit its running time */

typedef struct {
    script_bytes bytes;
    script_sender senders[PLAYOUT_PEERS];
    bw_playout *playout;
    int64_t now_ns;
    uint32_t played;
    bool is_there[PLAYOUT_PEERS];
    bool is_own[PLAYOUT_PEERS];
} script;

static void insert(script *s, uint32_t peer, bool raw) {
    uint32_t length;
    script_sender *sender = &s->senders[peer % PLAYOUT_PEERS];
    const uint8_t *packet = raw ? script_rest(&s->bytes, &length) : script_packet(&s->bytes, sender, &length);
    bw_playout_insert(s->playout, peer, packet, length, s->now_ns);
}

static void read(script *s, uint32_t peer, bool is_mix) {
    static float output[2 * MAX_READ];
    uint32_t frames = 30u * script_byte(&s->bytes) % (MAX_READ + 1);
    if (s->played + frames > MAX_PLAYED)
        return;
    s->played += frames;
    s->now_ns += (int64_t)frames * 62500 / 3;
    if (is_mix)
        bw_playout_read_mix(s->playout, output, frames, s->now_ns);
    else
        bw_playout_read_peer(s->playout, peer, output, frames, s->now_ns);
    bool is_silent = !is_mix && (peer >= PLAYOUT_PEERS || !s->is_there[peer] || !s->is_own[peer]);
    for (uint32_t i = 0; i < 2 * frames; i++) {
        assert(isfinite(output[i]));
        assert(!is_mix || fabsf(output[i]) <= 1.0f);
        assert(!is_silent || output[i] == 0.0f);
    }
}

static void add(script *s, uint32_t peer) {
    bw_receiver_config config = {.payload_type = SCRIPT_PAYLOAD_TYPE, .red_payload_type = SCRIPT_RED_PAYLOAD_TYPE};
    config.min_ms = config.start_ms = 2u * script_byte(&s->bytes);
    config.max_ms = 2u * script_byte(&s->bytes);
    bool may = peer < PLAYOUT_PEERS && !s->is_there[peer] && config.min_ms <= config.max_ms;
    assert((bw_playout_add(s->playout, peer, &config) == BW_OK) == may);
    if (may) {
        s->is_there[peer] = true;
        s->is_own[peer] = false;
    }
}

static void remove_peer(script *s, uint32_t peer) {
    bool was_there = peer < PLAYOUT_PEERS && s->is_there[peer];
    assert((bw_playout_remove(s->playout, peer) == BW_OK) == was_there);
    if (was_there)
        s->is_there[peer] = false;
}

static void set_gain(script *s, uint32_t peer) {
    int8_t value = (int8_t)script_byte(&s->bytes);
    bool may = peer < PLAYOUT_PEERS && s->is_there[peer] && value >= 0 && value != INT8_MAX;
    float gain = value == INT8_MAX ? NAN : (float)value / 8.0f;
    assert((bw_playout_set_gain(s->playout, peer, gain) == BW_OK) == may);
}

static void set_route(script *s, uint32_t peer) {
    uint32_t route = script_byte(&s->bytes) % 3;
    bool may = peer < PLAYOUT_PEERS && s->is_there[peer] && route <= BW_PLAYOUT_OWN;
    assert((bw_playout_set_route(s->playout, peer, route) == BW_OK) == may);
    if (may)
        s->is_own[peer] = route == BW_PLAYOUT_OWN;
}

static void step(script *s) {
    uint8_t what = script_byte(&s->bytes) % PLAYOUT_STEPS;
    uint32_t peer = script_byte(&s->bytes) % (PLAYOUT_PEERS + 1); /* the last number is not a peer */
    switch (what) {
    case PLAYOUT_PACKET:
    case PLAYOUT_RAW:
        insert(s, peer, what == PLAYOUT_RAW);
        break;
    case PLAYOUT_READ_MIX:
    case PLAYOUT_READ_PEER:
        read(s, peer, what == PLAYOUT_READ_MIX);
        break;
    case PLAYOUT_WAIT:
        s->now_ns += script_wait_ns(&s->bytes);
        break;
    case PLAYOUT_ADD:
        add(s, peer);
        break;
    case PLAYOUT_REMOVE:
        remove_peer(s, peer);
        break;
    case PLAYOUT_GAIN:
        set_gain(s, peer);
        break;
    case PLAYOUT_ROUTE:
        set_route(s, peer);
        break;
    case PLAYOUT_MUTE:
        bw_playout_set_muted(s->playout, peer, script_byte(&s->bytes) % 2);
        break;
    }
}

/* The first peer exists from the start, so that most scripts produce sound. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const bw_receiver_config config = {.payload_type = SCRIPT_PAYLOAD_TYPE,
                                       .red_payload_type = SCRIPT_RED_PAYLOAD_TYPE,
                                       .start_ms = 40,
                                       .max_ms = 200};
    script s = {.bytes = {data, size}, .playout = bw_playout_new(PLAYOUT_PEERS), .now_ns = 1};
    assert(bw_playout_add(s.playout, 0, &config) == BW_OK);
    s.is_there[0] = true;
    while (s.bytes.left > 0)
        step(&s);
    for (uint32_t peer = 0; peer < PLAYOUT_PEERS; peer++) {
        bw_receiver_stats stats;
        assert((bw_playout_get_receiver_stats(s.playout, peer, &stats) == BW_OK) == s.is_there[peer]);
        assert(stats.jitter_buffer_target_ms >= 0.0 && stats.jitter_buffer_target_ms <= 510.0);
    }
    bw_playout_free(s.playout);
    return 0;
}
