/* Channels as the loop thread sees them (core.h): it adds and removes them and sends commands to their threads. */
#include "fan_out.h"

#include <string.h>

#define LISTENERS_PER_FAN_OUT 250 /* before there is another one: those take about two milliseconds per frame */

static bool bitrate_is_valid(uint32_t bitrate_bps) { return bitrate_bps >= 6000 && bitrate_bps <= 510000; }

static bool config_is_valid(const bw_channel_config *config) {
    if (config->encodings < 1 || config->encodings > BW_MAX_ENCODINGS || config->complexity > 10 ||
        config->application > BW_APPLICATION_LOWDELAY)
        return false;
    for (uint32_t i = 0; i < config->encodings; i++) {
        if (!bitrate_is_valid(config->bitrates_bps[i]))
            return false;
    }
    return true;
}

/* Returns NULL unless there is such a channel, which is not being removed. */
bw_channel *bw_channel_find(bw_engine *engine, uint32_t channel) {
    bw_channel *found = channel < BW_MAX_CHANNELS ? engine->channels[channel] : NULL;
    return found != NULL && !found->is_removed ? found : NULL;
}

/* ---- life */

static int add(bw_engine *engine, const bw_channel_config *config, bw_source *source, bw_feed *feed) {
    uint32_t index = 0;
    if (!config_is_valid(config))
        return BW_ERROR_ARGUMENT;
    while (index < BW_MAX_CHANNELS && engine->channels[index] != NULL)
        index++;
    if (index == BW_MAX_CHANNELS)
        return BW_ERROR_BUSY;
    bw_channel *channel = bw_channel_new(engine, index, config, source, feed);
    if (channel == NULL || (engine->threads_started && !bw_channel_start(channel))) {
        if (channel != NULL)
            channel->feed = NULL; /* The caller's still. */
        bw_channel_free(channel);
        return BW_ERROR_MEMORY;
    }
    engine->channels[index] = channel;
    return (int)index;
}

int bw_channel_add(bw_engine *engine, const bw_channel_config *config, bw_source *source) {
    return add(engine, config, source, NULL);
}

/* Two commands for each call that can be outstanding always have room. */
static int command_channel(bw_channel *channel, bw_channel_command command) {
    bool is_of_call = command.kind == BW_CHANNEL_ADD_CALL || command.kind == BW_CHANNEL_REMOVE_CALL;
    uint32_t room = channel->commands.mask + 1 - bw_ring_count(&channel->commands);
    bw_channel_command *slot =
        is_of_call || room > 2 * BW_MAX_CHANNELS ? bw_ring_begin_write(&channel->commands) : NULL;
    if (slot == NULL)
        return BW_ERROR_BUSY;
    *slot = command;
    bw_ring_end_write(&channel->commands);
    return BW_OK;
}

int bw_channel_remove(bw_engine *engine, uint32_t channel) {
    bw_channel *removed = bw_channel_find(engine, channel);
    if (removed == NULL || !removed->is_started || removed->feed != NULL)
        return BW_ERROR_ARGUMENT;
    if (removed->peers > 0)
        return BW_ERROR_BUSY;
    removed->is_removed = true;
    bw_channel_end(removed);
    return BW_OK;
}

/* ---- calls */

static bw_channel *find_call(bw_engine *engine, uint32_t peer) {
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++) {
        bw_channel *channel = bw_channel_find(engine, i);
        if (channel != NULL && channel->feed != NULL && channel->feed->peer == peer)
            return channel;
    }
    return NULL;
}

static uint32_t count_calls(bw_engine *engine) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++)
        count += engine->channels[i] != NULL && engine->channels[i]->feed != NULL;
    return count;
}

bool bw_call_exists(bw_engine *engine, uint32_t peer) { return find_call(engine, peer) != NULL; }

int bw_call_add(bw_engine *engine, uint32_t peer, const bw_channel_config *config, const bw_call_settings *settings) {
    if (peer >= engine->config.max_peers || !engine->threads_started || engine->slots[peer].added ||
        bw_call_exists(engine, peer) || bw_call_set(engine, peer, settings) != BW_OK)
        return BW_ERROR_ARGUMENT;
    if (count_calls(engine) == BW_MAX_CALLS)
        return BW_ERROR_BUSY;
    bw_feed *feed = bw_feed_new(peer, engine->config.frame_samples);
    if (feed == NULL || !bw_playout_open_calls(engine->playout, engine->config.frame_samples)) {
        bw_feed_free(feed);
        return BW_ERROR_MEMORY;
    }
    int channel = add(engine, config, NULL, feed);
    if (channel < 0) {
        bw_feed_free(feed);
        return channel;
    }
    command_channel(engine->channels[0], (bw_channel_command){.kind = BW_CHANNEL_ADD_CALL, .pointer = feed});
    return channel;
}

bool bw_call_remove(bw_engine *engine, uint32_t peer) {
    bw_channel *channel = find_call(engine, peer);
    if (channel == NULL)
        return false;
    channel->is_removed = true;
    command_channel(
        engine->channels[0],
        (bw_channel_command){.kind = BW_CHANNEL_REMOVE_CALL, .value = channel->index, .pointer = channel->feed});
    return true;
}

void bw_call_removed(bw_engine *engine, uint32_t channel) { bw_channel_end(engine->channels[channel]); }

int bw_channel_set_use(bw_engine *engine, uint32_t channel, uint32_t use) {
    bw_channel *found = bw_channel_find(engine, channel);
    if (found == NULL || channel == 0 || found->feed != NULL || use >= BW_CHANNEL_USES)
        return BW_ERROR_ARGUMENT;
    for (uint32_t i = 0; use != BW_CHANNEL_PLAIN && i < BW_MAX_CHANNELS; i++) {
        if (engine->channels[i] != NULL && i != channel && engine->channels[i]->wanted_use == use)
            return BW_ERROR_BUSY; /* each ring has one writer */
    }
    int status = command_channel(found, (bw_channel_command){.kind = BW_CHANNEL_SET_USE, .value = use});
    if (status == BW_OK && (use == BW_CHANNEL_HOLD || found->wanted_use == BW_CHANNEL_HOLD))
        bw_calls_set_hold(engine->calls, use == BW_CHANNEL_HOLD);
    if (status == BW_OK)
        found->wanted_use = use;
    return status;
}

/* ---- fan-outs */

/* Returns the fan-out with the fewest peers, or a new one if all have enough. */
static bw_fan_out *choose_fan_out(bw_channel *channel) {
    uint32_t count = atomic_load_explicit(&channel->fan_out_count, memory_order_relaxed);
    bw_fan_out *least = channel->fan_outs[0];
    for (uint32_t i = 1; i < count; i++)
        least = channel->fan_outs[i]->peers < least->peers ? channel->fan_outs[i] : least;
    bool is_enough = least->peers < LISTENERS_PER_FAN_OUT || count == channel->engine->config.fan_out_threads;
    if (is_enough || !channel->is_started) /* a fan-out's thread is stopped by that of its channel */
        return least;
    bw_fan_out *another = bw_fan_out_new(channel, true);
    if (another == NULL)
        return least;
    channel->fan_outs[count] = another;
    atomic_store_explicit(&channel->fan_out_count, count + 1, memory_order_release);
    return another;
}

bw_fan_out *bw_channel_admit(bw_channel *channel) {
    bw_fan_out *fan_out = choose_fan_out(channel);
    fan_out->peers++;
    channel->peers++;
    return fan_out;
}

void bw_channel_dismiss(bw_fan_out *fan_out) {
    fan_out->peers--;
    fan_out->channel->peers--;
}

bool bw_channels_are_stable(bw_engine *engine) {
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++) {
        if (engine->channels[i] != NULL && engine->channels[i]->is_removed)
            return false;
    }
    return true;
}

uint32_t bw_channels_fan_outs(bw_engine *engine, bw_fan_out **fan_outs) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++) {
        bw_channel *channel = bw_channel_find(engine, i);
        for (uint32_t k = 0; channel != NULL && k < channel->fan_out_count; k++)
            fan_outs[found++] = channel->fan_outs[k];
    }
    return found;
}

/* ---- commands */

static int command_encoding(bw_engine *engine, uint32_t channel, bw_channel_command command) {
    bw_channel *found = bw_channel_find(engine, channel);
    if (found == NULL || command.encoding >= found->encoding_count)
        return BW_ERROR_ARGUMENT;
    return command_channel(found, command);
}

int bw_channel_set_bitrate(bw_engine *engine, uint32_t channel, uint32_t encoding, uint32_t bitrate_bps) {
    if (!bitrate_is_valid(bitrate_bps))
        return BW_ERROR_ARGUMENT;
    return command_encoding(
        engine, channel,
        (bw_channel_command){.kind = BW_CHANNEL_SET_BITRATE, .encoding = encoding, .value = bitrate_bps});
}

int bw_channel_set_expected_loss(bw_engine *engine, uint32_t channel, uint32_t encoding, uint32_t percent) {
    if (percent > 100)
        return BW_ERROR_ARGUMENT;
    return command_encoding(
        engine, channel,
        (bw_channel_command){.kind = BW_CHANNEL_SET_EXPECTED_LOSS, .encoding = encoding, .value = percent});
}

int bw_channel_set_complexity(bw_engine *engine, uint32_t channel, uint32_t complexity) {
    if (complexity > 10)
        return BW_ERROR_ARGUMENT;
    return command_encoding(engine, channel,
                            (bw_channel_command){.kind = BW_CHANNEL_SET_COMPLEXITY, .value = complexity});
}

int bw_channel_set_source(bw_engine *engine, uint32_t channel, bw_source *source, uint32_t fade_ms, int32_t error) {
    bw_channel *found = bw_channel_find(engine, channel);
    if (found == NULL || found->feed != NULL || fade_ms > BW_MAX_FADE_MS)
        return BW_ERROR_ARGUMENT;
    if (found->replacing)
        return BW_ERROR_BUSY;
    int status = command_channel(found, (bw_channel_command){.kind = BW_CHANNEL_SET_SOURCE,
                                                             .pointer = source,
                                                             .value = fade_ms * (BW_SAMPLE_RATE_HZ / 1000),
                                                             .error = error});
    found->replacing = status == BW_OK;
    return status;
}

int bw_channel_add_tap(bw_engine *engine, uint32_t channel, bw_tap *tap) {
    bw_channel *found = bw_channel_find(engine, channel);
    if (found == NULL)
        return BW_ERROR_ARGUMENT;
    return command_channel(found, (bw_channel_command){.kind = BW_CHANNEL_ADD_TAP, .pointer = tap});
}

/* ---- notices */

void bw_channel_noticed(bw_engine *engine, const bw_notice *notice) {
    bw_channel *channel = engine->channels[notice->channel];
    if (notice->kind == BW_EVENT_SOURCE_ENDED)
        atomic_store(&channel->state->end_notice_pending, false);
    else if (notice->kind == BW_EVENT_SOURCE_REPLACED)
        channel->replacing = false;
    else if (notice->kind == BW_EVENT_CHANNEL_REMOVED)
        channel->has_stopped = true;
}

/* Frees a channel whose threads have ended and whose notices have all been taken. */
static bool finish_removal(bw_engine *engine, bw_channel *channel, bw_event *event) {
    if (!channel->is_removed || !channel->has_stopped)
        return false;
    for (uint32_t i = 0; i < channel->fan_out_count; i++) {
        if (bw_ring_count(&channel->fan_outs[i]->notices) > 0)
            return false; /* The loop thread has been notified of it again. */
    }
    engine->channels[channel->index] = NULL;
    event->kind = BW_EVENT_CHANNEL_REMOVED;
    event->peer = BW_NO_PEER;
    event->channel = channel->index;
    event->length = 0;
    bw_channel_free(channel);
    return true;
}

uint32_t bw_channels_take_notices(bw_engine *engine, bw_event *events, uint32_t capacity) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++) {
        bw_channel *channel = engine->channels[i];
        if (channel == NULL)
            continue;
        for (uint32_t k = 0; k < channel->fan_out_count; k++)
            taken += bw_events_take(engine, &channel->fan_outs[k]->notices, events + taken, capacity - taken);
        taken += bw_events_take(engine, &channel->notices, events + taken, capacity - taken);
        taken += taken < capacity && finish_removal(engine, channel, events + taken);
    }
    return taken;
}

/* ---- statistics: any thread */

int bw_channel_get_stats(bw_engine *engine, uint32_t channel, bw_channel_stats *stats) {
    if (channel >= BW_MAX_CHANNELS)
        return BW_ERROR_ARGUMENT;
    bw_channel_state *state = &engine->channel_states[channel];
    bw_sending_counters *counters = &state->counters;
    *stats = (bw_channel_stats){
        .frames_sent = bw_read_counter(&counters->frames_sent),
        .frames_skipped = bw_read_counter(&counters->frames_skipped),
        .late_frames = bw_read_counter(&counters->late_frames),
        .packets_sent = bw_read_counter(&counters->packets_sent),
        .bytes_sent = bw_read_counter(&counters->bytes_sent),
        .send_drops = bw_read_counter(&counters->send_drops),
        .encode_errors = bw_read_counter(&counters->encode_errors),
        .source_underruns = bw_read_counter(&counters->source_underruns),
        .source_ended = atomic_load(&state->source_ended),
        .source_error = atomic_load(&state->source_error),
        .source_ends = bw_read_counter(&state->source_ends),
    };
    for (uint32_t i = 0; i < BW_MAX_ENCODINGS; i++)
        stats->listeners[i] = atomic_load_explicit(&state->listeners[i], memory_order_relaxed);
    return BW_OK;
}

uint32_t bw_channel_get_lateness(bw_engine *engine, uint32_t channel, uint32_t *lateness_us, uint32_t capacity) {
    _Atomic uint32_t *all =
        channel < BW_MAX_CHANNELS ? atomic_load(&engine->channel_states[channel].lateness_us) : NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; all != NULL && i < engine->lateness_capacity && count < capacity; i++) {
        uint32_t late_us = atomic_load_explicit(&all[i], memory_order_relaxed);
        if (late_us != BW_NO_TICK)
            lateness_us[count++] = late_us;
    }
    return count;
}
