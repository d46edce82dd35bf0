#include "internal.h"

#include "arrival.h"
#include "delay_control.h"
#include "jitter_buffer.h"
#include "lanes.h"
#include "opus_receiver.h"
#include "packet_queue.h"
#include "rtp_stream.h"

#include <math.h>
#include <string.h>

#define TICKS_PER_MS 48
#define SENDERS_BLOCK_SAMPLES 480 /* Browsers record and encode in blocks of this size. */
#define PIECE_SAMPLES 480         /* 10 ms: concealment is produced in pieces, because a packet may arrive meanwhile. */
#define TOLERANCE_SAMPLES 119     /* Less than 2.5 ms: tolerates senders whose timestamps are off by rounding. */
#define MAX_SHORTENING 4
#define OUTAGE_SAMPLES 9600       /* 200 ms without a packet: stop and buffer again. */
#define RESUME_MS 10.0            /* Delay that is enough to resume; time stretching adds the rest of the target. */
#define MAX_SILENCE_SAMPLES 96000 /* 2 s: senders transmit at least every 0.4 s in DTX. */
#define START_SPARE_MS 20.0       /* Time stretching removes so much in half a second. */
#define PAUSE_NS 500000000LL      /* Without a pull for this long, queued audio is outdated. */
#define LEVEL_SMOOTHING_SAMPLES 4800.0f
#define SILENCE_DBFS -127.0f
/* A smaller change of the place in time is smoothed: pulls come a little early or late. */
#define PLAYED_STEP_NS 60000000LL
#define PLAYED_SMOOTHING 16

typedef enum {
    BUFFERING, /* silence until the target delay is reached */
    PLAYING,
} phase;

/* Written by the playing thread, read by any thread. bw_receiver_stats explains each. */
typedef struct {
    bw_counter packets_discarded, duplicate_packets, late_packets, fec_packets_used, red_packets_used, decode_errors;
    bw_counter underruns, concealment_events, concealed_samples, silent_samples, inserted_samples, removed_samples;
    bw_counter join_delay_samples, total_samples, emitted_samples, emitted_sample_us, enhanced_samples;
    _Atomic float delay_ms, target_ms, drift_ppm, level_dbfs;
    _Atomic uint32_t is_buffering, is_enhanced;
    _Atomic int64_t played_ns;
} receiver_counters;

struct bw_jitter_buffer {
    bw_receiver_config config;
    bw_rtp_stream stream;
    bw_packet_queue queue;
    bw_arrival arrival;
    bw_delay_control delay;
    bw_opus_receiver opus;
    bw_resampler *resampler;

    phase phase;
    bool after_outage;      /* BUFFERING in mid-stream: late packets are still played */
    int64_t next_timestamp; /* of the next sample to decode */
    int64_t last_sequence;  /* of the last packet decoded */
    int64_t stalled;        /* samples concealed since next_timestamp last advanced */
    bool in_silence;        /* the sender is in discontinuous transmission: nothing is lost */
    float power;            /* smoothed mean square of the output */
    int64_t last_get_ns;    /* 0: never */
    bool has_decoded;       /* in the last get */
    receiver_counters counters;
};

/* ------------------------------------------------------------------ insert */

/* Discards the previous stream. */
static void begin_stream(bw_jitter_buffer *buffer, int64_t now_ns) {
    bw_packet_queue_clear(&buffer->queue);
    bw_arrival_reset(&buffer->arrival);
    bw_delay_control_reset(&buffer->delay, now_ns);
    buffer->phase = BUFFERING;
    buffer->after_outage = false;
}

static bool has_passed(const bw_jitter_buffer *buffer, int64_t timestamp) {
    bool in_stream = buffer->phase == PLAYING || buffer->after_outage;
    return in_stream && timestamp < buffer->next_timestamp - TOLERANCE_SAMPLES;
}

static void drop_first(bw_jitter_buffer *buffer) {
    bw_packet_queue_pop(&buffer->queue);
    bw_count(&buffer->counters.packets_discarded, 1);
}

/* Drop the oldest packet when full: the newest is closest to real time. */
static bw_packet_result put(bw_jitter_buffer *buffer, const bw_packet *packet) {
    bw_packet_result result = bw_packet_queue_put(&buffer->queue, packet);
    if (result == BW_PACKET_FULL && packet->bytes <= BW_PACKET_MAX_BYTES) {
        drop_first(buffer);
        result = bw_packet_queue_put(&buffer->queue, packet);
    }
    return result;
}

/* Counts the in-band copy of the preceding frame as an arrival, if that frame is missing. Returns how far the frame
 * is behind this packet in RTP time; 0 when nothing is missing or there is no copy. */
static uint32_t record_recovery(bw_jitter_buffer *buffer, const bw_packet *packet) {
    bool is_missing = !bw_rtp_stream_has_seen(&buffer->stream, packet->sequence - 1);
    uint32_t samples = is_missing ? bw_opus_recoverable_samples(packet->data, packet->bytes) : 0;
    if (samples > 0)
        bw_arrival_add(&buffer->arrival, packet->arrival_ns, packet->timestamp - samples);
    return samples;
}

static void insert_primary(bw_jitter_buffer *buffer, bw_packet *packet) {
    packet->samples = bw_opus_samples(packet->data, packet->bytes);
    if (packet->samples == 0) {
        bw_count(&buffer->counters.decode_errors, 1);
        return;
    }
    buffer->delay.is_coarse = packet->samples > SENDERS_BLOCK_SAMPLES;
    bw_arrival_add(&buffer->arrival, packet->arrival_ns, packet->timestamp);
    if (has_passed(buffer, packet->timestamp)) {
        bw_count(&buffer->counters.late_packets, 1);
        return;
    }
    bw_arrival_add_copy(&buffer->arrival, packet->arrival_ns, record_recovery(buffer, packet));
    bw_packet_result result = put(buffer, packet);
    if (result == BW_PACKET_KNOWN)
        bw_count(&buffer->counters.duplicate_packets, 1);
    if (result == BW_PACKET_FULL)
        bw_count(&buffer->counters.packets_discarded, 1);
}

/* Returns true when the copy was queued because its own packet is missing. The delay it needs counts as lateness. */
static bool insert_copy(bw_jitter_buffer *buffer, bw_packet *packet) {
    packet->samples = bw_opus_samples(packet->data, packet->bytes);
    if (packet->samples == 0 || has_passed(buffer, packet->timestamp))
        return false;
    if (put(buffer, packet) != BW_PACKET_QUEUED)
        return false;
    bw_arrival_add(&buffer->arrival, packet->arrival_ns, packet->timestamp);
    record_recovery(buffer, packet);
    return true;
}

/* RED blocks are the frames of the packets just before (RFC 2198, 4), so their sequence numbers follow. */
static void insert_red(bw_jitter_buffer *buffer, const bw_packet *packet) {
    bw_red_block blocks[BW_RED_MAX_BLOCKS];
    uint32_t count = bw_red_parse(blocks, packet->data, packet->bytes, (uint32_t)packet->timestamp);
    uint32_t max_age = 0; /* age of the oldest audio in this packet relative to the newest, in samples */
    bool any_queued = false;
    if (count == 0)
        bw_count(&buffer->counters.packets_discarded, 1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t age = count - 1 - i;
        bw_packet part = *packet;
        if (blocks[i].payload_type != buffer->config.payload_type)
            continue;
        part.data = blocks[i].data;
        part.bytes = blocks[i].bytes;
        part.sequence -= age;
        part.timestamp += (int32_t)(blocks[i].timestamp - (uint32_t)packet->timestamp);
        part.redundant = age > 0;
        if (!part.redundant) {
            insert_primary(buffer, &part);
            continue;
        }
        uint32_t behind = (uint32_t)(packet->timestamp - part.timestamp);
        behind += bw_opus_recoverable_samples(part.data, part.bytes);
        max_age = behind > max_age ? behind : max_age;
        any_queued |= insert_copy(buffer, &part);
    }
    /* Losses often come in pairs, so cover the delay of all copies. */
    bw_arrival_add_copy(&buffer->arrival, packet->arrival_ns, any_queued ? max_age : 0);
}

void bw_jitter_buffer_insert(bw_jitter_buffer *buffer, const uint8_t *data, uint32_t length, int64_t arrival_ns) {
    bw_rtp_packet rtp;
    bool is_rtp = bw_rtp_parse(&rtp, data, length);
    bool is_red = is_rtp && buffer->config.red_payload_type && rtp.payload_type == buffer->config.red_payload_type;
    if (!is_rtp || (rtp.payload_type != buffer->config.payload_type && !is_red)) {
        bw_count(&buffer->counters.packets_discarded, 1);
        return;
    }
    bw_packet packet = {.arrival_ns = arrival_ns, .data = rtp.payload, .bytes = rtp.payload_bytes};
    switch (bw_rtp_stream_take(&buffer->stream, &rtp, arrival_ns, &packet.sequence, &packet.timestamp)) {
    case BW_STREAM_UNRELATED:
        bw_count(&buffer->counters.packets_discarded, 1);
        return;
    case BW_STREAM_DUPLICATE:
        bw_count(&buffer->counters.duplicate_packets, 1);
        return;
    case BW_STREAM_FIRST:
        begin_stream(buffer, arrival_ns);
        break;
    case BW_STREAM_NEXT:
        break;
    }
    if (is_red)
        insert_red(buffer, &packet);
    else
        insert_primary(buffer, &packet);
}

/* ------------------------------------------------------------------ get: one piece of decoded audio */

static void count_waiting(bw_jitter_buffer *buffer, const bw_packet *packet, uint32_t samples, int64_t now_ns) {
    int64_t waited_us = (now_ns - packet->arrival_ns) / 1000;
    bw_count(&buffer->counters.emitted_samples, samples);
    bw_count(&buffer->counters.emitted_sample_us, samples * (uint64_t)(waited_us > 0 ? waited_us : 0));
}

/* Continues the stream at next_timestamp. delayed: samples concealed beyond the stream time that passed; negative if
 * fewer. */
static void end_stall(bw_jitter_buffer *buffer, int64_t next_timestamp, int64_t delayed, int64_t now_ns) {
    buffer->next_timestamp = next_timestamp;
    buffer->stalled = 0;
    if (delayed > 0)
        bw_delay_control_restart(&buffer->delay, now_ns);
    else
        bw_delay_control_moved(&buffer->delay, (int32_t)-delayed);
}

/* Sound after concealment is joined in phase: the previous sound is stretched until then, or some of the new sound is
 * skipped if delay can be spared. Nothing is missing at that moment, so this is not concealment. */
static void record_join(bw_jitter_buffer *buffer) {
    int32_t moved = buffer->opus.moved_samples;
    bw_count(moved > 0 ? &buffer->counters.removed_samples : &buffer->counters.inserted_samples, (uint32_t)abs(moved));
    bw_count(&buffer->counters.join_delay_samples, (uint64_t)(0LL - moved)); /* the sum is signed */
    bw_delay_control_moved(&buffer->delay, moved);
    buffer->opus.moved_samples = 0;
    buffer->opus.spare_samples = bw_delay_control_spare(&buffer->delay);
}

static void play_packet(bw_jitter_buffer *buffer, const bw_packet *packet, int64_t now_ns) {
    if (buffer->stalled > 0) /* The packet was late, not lost. */
        bw_opus_receiver_settle(&buffer->opus, 0);
    uint32_t samples = bw_opus_receiver_decode(&buffer->opus, packet->data, packet->bytes);
    buffer->has_decoded = true;
    if (samples > 0) {
        count_waiting(buffer, packet, samples, now_ns);
        bw_count(&buffer->counters.red_packets_used, packet->redundant);
        end_stall(buffer, packet->timestamp + samples, buffer->stalled, now_ns);
        record_join(buffer);
        buffer->last_sequence = packet->sequence;
        buffer->in_silence = bw_opus_is_silence(packet->bytes);
    } else {
        bw_count(&buffer->counters.decode_errors, 1);
    }
    bw_packet_queue_pop(&buffer->queue);
}

/* Plays the frame before this packet, decoded from this packet. */
static void play_recovered(bw_jitter_buffer *buffer, const bw_packet *packet, int64_t delayed, int64_t now_ns) {
    uint32_t samples = bw_opus_receiver_recover(&buffer->opus, packet->data, packet->bytes);
    buffer->has_decoded = true;
    bw_count(samples > 0 ? &buffer->counters.fec_packets_used : &buffer->counters.decode_errors, 1);
    count_waiting(buffer, packet, samples, now_ns);
    end_stall(buffer, packet->timestamp, delayed, now_ns);
    record_join(buffer);
}

/* Counts what was appended in place of missing audio. A fade is not silent yet. */
static void count_concealed(bw_jitter_buffer *buffer, uint32_t samples, float gain_before) {
    bool is_silent = gain_before == 0.0f && buffer->opus.gain == 0.0f;
    bw_count(&buffer->counters.concealed_samples, samples);
    bw_count(&buffer->counters.silent_samples, is_silent ? samples : 0);
}

/* Conceals missing audio. next_timestamp does not advance meanwhile, so audio that was only late is played in full. */
static void play_concealment(bw_jitter_buffer *buffer, uint32_t samples) {
    bool begins = !buffer->opus.has_concealed; /* comfort noise before it is not concealment */
    float gain_before = buffer->opus.gain;
    buffer->stalled += bw_opus_receiver_conceal(&buffer->opus, samples, buffer->in_silence);
    if (buffer->in_silence)
        return;
    bw_count(&buffer->counters.concealment_events, begins);
    count_concealed(buffer, samples, gain_before);
}

/* ------------------------------------------------------------------ get: next step in the stream */

static void handle_empty_queue(bw_jitter_buffer *buffer) {
    if (buffer->opus.missing_samples >= MAX_SILENCE_SAMPLES)
        buffer->in_silence = false;
    if (!buffer->in_silence && buffer->opus.missing_samples >= OUTAGE_SAMPLES) {
        buffer->phase = BUFFERING;
        buffer->after_outage = true;
        bw_arrival_rebase(&buffer->arrival);
        return;
    }
    if (!buffer->in_silence && buffer->stalled == 0)
        bw_count(&buffer->counters.underruns, 1);
    play_concealment(buffer, PIECE_SAMPLES);
}

/* Less concealment sounds better: up to a quarter of a loss is cut, if delay can be spared. Nothing is played for it, so
 * no counter of samples has it. Time stretching restores the delay later. */
static int64_t shortening(const bw_jitter_buffer *buffer, int64_t lost) {
    int64_t most = lost / MAX_SHORTENING, spare = bw_delay_control_spare(&buffer->delay);
    return buffer->in_silence ? 0 : (most < spare ? most : spare) / BW_OPUS_GRAIN * BW_OPUS_GRAIN;
}

/* Handles missing audio before this packet. What was concealed while the queue was empty counts as part of it. */
static void play_gap(bw_jitter_buffer *buffer, const bw_packet *packet, int64_t now_ns) {
    int64_t gap = packet->timestamp - buffer->next_timestamp;
    uint32_t recoverable = bw_opus_recoverable_samples(packet->data, packet->bytes);
    /* No gap in sequence numbers: the sender was silent (RFC 7587, 3.1.3). */
    buffer->in_silence = packet->sequence == buffer->last_sequence + 1;
    if (buffer->in_silence || recoverable > gap)
        recoverable = 0;
    int64_t lost = gap - recoverable;
    int64_t missing = lost - shortening(buffer, lost) - buffer->stalled;
    if (missing > 0) {
        int64_t samples = missing < PIECE_SAMPLES ? missing : PIECE_SAMPLES;
        play_concealment(buffer, (uint32_t)(samples + BW_OPUS_GRAIN - 1) / BW_OPUS_GRAIN * BW_OPUS_GRAIN);
        return;
    }
    if (!buffer->in_silence)
        bw_opus_receiver_settle(&buffer->opus, (uint32_t)lost / BW_OPUS_GRAIN * BW_OPUS_GRAIN);
    if (recoverable > 0)
        play_recovered(buffer, packet, buffer->stalled - lost, now_ns);
    else
        end_stall(buffer, packet->timestamp, buffer->stalled - lost, now_ns);
    if (lost > 0 && !buffer->in_silence)
        bw_delay_control_lost(&buffer->delay, now_ns);
}

static double samples_to_ms(int64_t samples) { return (double)samples / TICKS_PER_MS; }

/* Returns the delay if this packet were played next, with `ahead` more frames requested in this call. */
static double delay_from(const bw_jitter_buffer *buffer, const bw_packet *packet, uint32_t ahead, int64_t now_ns) {
    return bw_arrival_age_ms(&buffer->arrival, now_ns, packet->timestamp) - samples_to_ms(ahead);
}

/* Starts playing when the target is reached. In mid-stream, every packet that fits is kept and RESUME_MS is
 * enough; at the start of a stream, and after a pause of the playing thread, the delay is set to the
 * target. */
static void fill_buffer(bw_jitter_buffer *buffer, uint32_t ahead, int64_t now_ns) {
    double target_ms = buffer->delay.target_ms;
    double most_ms = buffer->after_outage ? buffer->config.max_ms : target_ms;
    double least_ms = buffer->after_outage ? fmin(target_ms, RESUME_MS) : target_ms;
    const bw_packet *second = bw_packet_queue_second(&buffer->queue);
    while (second != NULL && delay_from(buffer, second, ahead, now_ns) >= most_ms) {
        drop_first(buffer);
        second = bw_packet_queue_second(&buffer->queue);
    }
    const bw_packet *first = bw_packet_queue_first(&buffer->queue);
    /* With very short frames, a full queue is less than the target. */
    bool is_full = buffer->queue.count == BW_PACKET_QUEUE_SLOTS;
    if (first == NULL || (!is_full && delay_from(buffer, first, ahead, now_ns) < least_ms)) {
        float gain_before = buffer->opus.gain;
        bw_opus_receiver_append_silence(&buffer->opus, PIECE_SAMPLES);
        if (buffer->after_outage)
            count_concealed(buffer, PIECE_SAMPLES, gain_before);
        return;
    }
    bw_opus_receiver_restart(&buffer->opus);
    buffer->phase = PLAYING;
    buffer->next_timestamp = first->timestamp;
    buffer->stalled = 0;
    bw_delay_control_restart(&buffer->delay, now_ns);
}

static bool is_next(const bw_jitter_buffer *buffer, const bw_packet *packet) {
    return packet != NULL && packet->timestamp <= buffer->next_timestamp + TOLERANCE_SAMPLES;
}

/* Appends one piece of audio, or takes one decision towards it. ahead: frames still requested in this call. */
static void advance(bw_jitter_buffer *buffer, uint32_t ahead, int64_t now_ns) {
    const bw_packet *packet = bw_packet_queue_first(&buffer->queue);
    if (buffer->phase == BUFFERING)
        fill_buffer(buffer, ahead, now_ns);
    else if (packet == NULL)
        handle_empty_queue(buffer);
    else if (is_next(buffer, packet))
        play_packet(buffer, packet, now_ns);
    else
        play_gap(buffer, packet, now_ns);
}

/* ------------------------------------------------------------------ get: delay control */

static void decode_ahead(bw_jitter_buffer *buffer, uint32_t frames, int64_t now_ns) {
    const bw_packet *packet = bw_packet_queue_first(&buffer->queue);
    while (bw_stretch_waiting(&buffer->opus.sound) < frames && is_next(buffer, packet)) {
        play_packet(buffer, packet, now_ns);
        packet = bw_packet_queue_first(&buffer->queue);
    }
}

static void shift_delay(bw_jitter_buffer *buffer, int64_t now_ns) {
    bw_delay_shift shift = bw_delay_control_next_shift(&buffer->delay, now_ns);
    int32_t shifted = 0;
    if (shift.frames > 0) {
        decode_ahead(buffer, BW_STRETCH_LOOK_AHEAD, now_ns);
        shifted = (int32_t)bw_stretch_remove(&buffer->opus.sound, (uint32_t)shift.frames, shift.min_correlation);
        bw_count(&buffer->counters.removed_samples, (uint32_t)shifted);
    } else if (shift.frames < 0) {
        decode_ahead(buffer, BW_STRETCH_CROSSFADE, now_ns);
        shifted = -(int32_t)bw_stretch_insert(&buffer->opus.sound, (uint32_t)-shift.frames, shift.min_correlation);
        bw_count(&buffer->counters.inserted_samples, (uint32_t)-shifted);
    }
    if (shifted != 0)
        bw_delay_control_shifted(&buffer->delay, now_ns, shifted);
}

/* Returns the delay of the sound that is played once what has been decoded is. */
static double delay_of(const bw_jitter_buffer *buffer, int64_t timestamp, int64_t now_ns) {
    return bw_arrival_age_ms(&buffer->arrival, now_ns, timestamp - bw_stretch_waiting(&buffer->opus.sound));
}

/* At the start of a stream, a sender may be ahead of its clock (see arrival.h) and would be heard late for seconds. Then
 * sets the target to what covers the arrivals so far, and drops the oldest packets that it does not need. */
static void drop_spare_at_start(bw_jitter_buffer *buffer, int64_t now_ns) {
    if (bw_arrival_ahead_ms(&buffer->arrival) < START_SPARE_MS)
        return;
    bw_delay_control_aim(&buffer->delay, now_ns, bw_arrival_covering_ms(&buffer->arrival));
    if (delay_of(buffer, buffer->next_timestamp, now_ns) < buffer->delay.target_ms + START_SPARE_MS)
        return;
    for (const bw_packet *first; (first = bw_packet_queue_first(&buffer->queue)) != NULL; drop_first(buffer)) {
        int64_t end = first->timestamp + first->samples;
        if (delay_of(buffer, end, now_ns) < buffer->delay.target_ms)
            return;
        bw_delay_control_moved(&buffer->delay, (int32_t)(end - buffer->next_timestamp));
        buffer->next_timestamp = end;
    }
}

/* Limits the queued audio to max_ms, however fast packets arrive: the oldest are dropped. */
static void keep_cap(bw_jitter_buffer *buffer, int64_t now_ns) {
    const bw_packet *last = bw_packet_queue_last(&buffer->queue);
    if (last == NULL ||
        samples_to_ms(last->timestamp - buffer->next_timestamp - buffer->stalled) <= buffer->config.max_ms)
        return;
    const bw_packet *first;
    while ((first = bw_packet_queue_first(&buffer->queue)) != last &&
           samples_to_ms(last->timestamp - first->timestamp) > buffer->delay.target_ms)
        drop_first(buffer);
    buffer->next_timestamp = first->timestamp;
    buffer->stalled = 0;
    bw_delay_control_restart(&buffer->delay, now_ns);
}

static void control_delay(bw_jitter_buffer *buffer, int64_t now_ns) {
    if (buffer->phase != PLAYING || !bw_arrival_has_base(&buffer->arrival))
        return;
    keep_cap(buffer, now_ns);
    bw_arrival_change change = bw_arrival_take_change(&buffer->arrival);
    bw_delay_control_rebased(&buffer->delay, change.base_rise_ms);
    if (change.is_new_path)
        bw_delay_control_aim(&buffer->delay, now_ns, bw_arrival_covering_ms(&buffer->arrival));
    if (buffer->stalled > 0)
        return; /* It is not known yet whether the missing audio is late or lost. */
    drop_spare_at_start(buffer, now_ns);
    double delay_ms = delay_of(buffer, buffer->next_timestamp, now_ns);
    double covering_ms = bw_arrival_covering_ms(&buffer->arrival);
    bw_resampler_set_ppm(buffer->resampler, bw_delay_control_update(&buffer->delay, now_ns, delay_ms, covering_ms));
}

/* ------------------------------------------------------------------ get */

static void start_over(bw_jitter_buffer *buffer) {
    bw_stretch_reset(&buffer->opus.sound);
    bw_resampler_reset(buffer->resampler);
    buffer->phase = BUFFERING;
    buffer->after_outage = false;
    buffer->opus.gain = 0.0f;
}

/* Returns the frames consumed: the resampler makes more or fewer of them to change the delay. */
static uint32_t play(bw_jitter_buffer *buffer, float *output, uint32_t frames, int64_t now_ns) {
    uint32_t produced = 0, consumed_in_all = 0;
    while (produced < frames) {
        uint32_t wanted = frames - produced < PIECE_SAMPLES ? frames - produced : PIECE_SAMPLES;
        uint32_t consumed = 0;
        while (bw_stretch_waiting(&buffer->opus.sound) < bw_resampler_input_for(buffer->resampler, wanted))
            advance(buffer, frames - produced, now_ns);
        produced += bw_resampler_process(buffer->resampler, bw_stretch_peek(&buffer->opus.sound),
                                         bw_stretch_waiting(&buffer->opus.sound), &consumed,
                                         output + 2 * (size_t)produced, wanted);
        bw_stretch_pop(&buffer->opus.sound, consumed);
        consumed_in_all += consumed;
    }
    return consumed_in_all;
}

/* Silence before a stream begins is not part of it. */
static void count_played(bw_jitter_buffer *buffer, uint32_t frames, uint32_t consumed) {
    receiver_counters *counters = &buffer->counters;
    if (buffer->phase == BUFFERING && !buffer->after_outage)
        return;
    bw_count(&counters->total_samples, frames);
    bw_count(&counters->inserted_samples, frames > consumed ? frames - consumed : 0);
    bw_count(&counters->removed_samples, consumed > frames ? consumed - frames : 0);
}

static void measure_level(bw_jitter_buffer *buffer, const float *output, uint32_t frames) {
    uint32_t whole = frames / 4 * 4;
    float square = lanes_energy(output, 2 * (size_t)whole);
    for (uint32_t i = 2 * whole; i < 2 * frames; i++)
        square += output[i] * output[i];
    float share = fminf(1.0f, (float)frames / LEVEL_SMOOTHING_SAMPLES);
    buffer->power += share * (square / (2.0f * (float)frames) - buffer->power);
    float level = buffer->power > 0.0f ? 10.0f * log10f(buffer->power) : SILENCE_DBFS;
    atomic_store_explicit(&buffer->counters.level_dbfs, fmaxf(level, SILENCE_DBFS), memory_order_relaxed);
}

static void publish(bw_jitter_buffer *buffer) {
    receiver_counters *counters = &buffer->counters;
    atomic_store_explicit(&counters->is_buffering, buffer->phase == BUFFERING, memory_order_relaxed);
    atomic_store_explicit(&counters->is_enhanced, buffer->opus.is_enhanced, memory_order_relaxed);
    atomic_store_explicit(&counters->enhanced_samples, buffer->opus.enhanced_samples, memory_order_relaxed);
    atomic_store_explicit(&counters->target_ms, (float)buffer->delay.target_ms, memory_order_relaxed);
    atomic_store_explicit(&counters->drift_ppm, (float)bw_drift_estimate_ppm(&buffer->delay.drift),
                          memory_order_relaxed);
    if (buffer->delay.measured)
        atomic_store_explicit(&counters->delay_ms, (float)buffer->delay.delay_ms, memory_order_relaxed);
}

/* The next sample is played now. */
static void note_place(bw_jitter_buffer *buffer, int64_t now_ns) {
    int64_t timestamp = buffer->next_timestamp - bw_stretch_waiting(&buffer->opus.sound);
    int64_t played_ns = now_ns - timestamp * 62500 / 3;
    int64_t before_ns = atomic_load_explicit(&buffer->counters.played_ns, memory_order_relaxed);
    int64_t change_ns = played_ns - before_ns;
    if (llabs(change_ns) < PLAYED_STEP_NS)
        played_ns = before_ns + change_ns / PLAYED_SMOOTHING;
    atomic_store_explicit(&buffer->counters.played_ns, played_ns, memory_order_relaxed);
}

void bw_jitter_buffer_get(bw_jitter_buffer *buffer, float *output, uint32_t frames, int64_t now_ns) {
    if (frames == 0)
        return;
    if (buffer->last_get_ns != 0 && now_ns - buffer->last_get_ns > PAUSE_NS)
        start_over(buffer);
    buffer->last_get_ns = now_ns;
    buffer->has_decoded = false;
    if (buffer->phase == PLAYING && buffer->stalled == 0)
        shift_delay(buffer, now_ns);
    if (buffer->phase == PLAYING && buffer->stalled == 0)
        note_place(buffer, now_ns);
    count_played(buffer, frames, play(buffer, output, frames, now_ns));
    control_delay(buffer, now_ns);
    measure_level(buffer, output, frames);
    publish(buffer);
}

/* ------------------------------------------------------------------ work ahead of the next get */

bool bw_jitter_buffer_has_decoded(const bw_jitter_buffer *buffer) { return buffer->has_decoded; }

bool bw_jitter_buffer_will_decode(const bw_jitter_buffer *buffer, uint32_t frames) {
    uint32_t needed = bw_resampler_input_for(buffer->resampler, frames);
    bool may_decode = buffer->phase == PLAYING && buffer->stalled == 0;
    return may_decode && needed <= BW_STRETCH_LOOK_AHEAD && bw_stretch_waiting(&buffer->opus.sound) < needed &&
           is_next(buffer, bw_packet_queue_first(&buffer->queue));
}

void bw_jitter_buffer_decode_early(bw_jitter_buffer *buffer, uint32_t frames, int64_t next_ns) {
    if (bw_jitter_buffer_will_decode(buffer, frames))
        decode_ahead(buffer, bw_resampler_input_for(buffer->resampler, frames), next_ns);
}

/* ------------------------------------------------------------------ life and statistics */

static void init_counters(receiver_counters *counters, float target_ms) {
    atomic_init(&counters->level_dbfs, SILENCE_DBFS);
    atomic_init(&counters->target_ms, target_ms);
    atomic_init(&counters->is_buffering, 1);
}

bw_jitter_buffer *bw_jitter_buffer_new(const bw_receiver_config *config, const bw_resampler *resampler) {
    bw_jitter_buffer *buffer = calloc(1, sizeof *buffer);
    if (buffer == NULL)
        return NULL;
    buffer->config = *config;
    bw_delay_control_init(&buffer->delay, config->start_ms, config->min_ms, config->max_ms);
    buffer->resampler = bw_resampler_new_like(resampler);
    bool has_room = bw_packet_queue_init(&buffer->queue) && bw_opus_receiver_init(&buffer->opus);
    if (buffer->resampler == NULL || !has_room) {
        bw_jitter_buffer_free(buffer);
        return NULL;
    }
    init_counters(&buffer->counters, (float)buffer->delay.target_ms);
    return buffer;
}

void bw_jitter_buffer_set_enhancement(bw_jitter_buffer *buffer, bw_enhancement *enhancement) {
    buffer->opus.enhancement = enhancement;
}

void bw_jitter_buffer_free(bw_jitter_buffer *buffer) {
    if (buffer == NULL)
        return;
    bw_opus_receiver_destroy(&buffer->opus);
    bw_resampler_free(buffer->resampler);
    bw_packet_queue_destroy(&buffer->queue);
    free(buffer);
}

void bw_jitter_buffer_get_stats(bw_jitter_buffer *buffer, bw_receiver_stats *stats) {
    receiver_counters *counters = &buffer->counters;
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
        .silent_concealed_samples = bw_read_counter(&counters->silent_samples),
        .inserted_samples_for_deceleration = bw_read_counter(&counters->inserted_samples),
        .removed_samples_for_acceleration = bw_read_counter(&counters->removed_samples),
        .join_delay_samples = (int64_t)bw_read_counter(&counters->join_delay_samples),
        .total_samples_received = bw_read_counter(&counters->total_samples),
        .jitter_buffer_emitted_count = bw_read_counter(&counters->emitted_samples),
        .enhanced_samples = bw_read_counter(&counters->enhanced_samples),
        .jitter_buffer_delay_s = (double)bw_read_counter(&counters->emitted_sample_us) * 1e-6,
        .jitter_buffer_ms = atomic_load_explicit(&counters->delay_ms, memory_order_relaxed),
        .jitter_buffer_target_ms = atomic_load_explicit(&counters->target_ms, memory_order_relaxed),
        .drift_ppm = atomic_load_explicit(&counters->drift_ppm, memory_order_relaxed),
        .audio_level_dbfs = atomic_load_explicit(&counters->level_dbfs, memory_order_relaxed),
        .is_buffering = atomic_load_explicit(&counters->is_buffering, memory_order_relaxed),
        .is_enhanced = atomic_load_explicit(&counters->is_enhanced, memory_order_relaxed),
        .played_ns = atomic_load_explicit(&counters->played_ns, memory_order_relaxed),
    };
}
