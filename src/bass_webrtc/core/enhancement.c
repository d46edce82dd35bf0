#include "enhancement.h"

#include "playout.h"

#include <math.h>

#define BUDGET_SHARE 0.25f /* of a block, with everything else that a pull does; 2.5 ms of 10 ms */
#define NS_PER_SAMPLE (1e9 / 48000.0)
#define COST_SAMPLES 960.0
#define HOLD_SAMPLES 144000u /* 3 s */
#define WINDOW_NS 2000000000LL
#define ALL_COUNTED_NS 120000000LL /* Every publisher that speaks has decoded a packet by then. */
#define FIRST_WINDOW 2u            /* so that a grant of zeros is neither in this window nor in the previous one */
#define NEW_GRANT_SHARE 0.8f       /* A new grant needs some room more than those that exist. */
#define GRANT_EVERY_NS 250000000LL /* When many begin to speak at once, the base has to be known before the next. */
#define OUTLIER 4.0                /* times the average: the thread was preempted, where that counts. */
#define LESS_WHEN_UNUSED 0.9375    /* per window */

/* High averages rise faster than they fall, because the budget has to hold in the worse pulls. */
#define COST_RISE 0.125
#define COST_FALL 0.015625
#define LEAST_COST_NS 1000.0 /* Clocks with coarse steps may show none, from which an average could not rise. */
#define BASE_RISE 0.25f
#define BASE_FALL 0.0039f

/* More than most machines need, and little enough for one publisher at 10 ms. */
static const uint32_t first_cost_ns[BW_ENHANCEMENT_KINDS] = {400000, 1600000};

#define GET(field) atomic_load_explicit(&enhancement->field, memory_order_relaxed)
#define SET(field, value) atomic_store_explicit(&enhancement->field, value, memory_order_relaxed)
#define ADD(field, value) atomic_fetch_add_explicit(&enhancement->field, value, memory_order_relaxed)

void bw_enhancement_init(bw_enhancement *enhancement) {
    *enhancement = (bw_enhancement){0};
    for (uint32_t kind = 0; kind < BW_ENHANCEMENT_KINDS; kind++)
        SET(cost_ns[kind], first_cost_ns[kind]);
    SET(window, FIRST_WINDOW);
}

void bw_enhancement_set_mode(bw_enhancement *enhancement, uint32_t mode) { SET(mode, mode); }

bool bw_enhancement_has_budget(bw_enhancement *enhancement) { return GET(mode) == BW_ENHANCEMENT_AUTO; }

/* ------------------------------------------------------------------ the budget */

static double cost_of(bw_enhancement *enhancement, bw_enhancement_kind kind, double audio_ns) {
    return GET(cost_ns[kind]) * audio_ns / (COST_SAMPLES * NS_PER_SAMPLE);
}

/* Returns how long enhanced decoding may take in this pull. */
static double budget_ns(bw_enhancement *enhancement, double share) {
    return (double)((float)share * BUDGET_SHARE - GET(base_share)) * (double)GET(block_ns);
}

/* Returns how many grants the budget carries, while one of them decodes a packet more than the block. */
static uint32_t capacity(bw_enhancement *enhancement, double share) {
    double block_ns = (double)GET(block_ns), packet_ns = GET(packet_ns);
    double each_ns = cost_of(enhancement, BW_ENHANCED_DECODING, fmax(block_ns, packet_ns));
    double left_ns = budget_ns(enhancement, share) - cost_of(enhancement, BW_ENHANCED_DECODING, packet_ns);
    return each_ns > 0.0 ? (uint32_t)fmax(0.0, left_ns / each_ns) : 0;
}

static bool fits_into_pull(bw_enhancement *enhancement, bw_enhancement_kind kind, uint32_t samples) {
    double other_ns = (double)(GET(spent_ns) - GET(enhanced_ns)), expected_ns = GET(base_share) * (double)GET(block_ns);
    double more_ns = fmax(0.0, other_ns - expected_ns);
    double used_ns = (double)GET(enhanced_ns) + more_ns + cost_of(enhancement, kind, samples * NS_PER_SAMPLE);
    return used_ns <= budget_ns(enhancement, 1.0);
}

void bw_enhancement_did(bw_enhancement *enhancement, bw_enhancement_kind kind, uint32_t samples, int64_t took_ns) {
    double cost = GET(cost_ns[kind]), taken = (double)took_ns * COST_SAMPLES / samples;
    taken = fmax(LEAST_COST_NS, fmin(taken, OUTLIER * cost));
    SET(cost_ns[kind], (uint32_t)(cost + (taken > cost ? COST_RISE : COST_FALL) * (taken - cost)));
    SET(has_run[kind], true);
    ADD(enhanced_ns, took_ns);
}

void bw_enhancement_played(bw_enhancement *enhancement, int64_t took_ns) { ADD(spent_ns, took_ns); }

static void end_pull(bw_enhancement *enhancement) {
    int64_t block_ns = GET(block_ns), other_ns = GET(spent_ns) - GET(enhanced_ns);
    if (block_ns > 0) {
        float base = GET(base_share), share = fminf((float)other_ns / (float)block_ns, BUDGET_SHARE);
        SET(base_share, base + (share > base ? BASE_RISE : BASE_FALL) * (share - base));
    }
    SET(spent_ns, 0);
    SET(enhanced_ns, 0);
}

/* ------------------------------------------------------------------ grants */

static uint32_t granted(bw_enhancement *enhancement) {
    uint32_t previous = GET(previous), current = GET(current);
    return previous > current ? previous : current;
}

/* A cost that rose because of other work on the machine is tried again. */
static void forget_cost(bw_enhancement *enhancement, uint32_t kind) {
    uint32_t cost_ns = GET(cost_ns[kind]);
    if (cost_ns > first_cost_ns[kind])
        SET(cost_ns[kind], (uint32_t)(cost_ns * LESS_WHEN_UNUSED));
}

/* Counts the grants anew: each publisher keeps its own at its next packet, up to `most` of them. */
static void begin_window(bw_enhancement *enhancement, int64_t now_ns, uint32_t most) {
    uint32_t current = GET(current);
    SET(previous, current < most ? current : most);
    SET(current, 0);
    ADD(window, 1);
    SET(window_from_ns, now_ns);
    for (uint32_t kind = 0; kind < BW_ENHANCEMENT_KINDS; kind++)
        if (!atomic_exchange_explicit(&enhancement->has_run[kind], false, memory_order_relaxed))
            forget_cost(enhancement, kind);
}

void bw_enhancement_begin_pull(bw_enhancement *enhancement, int64_t now_ns, uint32_t frames) {
    int64_t block_ns = (int64_t)(frames * NS_PER_SAMPLE), since_ns = now_ns - GET(pull_from_ns);
    if (GET(mode) != BW_ENHANCEMENT_AUTO || (since_ns >= 0 && since_ns < block_ns / 2))
        return;
    end_pull(enhancement);
    SET(pull_from_ns, now_ns);
    SET(block_ns, block_ns);
    uint32_t most = capacity(enhancement, 1.0);
    int64_t open_ns = now_ns - GET(window_from_ns);
    bool is_over = granted(enhancement) > most && open_ns >= ALL_COUNTED_NS, has_ended = open_ns >= WINDOW_NS;
    if (has_ended)
        SET(packet_ns, 0);
    if (is_over || has_ended || now_ns < GET(window_from_ns))
        begin_window(enhancement, now_ns, most);
}

/* At the first packet in a window. */
static bool keep_grant(bw_enhancement *enhancement, bw_enhancement_grant *grant, uint32_t window) {
    if (ADD(current, 1) < capacity(enhancement, 1.0)) {
        grant->window = window;
        return true;
    }
    atomic_fetch_sub_explicit(&enhancement->current, 1, memory_order_relaxed);
    return false;
}

static bool obtain_grant(bw_enhancement *enhancement, bw_enhancement_grant *grant, uint32_t window) {
    int64_t now_ns = GET(pull_from_ns);
    if (now_ns - GET(granted_at_ns) < GRANT_EVERY_NS || granted(enhancement) >= capacity(enhancement, NEW_GRANT_SHARE))
        return false;
    SET(granted_at_ns, now_ns);
    ADD(previous, 1);
    ADD(current, 1);
    grant->window = window;
    return true;
}

static bool has_grant(bw_enhancement *enhancement, bw_enhancement_grant *grant, bool has_voice) {
    uint32_t window = GET(window);
    bool was_counted = grant->window + 1 == window;
    if (grant->window == window)
        return true;
    grant->window = 0;
    if (was_counted && grant->quiet_samples < HOLD_SAMPLES)
        return keep_grant(enhancement, grant, window);
    return has_voice && obtain_grant(enhancement, grant, window);
}

bool bw_enhancement_allows(bw_enhancement *enhancement, bw_enhancement_grant *grant, bw_enhancement_kind kind,
                           bool has_voice, uint32_t samples) {
    uint32_t mode = GET(mode);
    if (mode != BW_ENHANCEMENT_AUTO)
        return mode == BW_ENHANCEMENT_ON;
    if (has_voice)
        grant->quiet_samples = 0;
    else if (grant->quiet_samples < HOLD_SAMPLES)
        grant->quiet_samples += samples;
    uint32_t packet_ns = (uint32_t)(samples * NS_PER_SAMPLE);
    if (packet_ns > GET(packet_ns))
        SET(packet_ns, packet_ns);
    return has_grant(enhancement, grant, has_voice) && fits_into_pull(enhancement, kind, samples);
}
