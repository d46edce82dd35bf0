/* What a jitter buffer counts while it plays, for any thread to read: one writer, the thread that plays. */
#ifndef BW_RECEIVER_COUNTERS_H
#define BW_RECEIVER_COUNTERS_H

#include "internal.h"

#include <stdatomic.h>

#define BW_SILENCE_DBFS -127.0f

/* See bw_receiver_stats for the meaning of each. */
typedef struct {
    bw_counter packets_discarded, duplicate_packets, late_packets, fec_packets_used, red_packets_used, decode_errors;
    bw_counter underruns, concealment_events, concealed_samples, inserted_samples, removed_samples;
    bw_counter total_samples, emitted_samples, emitted_sample_us;
    _Atomic float delay_ms, target_ms, drift_ppm, level_dbfs;
    _Atomic uint32_t is_buffering;
} bw_receiver_counters;

/* counters: all zero. */
void bw_receiver_counters_init(bw_receiver_counters *counters, float target_ms);

/* Any thread. */
void bw_receiver_counters_read(bw_receiver_counters *counters, bw_receiver_stats *stats);

#endif
