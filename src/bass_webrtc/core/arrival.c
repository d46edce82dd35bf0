#include "arrival.h"

#include <math.h>
#include <string.h>

#define BLOCK_NS 250000000LL
#define MIN_BLOCK_PACKETS 8 /* Fewer packets do not show the fastest path; with DTX, a block lasts longer instead. */
#define START_BLOCKS 4
#define BASE_BLOCKS 64
#define OUTLIERS_PERCENT 3
#define UNRATED_BLOCKS 20 /* So early, a single peak may be the first of many. */

/* A new path: this many blocks, by this much plus the usual lateness. It is a jump: the last block on the former path is
 * as far from them. Between are blocks that may have packets of both paths: those of the slower one arrive when others
 * have overtaken them. */
#define NEW_PATH_BLOCKS 2
#define MIXED_BLOCKS 2
#define NEW_PATH_NS 40000000LL
#define USUAL_BLOCKS 40 /* in whose median the usual lateness is measured */

#define WAITS_NS 15000000000LL

static int64_t to_ns(int64_t timestamp) { return timestamp * 62500 / 3; /* 1e9 / 48000 */ }

static double to_ms(int64_t ns) { return (double)ns * 1e-6; }

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* ------------------------------------------------------------------ the base */

static bool is_start(const bw_arrival *arrival) { return arrival->total_blocks < START_BLOCKS; }

/* Returns the smallest transit of these blocks; INT64_MAX: there is none. */
static int64_t least_ns(const bw_arrival *arrival, uint32_t from, uint32_t count) {
    int64_t least = INT64_MAX;
    for (uint32_t i = from; i < arrival->block_count && i < from + count; i++)
        least = smaller(least, arrival->blocks[i].min_ns);
    return least;
}

static int64_t base_ns(const bw_arrival *arrival) {
    int64_t base = arrival->is_rebased ? INT64_MAX : least_ns(arrival, 0, BASE_BLOCKS);
    return arrival->block_packets > 0 ? smaller(base, arrival->open.min_ns) : base;
}

bool bw_arrival_has_base(const bw_arrival *arrival) {
    return arrival->block_packets > 0 || (arrival->block_count > 0 && !arrival->is_rebased);
}

double bw_arrival_age_ms(const bw_arrival *arrival, int64_t now_ns, int64_t timestamp) {
    return bw_arrival_has_base(arrival) ? to_ms(now_ns - to_ns(timestamp) - base_ns(arrival)) : 0.0;
}

double bw_arrival_ahead_ms(const bw_arrival *arrival) {
    bool is_measured = arrival->total_blocks >= START_BLOCKS / 2 && bw_arrival_has_base(arrival);
    return is_measured && is_start(arrival) ? to_ms(arrival->first_ns - base_ns(arrival)) : 0.0;
}

bw_arrival_change bw_arrival_take_change(bw_arrival *arrival) {
    bw_arrival_change change = {.is_new_path = arrival->is_new_path};
    if (!bw_arrival_has_base(arrival))
        return (bw_arrival_change){0};
    int64_t base = base_ns(arrival);
    if (arrival->has_reported && !is_start(arrival))
        change.base_rise_ms = to_ms(base - arrival->reported_base_ns);
    arrival->reported_base_ns = base;
    arrival->has_reported = true;
    arrival->is_new_path = false;
    return change;
}

/* ------------------------------------------------------------------ lateness */

/* Returns the largest transit that all but `outliers` of these blocks do not exceed. Selection sort is enough for so
 * few values. */
static int64_t percentile_ns(const bw_arrival *arrival, uint32_t from, uint32_t count, uint32_t outliers) {
    int64_t sorted[BW_ARRIVAL_BLOCKS];
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = arrival->blocks[from + i].max_ns;
    for (uint32_t i = 0; i <= outliers; i++)
        for (uint32_t k = i + 1; k < count; k++)
            if (sorted[k] > sorted[i]) {
                int64_t swap = sorted[i];
                sorted[i] = sorted[k];
                sorted[k] = swap;
            }
    return sorted[outliers];
}

static bool is_on_new_path(const bw_arrival *arrival) {
    uint32_t before = NEW_PATH_BLOCKS + MIXED_BLOCKS;
    if (arrival->block_count <= before)
        return false;
    uint32_t count = arrival->block_count - before;
    uint32_t usual = count < USUAL_BLOCKS ? count : USUAL_BLOCKS;
    int64_t base = least_ns(arrival, before, BASE_BLOCKS);
    int64_t margin = NEW_PATH_NS + percentile_ns(arrival, before, usual, usual / 2) - base;
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (uint32_t i = 0; i < NEW_PATH_BLOCKS; i++) {
        least = smaller(least, arrival->blocks[i].min_ns);
        most = larger(most, arrival->blocks[i].max_ns);
    }
    const bw_arrival_span *last = &arrival->blocks[before];
    return (least > base + margin && least > last->max_ns + NEW_PATH_NS) ||
           (most < base - margin && most < last->min_ns - NEW_PATH_NS);
}

static void shift_blocks(bw_arrival *arrival, int64_t by_ns) {
    for (uint32_t i = 0; i < arrival->block_count; i++) {
        arrival->blocks[i].min_ns += by_ns;
        arrival->blocks[i].max_ns += by_ns;
    }
}

/* Forgets waits older than two intervals of WAITS_NS. */
static void age_waits(bw_arrival *arrival, int64_t now_ns) {
    int64_t age_ns = now_ns - arrival->waits_from_ns;
    if (age_ns < WAITS_NS)
        return;
    arrival->waits_ns[1] = age_ns < 2 * WAITS_NS ? arrival->waits_ns[0] : 0;
    arrival->waits_ns[0] = 0;
    arrival->waits_from_ns = now_ns;
}

static void close_block(bw_arrival *arrival) {
    if (arrival->is_rebased) /* Return to absolute transits: the base is that of the first block after the rebase. */
        shift_blocks(arrival, arrival->open.min_ns);
    arrival->is_rebased = false;
    memmove(arrival->blocks + 1, arrival->blocks, sizeof arrival->blocks - sizeof arrival->blocks[0]);
    arrival->blocks[0] = arrival->open;
    arrival->block_packets = 0;
    arrival->block_count += arrival->block_count < BW_ARRIVAL_BLOCKS;
    arrival->total_blocks++;
    if (is_on_new_path(arrival)) {
        arrival->block_count = NEW_PATH_BLOCKS;
        arrival->is_new_path = true;
    }
    uint32_t rated = arrival->block_count > UNRATED_BLOCKS ? arrival->block_count - UNRATED_BLOCKS : 0;
    uint32_t outliers = rated * OUTLIERS_PERCENT / 100;
    arrival->covered_ns = percentile_ns(arrival, 0, arrival->block_count, outliers);
    age_waits(arrival, arrival->block_start_ns);
}

double bw_arrival_covering_ms(const bw_arrival *arrival) {
    bool has_absolute_base = arrival->block_count > 0 && !arrival->is_rebased;
    int64_t late_ns = arrival->covered_ns - (has_absolute_base ? base_ns(arrival) : 0);
    return to_ms(larger(late_ns, larger(arrival->waits_ns[0], arrival->waits_ns[1])));
}

/* ------------------------------------------------------------------ life and packets */

void bw_arrival_reset(bw_arrival *arrival) { memset(arrival, 0, sizeof *arrival); }

void bw_arrival_rebase(bw_arrival *arrival) {
    if (!arrival->is_rebased && arrival->block_count > 0) {
        int64_t base = base_ns(arrival);
        shift_blocks(arrival, -base);
        arrival->covered_ns -= base;
        arrival->is_rebased = true;
    }
    arrival->block_packets = 0;
    arrival->has_reported = false;
}

void bw_arrival_add_copy(bw_arrival *arrival, int64_t arrival_ns, uint32_t wait_samples) {
    age_waits(arrival, arrival_ns);
    arrival->waits_ns[0] = larger(arrival->waits_ns[0], to_ns(wait_samples));
}

/* A packet that arrives earlier than all before it shows that the sender was not ahead of its clock until then: those
 * were not late. */
static void forget_burst(bw_arrival *arrival, int64_t transit_ns) {
    arrival->block_count = 0;
    arrival->covered_ns = 0;
    arrival->open = (bw_arrival_span){transit_ns, transit_ns};
}

void bw_arrival_add(bw_arrival *arrival, int64_t arrival_ns, int64_t timestamp) {
    int64_t transit_ns = arrival_ns - to_ns(timestamp);
    if (arrival->total_blocks == 0 && !bw_arrival_has_base(arrival))
        arrival->first_ns = transit_ns;
    if (arrival->block_packets >= MIN_BLOCK_PACKETS && arrival_ns - arrival->block_start_ns >= BLOCK_NS)
        close_block(arrival);
    if (is_start(arrival) && bw_arrival_has_base(arrival) && transit_ns < base_ns(arrival))
        forget_burst(arrival, transit_ns);
    if (arrival->block_packets++ == 0) {
        arrival->block_start_ns = arrival_ns;
        arrival->open = (bw_arrival_span){transit_ns, transit_ns};
        return;
    }
    arrival->open.min_ns = smaller(arrival->open.min_ns, transit_ns);
    arrival->open.max_ns = larger(arrival->open.max_ns, transit_ns);
}
