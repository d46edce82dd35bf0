#include "receiver_counters.h"

void bw_receiver_counters_init(bw_receiver_counters *counters, float target_ms) {
    atomic_init(&counters->level_dbfs, BW_SILENCE_DBFS);
    atomic_init(&counters->target_ms, target_ms);
    atomic_init(&counters->is_buffering, 1);
}

void bw_receiver_counters_read(bw_receiver_counters *counters, bw_receiver_stats *stats) {
    *stats = (bw_receiver_stats){
        .packets_discarded = bw_read_counter(&counters->packets_discarded),
        .duplicate_packets = bw_read_counter(&counters->duplicate_packets),
        .late_packets = bw_read_counter(&counters->late_packets),
        .fec_packets_used = bw_read_counter(&counters->fec_packets_used),
        .red_packets_used = bw_read_counter(&counters->red_packets_used),
        .decode_errors = bw_read_counter(&counters->decode_errors),
        .underruns = bw_read_counter(&counters->underruns),
        .concealment_events = bw_read_counter(&counters->concealment_events),
        .concealed_samples = bw_read_counter(&counters->concealed_samples),
        .inserted_samples_for_deceleration = bw_read_counter(&counters->inserted_samples),
        .removed_samples_for_acceleration = bw_read_counter(&counters->removed_samples),
        .total_samples_received = bw_read_counter(&counters->total_samples),
        .jitter_buffer_emitted_count = bw_read_counter(&counters->emitted_samples),
        .jitter_buffer_delay_s = (double)bw_read_counter(&counters->emitted_sample_us) * 1e-6,
        .jitter_buffer_ms = atomic_load_explicit(&counters->delay_ms, memory_order_relaxed),
        .jitter_buffer_target_ms = atomic_load_explicit(&counters->target_ms, memory_order_relaxed),
        .drift_ppm = atomic_load_explicit(&counters->drift_ppm, memory_order_relaxed),
        .audio_level_dbfs = atomic_load_explicit(&counters->level_dbfs, memory_order_relaxed),
        .is_buffering = atomic_load_explicit(&counters->is_buffering, memory_order_relaxed),
    };
}
