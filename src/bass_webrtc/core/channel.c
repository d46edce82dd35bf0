#include "channel.h"

#include "fan_out.h"
#include "tap.h"

#include <math.h>
#include <string.h>

#define SKIP_AFTER_NS 500000000 /* after a longer stop of the process, missed frames are skipped */
#define MIN_FADE_SAMPLES 240    /* 5 ms: a cut between two programmes would click */
#define JOINT_FRAMES 8
#define COMMANDS 512
/* Replaced, ended, one more end while that one is being read, stopped; and of channel 0, each call that is removed. */
#define NOTICES (4 + BW_MAX_CHANNELS)
#define PI 3.14159265358979f

void bw_channel_count(bw_channel *channel, size_t counter, uint64_t amount) {
    bw_add((bw_counter *)((char *)&channel->state->counters + counter), amount);
    bw_add((bw_counter *)((char *)&channel->engine->counters + counter), amount);
}

/* ---- source */

static void report_end(bw_channel *channel, int32_t error) {
    bw_channel_state *state = channel->state;
    atomic_store_explicit(&state->source_error, error, memory_order_relaxed);
    bw_count(&state->source_ends, 1);
    if (!atomic_exchange(&state->end_notice_pending, true))
        bw_events_post(channel->engine, &channel->notices,
                       (bw_notice){.kind = BW_EVENT_SOURCE_ENDED,
                                   .peer = BW_NO_PEER,
                                   .channel = channel->index,
                                   .value = (uint32_t)error});
}

static void read_source(bw_channel *channel) {
    bw_channel_state *state = channel->state;
    uint32_t frames = channel->engine->config.frame_samples;
    if (channel->source == NULL) {
        memset(channel->pcm, 0, sizeof(float) * frames * BW_CHANNELS);
        return;
    }
    uint32_t got = bw_source_read(channel->source, channel->pcm, frames);
    if (got < frames && !bw_source_is_idle(channel->source))
        bw_channel_count(channel, offsetof(bw_sending_counters, source_underruns), 1);
    if (bw_source_ends(channel->source) != channel->ends_seen) {
        channel->ends_seen = bw_source_ends(channel->source);
        report_end(channel, bw_source_error(channel->source));
    }
    atomic_store_explicit(&state->source_ended, bw_source_has_ended(channel->source), memory_order_relaxed);
}

static void finish_fade(bw_channel *channel) {
    channel->former = NULL;
    bw_events_post(channel->engine, &channel->notices,
                   (bw_notice){.kind = BW_EVENT_SOURCE_REPLACED, .peer = BW_NO_PEER, .channel = channel->index});
}

/* The gains of both sources add up to one: two equal programmes keep their level, and no two programmes clip that do not
 * clip on their own. */
static void cross_fade(bw_channel *channel) {
    uint32_t frames = channel->engine->config.frame_samples;
    bw_source_read(channel->former, channel->former_pcm, frames);
    for (uint32_t i = 0; i < frames; i++) {
        float done = (float)(channel->faded + i) / (float)channel->fade_samples;
        float gain = done < 1 ? 0.5f - 0.5f * cosf(PI * done) : 1;
        for (uint32_t c = BW_CHANNELS * i; c < BW_CHANNELS * (i + 1); c++)
            channel->pcm[c] = gain * channel->pcm[c] + (1 - gain) * channel->former_pcm[c];
    }
    channel->faded += frames;
    if (channel->faded >= channel->fade_samples)
        finish_fade(channel);
}

static void set_source(bw_channel *channel, const bw_channel_command *command) {
    bw_channel_state *state = channel->state;
    bool had_ended = atomic_load_explicit(&state->source_ended, memory_order_relaxed);
    channel->former = channel->source;
    channel->source = command->pointer;
    channel->ends_seen = channel->source != NULL ? bw_source_ends(channel->source) : 0;
    channel->fade_samples = command->value > MIN_FADE_SAMPLES ? command->value : MIN_FADE_SAMPLES;
    channel->faded = 0;
    atomic_store_explicit(&state->source_ended, channel->source == NULL, memory_order_relaxed);
    if (channel->source == NULL && !had_ended)
        report_end(channel, command->error);
    if (channel->former == NULL || had_ended)
        finish_fade(channel);
}

/* ---- commands */

static void remove_call(bw_channel *channel, bw_feed *feed, uint32_t index) {
    bw_calls_remove(channel->engine->calls, feed);
    bw_events_post(channel->engine, &channel->notices,
                   (bw_notice){.kind = BW_NOTICE_CALL_REMOVED, .peer = feed->peer, .channel = index});
}

static void take_commands(bw_channel *channel) {
    for (bw_channel_command *command; (command = bw_ring_peek(&channel->commands)) != NULL;
         bw_ring_pop(&channel->commands)) {
        switch (command->kind) {
        case BW_CHANNEL_SET_BITRATE:
            bw_encoding_set_bitrate(channel->encodings[command->encoding], command->value);
            break;
        case BW_CHANNEL_SET_EXPECTED_LOSS:
            bw_encoding_set_expected_loss(channel->encodings[command->encoding], command->value);
            break;
        case BW_CHANNEL_SET_COMPLEXITY:
            for (uint32_t i = 0; i < channel->encoding_count; i++)
                bw_encoding_set_complexity(channel->encodings[i], command->value);
            break;
        case BW_CHANNEL_SET_SOURCE:
            set_source(channel, command);
            break;
        case BW_CHANNEL_ADD_CALL:
            bw_calls_add(channel->engine->calls, command->pointer);
            break;
        case BW_CHANNEL_REMOVE_CALL:
            remove_call(channel, command->pointer, command->value);
            break;
        case BW_CHANNEL_SET_USE:
            channel->use = command->value;
            break;
        case BW_CHANNEL_ADD_TAP:
            bw_taps_add(&channel->taps, command->pointer);
            break;
        }
    }
}

/* ---- lateness: of the fan-out that was last, for each frame */

static _Atomic uint32_t *lateness_of(bw_channel *channel, int64_t number) {
    return &channel->state->lateness_us[(uint64_t)number % channel->engine->lateness_capacity];
}

bool bw_channel_has_frame(bw_channel *channel, int64_t number) {
    return atomic_load_explicit(lateness_of(channel, number), memory_order_relaxed) != BW_NO_TICK;
}

void bw_channel_frame_done(bw_channel *channel, int64_t number) {
    int64_t late_ns = bw_now_ns() - (atomic_load(&channel->state->start_ns) + number * channel->frame_ns);
    uint32_t late_us = late_ns > 0 ? (uint32_t)(late_ns / 1000) : 0;
    uint32_t frame_us = (uint32_t)(channel->frame_ns / 1000);
    _Atomic uint32_t *latest = lateness_of(channel, number);
    uint32_t before = atomic_load_explicit(latest, memory_order_relaxed);
    while (before < late_us &&
           !atomic_compare_exchange_weak_explicit(latest, &before, late_us, memory_order_relaxed, memory_order_relaxed))
        ;
    if (before <= frame_us && late_us > frame_us)
        bw_channel_count(channel, offsetof(bw_sending_counters, late_frames), 1);
}

/* ---- thread */

/* Returns the frame time that begins next. */
static int64_t next_number(const bw_channel *channel, int64_t start_ns) {
    int64_t elapsed_ns = bw_now_ns() - start_ns;
    return elapsed_ns > channel->frame_ns ? elapsed_ns / channel->frame_ns + 1 : 0;
}

static int64_t skip(bw_channel *channel, int64_t number, int64_t missed) {
    bw_channel_count(channel, offsetof(bw_sending_counters, frames_skipped), (uint64_t)missed);
    for (int64_t i = 0; i < missed && i < channel->engine->lateness_capacity; i++)
        atomic_store_explicit(lateness_of(channel, number + i), BW_NO_TICK, memory_order_relaxed);
    return number + missed;
}

/* There may be a joint every JOINT_FRAMES, and there is one if somebody waits for it and all encoders have settled. */
static bw_frame_kind frame_kind(bw_channel *channel, int64_t number) {
    bw_frame_kind former = channel->kind;
    bool is_wanted = atomic_load_explicit(&channel->state->waiting, memory_order_relaxed) > 0;
    for (uint32_t i = 0; i < channel->encoding_count; i++)
        is_wanted = is_wanted && (channel->encodings[i]->run == 0 || bw_encoding_is_warm(channel->encodings[i]));
    channel->kind = BW_PLAIN_FRAME;
    if (former == BW_BEFORE_JOINT)
        channel->kind = BW_JOINT;
    else if (is_wanted && number % JOINT_FRAMES == 0)
        channel->kind = BW_BEFORE_JOINT;
    return channel->kind;
}

static void encode(bw_channel *channel, const float *pcm, int64_t number) {
    bw_frame_kind kind = frame_kind(channel, number);
    for (uint32_t i = 0; i < channel->encoding_count; i++) {
        /* Without listeners, keep reading the source but skip the encoder, the most expensive step. */
        bool is_recorded = i == 0 && channel->taps != NULL;
        if (!is_recorded && atomic_load_explicit(&channel->state->listeners[i], memory_order_relaxed) == 0)
            bw_encoding_pause(channel->encodings[i]);
        else if (!bw_encoding_encode(channel->encodings[i], pcm, (uint32_t)number, kind))
            bw_channel_count(channel, offsetof(bw_sending_counters, encode_errors), 1);
    }
    bw_channel_count(channel, offsetof(bw_sending_counters, frames_sent), 1);
}

static void publish(bw_channel *channel, int64_t number) {
    atomic_store_explicit(lateness_of(channel, number), 0, memory_order_relaxed);
    atomic_store_explicit(&channel->published, number, memory_order_release);
    uint32_t fan_outs = atomic_load_explicit(&channel->fan_out_count, memory_order_acquire);
    for (uint32_t i = 1; i < fan_outs; i++)
        bw_wake_signal(&channel->fan_outs[i]->wake);
}

static void stop_fan_outs(bw_channel *channel) {
    uint32_t fan_outs = atomic_load_explicit(&channel->fan_out_count, memory_order_acquire);
    for (uint32_t i = 1; i < fan_outs; i++) {
        bw_wake_signal(&channel->fan_outs[i]->wake);
        pthread_join(channel->fan_outs[i]->thread, NULL);
    }
    for (uint32_t i = 0; i < fan_outs; i++)
        bw_fan_out_take_commands(channel->fan_outs[i]);
}

static void send_frame(bw_channel *channel, const float *pcm, int64_t number) {
    encode(channel, pcm, number);
    publish(channel, number);
    bw_fan_out_send(channel->fan_outs[0]);
    bw_taps_take_frame(channel, number);
}

static bool is_running(bw_channel *channel) { return atomic_load_explicit(&channel->running, memory_order_acquire); }

/* The thread of a channel with a source: one frame at each deadline. */
static void lead(bw_channel *channel, bw_pacer *pacer) {
    int64_t start_ns = atomic_load(&channel->state->start_ns);
    channel->fan_outs[0]->next_number = next_number(channel, start_ns);
    for (int64_t number = channel->fan_outs[0]->next_number; is_running(channel); number++) {
        int64_t behind_ns = bw_now_ns() - (start_ns + number * channel->frame_ns);
        if (behind_ns > SKIP_AFTER_NS)
            number = skip(channel, number, behind_ns / channel->frame_ns);
        bw_pacer_sleep_until_ns(pacer, start_ns + number * channel->frame_ns);
        take_commands(channel);
        bw_fan_out_take_commands(channel->fan_outs[0]);
        read_source(channel);
        if (channel->former != NULL)
            cross_fade(channel);
        if (channel->index == 0)
            bw_calls_mix(channel->engine->calls, channel->pcm, number, bw_now_ns());
        if (channel->use != BW_CHANNEL_PLAIN)
            bw_calls_write(channel->engine->calls, channel->use, channel->pcm);
        send_frame(channel, channel->pcm, number);
    }
}

/* The thread of a caller's channel: the frames that channel 0 has made. */
static void follow(bw_channel *channel) {
    bw_feed *feed = channel->feed;
    struct pollfd wake = {.fd = feed->wake.read_descriptor, .events = POLLIN};
    int64_t next = -1;
    while (bw_poll(&wake, 1, -1) < 0 || is_running(channel)) {
        bw_wake_clear(&feed->wake);
        take_commands(channel);
        bw_fan_out_take_commands(channel->fan_outs[0]);
        for (bw_feed_frame *frame; (frame = bw_ring_peek(&feed->frames)) != NULL; bw_ring_pop(&feed->frames)) {
            if (next < 0)
                next = channel->fan_outs[0]->next_number = frame->number;
            skip(channel, next, frame->number - next);
            send_frame(channel, frame->samples, frame->number);
            next = frame->number + 1;
        }
    }
}

static void *run(void *argument) {
    bw_channel *channel = argument;
    bw_block_signals();
    bw_name_thread("bw-send");
    bw_srtp_prepare_thread();
    bw_pacer pacer = bw_pacer_begin();
    if (channel->index == 0)
        atomic_store(&channel->engine->realtime_priority, pacer.has_realtime_priority);
    if (channel->feed == NULL)
        lead(channel, &pacer);
    else
        follow(channel);
    bw_pacer_end(&pacer);
    stop_fan_outs(channel);
    bw_taps_release(&channel->taps);
    bw_events_post(channel->engine, &channel->notices,
                   (bw_notice){.kind = BW_EVENT_CHANNEL_REMOVED, .peer = BW_NO_PEER, .channel = channel->index});
    return NULL;
}

/* ---- life: loop thread */

/* Spreads the channels over the frame time, whatever their number: 0, 1/2, 1/4, 3/4, 1/8 … */
static int64_t phase_ns(uint32_t index, int64_t frame_ns) {
    int64_t phase = 0;
    for (int64_t part = frame_ns / 2; index > 0; part /= 2, index >>= 1)
        phase += (index & 1) ? part : 0;
    return phase;
}

static void reset_state(bw_channel *channel) {
    bw_engine *engine = channel->engine;
    bw_channel_state *state = channel->state;
    bw_counter *counters = (bw_counter *)&state->counters;
    for (size_t i = 0; i < sizeof state->counters / sizeof *counters; i++)
        atomic_store(&counters[i], 0);
    atomic_store(&state->source_ends, 0);
    atomic_store(&state->source_ended, false);
    atomic_store(&state->source_error, 0);
    atomic_store(&state->end_notice_pending, false);
    for (uint32_t i = 0; i < engine->lateness_capacity; i++)
        atomic_store(&state->lateness_us[i], BW_NO_TICK);
}

static bool init(bw_channel *channel, const bw_channel_config *config) {
    bw_engine *engine = channel->engine;
    bw_channel_state *state = channel->state;
    size_t samples = (size_t)engine->config.frame_samples * BW_CHANNELS;
    if (state->lateness_us == NULL)
        state->lateness_us = calloc(engine->lateness_capacity, sizeof *state->lateness_us);
    channel->pcm = calloc(samples, sizeof *channel->pcm);
    channel->former_pcm = calloc(samples, sizeof *channel->former_pcm);
    if (!bw_ring_init(&channel->commands, COMMANDS, sizeof(bw_channel_command)) ||
        !bw_ring_init(&channel->notices, NOTICES, sizeof(bw_notice)) || !state->lateness_us || !channel->pcm ||
        !channel->former_pcm)
        return false;
    reset_state(channel);
    for (; channel->encoding_count < config->encodings; channel->encoding_count++) {
        uint32_t i = channel->encoding_count;
        channel->encodings[i] = bw_encoding_new(config, i, engine->config.frame_samples);
        if (channel->encodings[i] == NULL)
            return false;
    }
    channel->fan_outs[0] = bw_fan_out_new(channel, false);
    return channel->fan_outs[0] != NULL;
}

bw_channel *bw_channel_new(bw_engine *engine, uint32_t index, const bw_channel_config *config, bw_source *source,
                           bw_feed *feed) {
    bw_channel *channel = bw_allocate_aligned(sizeof *channel);
    if (channel == NULL)
        return NULL;
    memset(channel, 0, sizeof *channel);
    channel->engine = engine;
    channel->index = index;
    channel->state = &engine->channel_states[index];
    channel->source = source;
    channel->feed = feed;
    channel->frame_ns = (int64_t)engine->config.frame_samples * 1000000000 / BW_SAMPLE_RATE_HZ;
    channel->fan_out_count = 1;
    channel->published = -1;
    if (init(channel, config))
        return channel;
    channel->feed = NULL; /* The caller's still. */
    bw_channel_free(channel);
    return NULL;
}

bool bw_channel_start(bw_channel *channel) {
    int64_t phase = channel->feed == NULL ? phase_ns(channel->index, channel->frame_ns) : 0; /* as channel 0 */
    atomic_store(&channel->state->start_ns, channel->engine->start_ns + phase);
    atomic_store(&channel->running, true);
    channel->is_started = pthread_create(&channel->thread, NULL, run, channel) == 0;
    return channel->is_started;
}

void bw_channel_end(bw_channel *channel) {
    atomic_store_explicit(&channel->running, false, memory_order_release);
    if (channel->feed != NULL)
        bw_wake_signal(&channel->feed->wake);
}

void bw_channel_stop(bw_channel *channel) {
    if (channel == NULL || !channel->is_started)
        return;
    channel->is_started = false;
    bw_channel_end(channel);
    pthread_join(channel->thread, NULL);
}

void bw_channel_free(bw_channel *channel) {
    if (channel == NULL)
        return;
    bw_channel_stop(channel);
    for (uint32_t i = 0; i < BW_MAX_FAN_OUTS; i++)
        bw_fan_out_free(channel->fan_outs[i]);
    for (uint32_t i = 0; i < channel->encoding_count; i++)
        bw_encoding_free(channel->encodings[i]);
    bw_ring_destroy(&channel->commands);
    bw_ring_destroy(&channel->notices);
    bw_feed_free(channel->feed);
    free(channel->pcm);
    free(channel->former_pcm);
    bw_free_aligned(channel);
}
