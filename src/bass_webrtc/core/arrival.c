#include "arrival.h"

#include <math.h>
#include <string.h>

#define BLOCK_NS 250000000LL
#define START_BLOCKS 4
#define MIN_BLOCK_PACKETS 8 /* Fewer packets do not show the fastest path; with DTX, a block lasts longer instead. */
#define SHIFT_MS 20.0       /* A whole block this far above the base and the usual lateness took another path. */
#define OUTLIER_SHARE 20    /* One block in 20 may be later: the 95th percentile. */
#define MEDIAN 2
#define TICKS_PER_MS 48.0
#define PEAK_ABOVE_MS 10.0
#define PEAK_APART_NS 1000000000LL
#define PEAK_MEMORY_NS 30000000000LL
#define PEAK_REPEATS 3
#define WAITS_NS 15000000000LL

static int64_t to_ns(int64_t timestamp) { return timestamp * 62500 / 3; /* 1e9 / 48000 */ }

static double to_ms(int64_t ns) { return (double)ns * 1e-6; }

void bw_arrival_reset(bw_arrival *arrival) { memset(arrival, 0, sizeof *arrival); }

void bw_arrival_rebase(bw_arrival *arrival) {
    arrival->base_count = 0;
    arrival->block_packets = 0;
}

bool bw_arrival_has_base(const bw_arrival *arrival) { return arrival->base_count > 0 || arrival->block_packets > 0; }

static bool is_start(const bw_arrival *arrival) { return arrival->lateness_count < START_BLOCKS; }

static int64_t base_ns(const bw_arrival *arrival) {
    int64_t base = arrival->block_packets > 0 ? arrival->block_min_ns : INT64_MAX;
    for (uint32_t i = 0; i < arrival->base_count; i++)
        base = arrival->bases_ns[i] < base ? arrival->bases_ns[i] : base;
    return base;
}

double bw_arrival_age_ms(const bw_arrival *arrival, int64_t now_ns, int64_t timestamp) {
    return bw_arrival_has_base(arrival) ? to_ms(now_ns - to_ns(timestamp) - base_ns(arrival)) : 0.0;
}

double bw_arrival_ahead_ms(const bw_arrival *arrival) {
    return is_start(arrival) && bw_arrival_has_base(arrival) ? to_ms(arrival->first_ns - base_ns(arrival)) : 0.0;
}

double bw_arrival_covering_ms(const bw_arrival *arrival) { return arrival->covering_ms; }

/* ------------------------------------------------------------------ statistics of blocks */

/* Returns the rank-th largest value; rank 1 is the largest. Selection sort is enough for so few values. */
static double largest(const double *values, uint32_t count, uint32_t rank) {
    double sorted[BW_ARRIVAL_BLOCKS];
    memcpy(sorted, values, sizeof(double) * count);
    for (uint32_t i = 0; i < rank; i++)
        for (uint32_t k = i + 1; k < count; k++)
            if (sorted[k] > sorted[i]) {
                double swap = sorted[i];
                sorted[i] = sorted[k];
                sorted[k] = swap;
            }
    return sorted[rank - 1];
}

/* Returns the lateness that one in `outlier_share` of the last blocks exceeds. */
static double percentile_ms(const bw_arrival *arrival, uint32_t outlier_share) {
    uint32_t count = arrival->lateness_count < BW_ARRIVAL_BLOCKS ? arrival->lateness_count : BW_ARRIVAL_BLOCKS;
    return count == 0 ? 0.0 : largest(arrival->lateness_ms, count, count / outlier_share + 1);
}

/* Peaks less than a second apart count as one. */
static void record_peak(bw_arrival *arrival, int64_t time_ns, double height_ms) {
    if (arrival->peak_count > 0 && time_ns - arrival->peaks[0].time_ns < PEAK_APART_NS) {
        arrival->peaks[0].height_ms = fmax(arrival->peaks[0].height_ms, height_ms);
        return;
    }
    memmove(arrival->peaks + 1, arrival->peaks, sizeof arrival->peaks - sizeof arrival->peaks[0]);
    arrival->peaks[0] = (bw_arrival_peak){time_ns, height_ms};
    arrival->peak_count += arrival->peak_count < BW_ARRIVAL_PEAKS;
}

static double repeated_peak_ms(bw_arrival *arrival, int64_t now_ns) {
    double heights_ms[BW_ARRIVAL_PEAKS];
    while (arrival->peak_count > 0 && now_ns - arrival->peaks[arrival->peak_count - 1].time_ns > PEAK_MEMORY_NS)
        arrival->peak_count--;
    for (uint32_t i = 0; i < arrival->peak_count; i++)
        heights_ms[i] = arrival->peaks[i].height_ms;
    return arrival->peak_count < PEAK_REPEATS ? 0.0 : largest(heights_ms, arrival->peak_count, PEAK_REPEATS);
}

/* Forgets waits older than two intervals of WAITS_NS. */
static void age_waits(bw_arrival *arrival, int64_t now_ns) {
    int64_t age_ns = now_ns - arrival->waits_from_ns;
    if (age_ns < WAITS_NS)
        return;
    arrival->waits_ms[1] = age_ns < 2 * WAITS_NS ? arrival->waits_ms[0] : 0.0;
    arrival->waits_ms[0] = 0.0;
    arrival->waits_from_ns = now_ns;
}

static void record_base(bw_arrival *arrival, int64_t min_ns) {
    memmove(arrival->bases_ns + 1, arrival->bases_ns, sizeof arrival->bases_ns - sizeof arrival->bases_ns[0]);
    arrival->bases_ns[0] = min_ns;
    arrival->base_count += arrival->base_count < BW_ARRIVAL_BASES;
}

static void close_block(bw_arrival *arrival) {
    arrival->block_packets = 0;
    double above_ms = arrival->base_count > 0 ? to_ms(arrival->block_min_ns - base_ns(arrival)) : 0.0;
    if (above_ms > SHIFT_MS + percentile_ms(arrival, MEDIAN))
        arrival->base_count = 0;
    record_base(arrival, arrival->block_min_ns);
    double lateness_ms = to_ms(arrival->block_max_ns - base_ns(arrival));
    if (lateness_ms > percentile_ms(arrival, OUTLIER_SHARE) + PEAK_ABOVE_MS)
        record_peak(arrival, arrival->block_start_ns, lateness_ms);
    arrival->lateness_ms[arrival->lateness_count++ % BW_ARRIVAL_BLOCKS] = lateness_ms;
    age_waits(arrival, arrival->block_start_ns);
    arrival->covering_ms =
        fmax(percentile_ms(arrival, OUTLIER_SHARE), repeated_peak_ms(arrival, arrival->block_start_ns));
    arrival->covering_ms = fmax(arrival->covering_ms, fmax(arrival->waits_ms[0], arrival->waits_ms[1]));
}

void bw_arrival_add_copy(bw_arrival *arrival, int64_t arrival_ns, uint32_t wait_samples) {
    age_waits(arrival, arrival_ns);
    arrival->waits_ms[0] = fmax(arrival->waits_ms[0], wait_samples / TICKS_PER_MS);
}

void bw_arrival_add(bw_arrival *arrival, int64_t arrival_ns, int64_t timestamp) {
    int64_t transit_ns = arrival_ns - to_ns(timestamp);
    if (arrival->lateness_count == 0 && !bw_arrival_has_base(arrival))
        arrival->first_ns = transit_ns;
    if (arrival->block_packets >= MIN_BLOCK_PACKETS && arrival_ns - arrival->block_start_ns >= BLOCK_NS)
        close_block(arrival);
    if (arrival->block_packets++ == 0) {
        arrival->block_start_ns = arrival_ns;
        arrival->block_min_ns = arrival->block_max_ns = transit_ns;
        return;
    }
    bool is_burst = is_start(arrival) && transit_ns < base_ns(arrival);
    arrival->block_min_ns = transit_ns < arrival->block_min_ns ? transit_ns : arrival->block_min_ns;
    arrival->block_max_ns = transit_ns > arrival->block_max_ns || is_burst ? transit_ns : arrival->block_max_ns;
}
