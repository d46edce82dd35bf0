/* The jitter buffer under a seeded network: audible result and statistics. */
#include "virtual_network.h"

/* ------------------------------------------------------------------ scenarios */

static void check_clean(const outcome *o) {
    CHECK_EQ(o->stats.concealed_samples, 0);
    CHECK_EQ(o->stats.underruns, 0);
    CHECK_EQ(o->stats.late_packets, 0);
    CHECK_EQ(o->stats.decode_errors, 0);
    CHECK_EQ(o->clicks, 0);
    CHECK_NEAR(o->stats.audio_level_dbfs, decibels(AMPLITUDE / sqrt(2.0)), 0.3);
}

static void test_clean_path_loses_no_audio_and_adds_little_delay(void) {
    const outcome *o = simulate((scenario){.seed = 1, .seconds = 20, .start_ms = 40, .frame_samples = 480});
    check_clean(o);
    CHECK_AT_MOST(o->stats.jitter_buffer_target_ms, 5.0);
    CHECK_NEAR(o->stats.jitter_buffer_ms, o->stats.jitter_buffer_target_ms, 3.0);
    CHECK_EQ(o->stats.is_buffering, 0);
    CHECK_NEAR(o->stats.total_samples_received, 20 * 48000, 4000);
}

/* A browser processes blocks of 10 ms and is sometimes late by most of one: too rare to be learnt in time. */
static void test_delay_covers_unlearnt_lateness_of_multi_block_frames(void) {
    for (uint32_t seed = 1; seed <= 4; seed++) {
        const outcome *o = simulate((scenario){
            .seed = seed, .seconds = 60, .start_ms = 40, .step_ms = 7.0, .step_from_s = 50.0, .step_to_s = 50.02});
        check_clean(o);
        CHECK_EQ(o->stats.concealed_samples, 0);
        CHECK_EQ(o->stats.late_packets, 0);
        CHECK_AT_MOST(o->stats.jitter_buffer_target_ms, 11.0);
    }
}

/* The delay is measured after a pull, from what the next one plays. */
static void test_time_of_playing_follows_the_delay(void) {
    static const uint32_t pulls[] = {240, 480, 960};
    for (int i = 0; i < 3; i++) {
        const outcome *o = simulate((scenario){
            .seed = 4, .seconds = 40, .loss = 0.02, .jitter_ms = 25, .start_ms = 40, .pull_frames = pulls[i]});
        for (uint32_t s = 5; s < o->moment_count; s++)
            CHECK_NEAR(o->moments[s].played_ms, o->moments[s].delay_ms + pulls[i] / 48.0, 10.0);
    }
}

static void test_delay_never_falls_below_minimum(void) {
    const outcome *o = simulate((scenario){.seed = 1, .seconds = 20, .start_ms = 40, .min_ms = 30});
    check_clean(o);
    CHECK_EQ(o->stats.jitter_buffer_target_ms, 30.0);
    CHECK_NEAR(o->stats.jitter_buffer_ms, 30.0, 5.0);
}

/* Covers OP14. */
static void test_every_frame_size_plays_without_clicks(void) {
    const uint32_t sizes[] = {240, 480, 960, 1920, 2880, 5760};
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const outcome *o =
            simulate((scenario){.seed = i, .seconds = 12, .start_ms = 40, .frame_samples = sizes[i], .jitter_ms = 4.0});
        check_clean(o);
        CHECK_LESS(o->stats.jitter_buffer_ms, 18.0);
    }
    /* At 2.5 ms the codec itself distorts, but nothing may be missing. */
    const outcome *o = simulate((scenario){.seed = 9, .seconds = 12, .start_ms = 40, .frame_samples = 120});
    CHECK_EQ(o->stats.concealed_samples, 0);
    CHECK_NEAR(o->stats.audio_level_dbfs, decibels(AMPLITUDE / sqrt(2.0)), 1.0);
}

static void test_every_pull_size_plays_without_clicks(void) {
    const uint32_t blocks[] = {48, 441, 480, 1000, 4800, 7200};
    for (uint32_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        check_clean(simulate((scenario){.seed = i, .seconds = 12, .start_ms = 40, .pull_frames = blocks[i]}));
}

static void test_uniform_jitter_is_covered_without_excess_delay(void) {
    for (double jitter_ms = 10.0; jitter_ms <= 60.0; jitter_ms += 25.0) {
        const outcome *o = simulate((scenario){.seed = 3, .seconds = 40, .start_ms = 60, .jitter_ms = jitter_ms});
        CHECK_LESS(o->stats.concealed_samples, 0.001 * (double)o->stats.total_samples_received);
        CHECK_AT_MOST(o->stats.jitter_buffer_target_ms, jitter_ms + 5.0);
        CHECK_AT_LEAST(o->stats.jitter_buffer_target_ms, 0.8 * jitter_ms);
    }
}

static void test_reordered_packets_are_played_in_order(void) {
    const outcome *o = simulate((scenario){.seed = 4, .seconds = 40, .start_ms = 60, .reorder = 0.02});
    CHECK_AT_MOST(o->stats.concealed_samples, 480); /* before the first one is known */
    CHECK_EQ(o->stats.late_packets, 0);
    CHECK_EQ(o->clicks, 0);
    CHECK_AT_MOST(o->stats.jitter_buffer_target_ms, 40.0);
}

/* Covers OP13. */
static void test_duplicates_are_counted_and_played_once(void) {
    const outcome *o = simulate((scenario){.seed = 5, .seconds = 20, .start_ms = 40, .duplicate = 0.1});
    check_clean(o);
    CHECK_NEAR(o->stats.duplicate_packets, 100, 40);
}

static void test_concealment_lasts_as_long_as_loss(void) {
    const outcome *o = simulate((scenario){.seed = 6, .seconds = 60, .start_ms = 40, .loss = 0.05});
    double share = (double)o->stats.concealed_samples / (double)o->stats.total_samples_received;
    CHECK_NEAR(share, 0.05, 0.015);
    CHECK_EQ(o->stats.late_packets, 0);
    CHECK_LESS(o->stats.jitter_buffer_ms, 20.0);
}

static void test_tone_continues_through_loss(void) {
    for (uint32_t seed = 6; seed < 9; seed++) {
        const outcome *single = simulate((scenario){.seed = seed, .seconds = 40, .start_ms = 40, .loss = 0.05});
        printf("  5 %% lost: %u of 7000 windows of 5 ms differ from the tone\n", single->clicks);
        CHECK_AT_MOST(single->clicks, 5);
        CHECK_LESS(single->worst_break, 0.2);
    }
    const outcome *bursts =
        simulate((scenario){.seed = 6, .seconds = 40, .start_ms = 40, .burst_every_s = 2.0, .burst_packets = 3});
    printf("  60 ms lost every 2 s: %u windows differ\n", bursts->clicks);
    CHECK_AT_MOST(bursts->clicks, 10);
    CHECK_LESS(bursts->worst_break, 0.2);
}

/* With one copy, only two consecutive losses are audible: a quarter of a percent of all packets. Two copies leave
 * almost none. */
static void test_redundant_copies_make_5_percent_loss_inaudible(void) {
    const double wanted_shares[] = {0.004, 0.0002};
    for (uint32_t level = 1; level <= 2; level++) {
        for (uint32_t seed = 7; seed < 12; seed++) {
            const outcome *o =
                simulate((scenario){.seed = seed, .seconds = 60, .start_ms = 60, .loss = 0.05, .red_level = level});
            double share = (double)o->stats.concealed_samples / (double)o->stats.total_samples_received;
            CHECK_LESS(share, wanted_shares[level - 1]);
            CHECK_EQ(o->clicks, 0);
            CHECK_LESS(o->worst_break, 0.1);
            CHECK_NEAR(o->stats.red_packets_used, 150, 40);
            CHECK_AT_MOST(o->stats.jitter_buffer_target_ms, 20.0 * level + 7.0);
        }
    }
}

/* One packet in twelve seconds: the first copy arrives too late, and makes the buffer wait for the later ones. */
static void test_rare_losses_are_inaudible_after_the_first(void) {
    const outcome *o = simulate(
        (scenario){.seed = 1, .seconds = 70, .start_ms = 5, .burst_every_s = 12.0, .burst_packets = 1, .red_level = 1});
    CHECK_EQ(o->stats.red_packets_used, 5);
    CHECK_EQ(o->stats.underruns, 1);
    CHECK_AT_MOST(o->stats.concealed_samples, 960);
}

/* Two copies: a single lost packet makes the buffer wait for both, before two in a row are lost. */
static void test_first_loss_adds_delay_for_all_copies(void) {
    const outcome *o = simulate(
        (scenario){.seed = 1, .seconds = 20, .start_ms = 5, .burst_every_s = 12.0, .burst_packets = 1, .red_level = 2});
    CHECK_NEAR(o->stats.jitter_buffer_target_ms, 44.0, 2.0);
    CHECK_NEAR(o->stats.jitter_buffer_ms, 44.0, 10.0);
}

static void test_delay_step_of_100_ms_is_absorbed_and_removed_within_15_s(void) {
    const outcome *o = simulate(
        (scenario){.seed = 8, .seconds = 46, .start_ms = 40, .step_ms = 100.0, .step_from_s = 20.0, .step_to_s = 30.0});
    CHECK_EQ(o->stats.underruns, 1);
    CHECK_AT_MOST(o->stats.concealed_samples, 48 * 120);
    CHECK_NEAR(o->moments[29].delay_ms, o->moments[29].target_ms, 10.0);
    CHECK_NEAR(o->moments[45].delay_ms, o->moments[45].target_ms, 10.0);
    CHECK_LESS(o->moments[45].target_ms, 11.0);
    CHECK_LESS(0, o->stats.removed_samples_for_acceleration);
}

static void test_delay_is_normal_3_s_after_path_became_faster(void) {
    for (double jitter_ms = 0.0; jitter_ms <= 15.0; jitter_ms += 15.0) {
        const outcome *o = simulate((scenario){.seed = 8,
                                               .seconds = 30,
                                               .start_ms = 40,
                                               .jitter_ms = jitter_ms,
                                               .step_ms = 100.0,
                                               .step_from_s = 0.0,
                                               .step_to_s = 20.0});
        CHECK_AT_MOST(o->moments[23].delay_ms, o->moments[19].delay_ms + 15.0);
        CHECK_EQ(o->stats.underruns, 0);
    }
}

/* Two seconds are lost, and then, at most 0.2 s more are concealed: the sound lasts. */
static void test_sound_returns_within_200_ms_after_storm(void) {
    for (uint32_t seed = 1; seed <= 5; seed++) {
        const outcome *o = simulate((scenario){.seed = seed,
                                               .seconds = 39,
                                               .start_ms = 40,
                                               .burst_every_s = 20.0,
                                               .burst_packets = 100,
                                               .jitter_ms = seed});
        CHECK_AT_MOST(o->moments[22].concealed_samples - o->moments[19].concealed_samples, 48 * 2200);
        CHECK_EQ(o->moments[38].concealed_samples, o->moments[22].concealed_samples);
    }
}

static void test_removing_delay_makes_no_click(void) {
    const outcome *o = simulate(
        (scenario){.seed = 8, .seconds = 30, .start_ms = 40, .step_ms = 100.0, .step_from_s = 0.0, .step_to_s = 10.0});
    CHECK_LESS(4000, o->stats.removed_samples_for_acceleration);
    CHECK_NEAR(o->stats.jitter_buffer_ms, o->stats.jitter_buffer_target_ms, 10.0);
    check_clean(o);
}

static void test_adding_delay_when_jitter_starts_makes_no_click(void) {
    const outcome *o = simulate((scenario){.seed = 2, .seconds = 30, .start_ms = 5, .jitter_ms = 40.0});
    CHECK_LESS(0, o->stats.inserted_samples_for_deceleration);
    CHECK_NEAR(o->stats.jitter_buffer_ms, o->stats.jitter_buffer_target_ms, 10.0);
}

static void test_delay_reaches_target_despite_regular_losses(void) {
    for (uint32_t packets = 1; packets <= 3; packets++) {
        const outcome *o = simulate((scenario){.seed = packets,
                                               .seconds = 46,
                                               .start_ms = 40,
                                               .burst_every_s = 0.5,
                                               .burst_packets = packets,
                                               .step_ms = 100.0,
                                               .step_from_s = 20.0,
                                               .step_to_s = 30.0});
        CHECK_NEAR(o->moments[29].delay_ms, o->moments[29].target_ms, 10.0);
        CHECK_NEAR(o->moments[45].delay_ms, o->moments[45].target_ms, 10.0);
        CHECK_AT_MOST(o->moments[45].target_ms, 13.0);
    }
}

/* As when the network thread is not scheduled for a while. */
static void test_repeated_stalls_are_covered(void) {
    const outcome *o = simulate((scenario){
        .seed = 1, .seconds = 40, .start_ms = 40, .jitter_ms = 5.0, .stall_every_s = 1.5, .stall_ms = 300.0});
    CHECK_EQ(o->longest_silence, 0);
    CHECK_NEAR(o->stats.jitter_buffer_ms, o->stats.jitter_buffer_target_ms, 10.0);
    CHECK_NEAR(o->stats.jitter_buffer_target_ms, 304.0, 10.0);
}

/* The path suddenly becomes 550 ms longer while 300 ms are queued: only the 250 ms between may be lost. */
static void test_playback_resumes_after_outage_before_large_target_is_reached(void) {
    const outcome *o = simulate((scenario){.seed = 1,
                                           .seconds = 35,
                                           .start_ms = 60,
                                           .stall_every_s = 3.0,
                                           .stall_ms = 300.0,
                                           .step_ms = 550.0,
                                           .step_from_s = 20.0,
                                           .step_to_s = 35.0});
    CHECK_NEAR(o->moments[19].delay_ms, 300.0, 10.0);
    CHECK_AT_MOST(5 * o->longest_silence, 200);
    CHECK_NEAR(o->moments[25].delay_ms, o->moments[25].target_ms, 15.0);
}

/* At most the frame in which the maximum is reached lies beyond it. */
static void check_max_queued(double max_ms, scenario s) {
    const uint32_t blocks[] = {480, 960, 2400};
    s.max_ms = (uint32_t)max_ms;
    for (uint32_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        s.pull_frames = blocks[i];
        const outcome *o = simulate(s);
        for (uint32_t at = 0; at < o->moment_count; at++) {
            CHECK_AT_MOST(o->moments[at].target_ms, max_ms);
            CHECK_AT_MOST(o->moments[at].delay_ms, max_ms + s.pull_frames / 48.0);
        }
        CHECK_LESS(0, o->stats.packets_discarded);
        CHECK_AT_LEAST(o->max_queued_ms, max_ms - 20.0);
        CHECK_AT_MOST(o->max_queued_ms, max_ms + 20.0);
    }
}

static void test_queued_audio_never_exceeds_maximum(void) {
    check_max_queued(50, (scenario){.seed = 2, .seconds = 20, .start_ms = 40, .jitter_ms = 200.0});
    check_max_queued(100,
                     (scenario){.seed = 2, .seconds = 20, .start_ms = 40, .stall_every_s = 1.5, .stall_ms = 400.0});
}

static void test_short_frames_play_even_if_target_exceeds_queue(void) {
    const outcome *o = simulate((scenario){
        .seed = 1, .seconds = 10, .start_ms = 320, .min_ms = 320, .frame_samples = 120, .pull_frames = 7200});
    CHECK_EQ(o->stats.is_buffering, 0);
    CHECK_LESS(-30.0, o->stats.audio_level_dbfs);
}

int main(void) {
    RUN(test_clean_path_loses_no_audio_and_adds_little_delay);
    RUN(test_delay_covers_unlearnt_lateness_of_multi_block_frames);
    RUN(test_time_of_playing_follows_the_delay);
    RUN(test_delay_never_falls_below_minimum);
    RUN(test_every_frame_size_plays_without_clicks);
    RUN(test_every_pull_size_plays_without_clicks);
    RUN(test_uniform_jitter_is_covered_without_excess_delay);
    RUN(test_reordered_packets_are_played_in_order);
    RUN(test_duplicates_are_counted_and_played_once);
    RUN(test_concealment_lasts_as_long_as_loss);
    RUN(test_tone_continues_through_loss);
    RUN(test_redundant_copies_make_5_percent_loss_inaudible);
    RUN(test_rare_losses_are_inaudible_after_the_first);
    RUN(test_first_loss_adds_delay_for_all_copies);
    RUN(test_delay_step_of_100_ms_is_absorbed_and_removed_within_15_s);
    RUN(test_delay_is_normal_3_s_after_path_became_faster);
    RUN(test_sound_returns_within_200_ms_after_storm);
    RUN(test_removing_delay_makes_no_click);
    RUN(test_adding_delay_when_jitter_starts_makes_no_click);
    RUN(test_delay_reaches_target_despite_regular_losses);
    RUN(test_repeated_stalls_are_covered);
    RUN(test_playback_resumes_after_outage_before_large_target_is_reached);
    RUN(test_queued_audio_never_exceeds_maximum);
    RUN(test_short_frames_play_even_if_target_exceeds_queue);
    return 0;
}
