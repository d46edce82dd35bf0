/* The budget of enhancement, with costs and times as arguments: grants, windows, the guard within a pull. */
#include "check.h"
#include "enhancement.h"
#include "playout.h"

#include <string.h>

#define MAX_PUBLISHERS 20
#define FRAME 960
#define BLOCK 480
#define MS_NS 1000000LL
#define US_NS 1000LL

/* A machine, and publishers that send 20 ms packets at evenly spread times. Every tenth packet is lost and recovered
 * from the next one, which costs twice as much. */
typedef struct {
    bw_enhancement enhancement;
    bw_enhancement_grant grants[MAX_PUBLISHERS];
    uint32_t publishers;
    uint32_t block;      /* samples of a pull */
    int64_t plain_ns;    /* cost of a packet */
    int64_t enhanced_ns; /* instead */
    bool silent[MAX_PUBLISHERS];
    int64_t now_ns;
    uint64_t decoded;
    uint32_t enhanced[MAX_PUBLISHERS]; /* packets, since the last report */
    int64_t longest_ns;                /* pull, since the last report */
    uint32_t changes; /* how often a packet was decoded otherwise than the one before, since the last report */
    bool was_enhanced[MAX_PUBLISHERS];
} machine;

static machine *start(uint32_t publishers, uint32_t block, int64_t plain_us, int64_t enhanced_us) {
    static machine m;
    memset(&m, 0, sizeof m);
    bw_enhancement_init(&m.enhancement);
    bw_enhancement_set_mode(&m.enhancement, BW_ENHANCEMENT_AUTO);
    m.publishers = publishers;
    m.block = block;
    m.plain_ns = plain_us * US_NS;
    m.enhanced_ns = enhanced_us * US_NS;
    m.now_ns = 1000 * MS_NS;
    return &m;
}

static int64_t decode(machine *m, uint32_t publisher, bool has_voice) {
    bool enhances =
        bw_enhancement_allows(&m->enhancement, &m->grants[publisher], BW_ENHANCED_DECODING, has_voice, FRAME);
    m->changes += enhances != m->was_enhanced[publisher];
    m->was_enhanced[publisher] = enhances;
    if (!enhances)
        return m->plain_ns;
    bw_enhancement_did(&m->enhancement, BW_ENHANCED_DECODING, FRAME, m->enhanced_ns);
    m->enhanced[publisher]++;
    return m->enhanced_ns;
}

static int64_t play(machine *m, uint32_t publisher) {
    int64_t phase_ns = publisher * 20 * MS_NS / m->publishers, block_ns = m->block * 1000000000LL / 48000, took_ns = 0;
    int64_t first = (m->now_ns - phase_ns) / (20 * MS_NS), last = (m->now_ns + block_ns - phase_ns) / (20 * MS_NS);
    for (int64_t packet = first; packet < last; packet++) {
        if (m->decoded++ % 10 == 9)
            took_ns += decode(m, publisher, false);
        took_ns += decode(m, publisher, !m->silent[publisher]);
    }
    return took_ns;
}

static void pull(machine *m) {
    bw_enhancement_begin_pull(&m->enhancement, m->now_ns, m->block);
    int64_t took_ns = 0;
    for (uint32_t i = 0; i < m->publishers; i++)
        took_ns += play(m, i);
    bw_enhancement_played(&m->enhancement, took_ns);
    m->longest_ns = took_ns > m->longest_ns ? took_ns : m->longest_ns;
    m->now_ns += m->block * 1000000000LL / 48000;
}

static void run(machine *m, double seconds) {
    memset(m->enhanced, 0, sizeof m->enhanced);
    m->longest_ns = 0;
    m->changes = 0;
    for (int64_t until_ns = m->now_ns + (int64_t)(seconds * 1e9); m->now_ns < until_ns;)
        pull(m);
}

/* Publishers of which packets were enhanced since the last report. */
static uint32_t enhanced(const machine *m) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->publishers; i++)
        count += m->enhanced[i] > 0;
    return count;
}

static void test_few_publishers_are_all_enhanced_from_the_start(void) {
    machine *m = start(3, BLOCK, 90, 230);
    run(m, 10.0);
    CHECK_EQ(enhanced(m), 3);
    CHECK_AT_LEAST(m->enhanced[0] + m->enhanced[1] + m->enhanced[2], 1500);
}

static void test_more_publishers_than_the_budget_carries_stay_within_it(void) {
    for (uint32_t publishers = 4; publishers <= MAX_PUBLISHERS; publishers += 4) {
        machine *m = start(publishers, BLOCK, 60, 230);
        run(m, 30.0);
        CHECK_AT_MOST(m->longest_ns, 2500 * US_NS + 230 * US_NS);
        CHECK_AT_LEAST(enhanced(m), 1);
        run(m, 30.0);
        CHECK_EQ(m->changes, 0); /* the same publishers all the time */
    }
}

static void test_budget_carries_a_block_of_each_and_one_more_packet(void) {
    machine *m = start(MAX_PUBLISHERS, BLOCK, 10, 230);
    run(m, 30.0);
    CHECK_AT_LEAST(enhanced(m), 6); /* 80 % of 2.5 ms for new ones, less 0.2 ms of plain decoding, are 7 times 230 us */
    CHECK_AT_MOST(m->longest_ns, 2500 * US_NS);
}

/* After silence, what everybody costs is not yet known. */
static void test_many_that_begin_to_speak_at_once_stay_within_the_budget(void) {
    machine *m = start(MAX_PUBLISHERS, BLOCK, 0, 450);
    for (uint32_t i = 0; i < MAX_PUBLISHERS; i++)
        m->silent[i] = true;
    run(m, 30.0);
    memset(m->silent, 0, sizeof m->silent);
    m->plain_ns = 180 * US_NS;
    run(m, 5.0);
    CHECK_AT_MOST(m->longest_ns, 2500 * US_NS);
}

static void test_load_without_enhancement_leaves_less_of_the_budget(void) {
    machine *light = start(4, BLOCK, 20, 300);
    run(light, 20.0);
    uint32_t with_light_load = enhanced(light);
    machine *heavy = start(4, BLOCK, 1500, 1700);
    run(heavy, 20.0);
    run(heavy, 20.0);
    CHECK_LESS(enhanced(heavy), with_light_load);
}

static void test_longer_block_has_room_for_more_publishers(void) {
    machine *m = start(20, BLOCK, 60, 230);
    run(m, 20.0);
    uint32_t in_10_ms = enhanced(m);
    m = start(20, 10 * BLOCK, 60, 230);
    run(m, 20.0);
    CHECK_LESS(in_10_ms, enhanced(m));
    CHECK_AT_MOST(m->longest_ns, 25 * MS_NS + 230 * US_NS);
}

static void test_slow_machine_ends_with_plain_sound_and_no_late_block(void) {
    machine *m = start(5, BLOCK, 400, 4000);
    run(m, 120.0);
    CHECK_AT_MOST(m->longest_ns, 10 * MS_NS);
    run(m, 60.0);
    CHECK_AT_MOST(m->enhanced[0] + m->enhanced[1] + m->enhanced[2] + m->enhanced[3] + m->enhanced[4],
                  10); /* of 15,000 */
}

static void test_machine_that_becomes_slower_gives_up_enhancement_at_once(void) {
    machine *m = start(4, BLOCK, 90, 230);
    run(m, 10.0);
    uint32_t before = enhanced(m);
    m->plain_ns *= 10;
    m->enhanced_ns *= 10;
    run(m, 0.2);
    CHECK_AT_MOST(m->longest_ns, 10 * MS_NS);
    run(m, 10.0);
    CHECK_LESS(enhanced(m), before);
    m->plain_ns /= 10;
    m->enhanced_ns /= 10;
    run(m, 300.0); /* and takes it up again */
    CHECK_EQ(enhanced(m), before);
}

static void test_grant_outlasts_pauses_and_passes_on_after_silence(void) {
    machine *m = start(20, BLOCK, 60, 230);
    for (uint32_t i = 1; i < 20; i++)
        m->silent[i] = true;
    run(m, 5.0);
    CHECK_EQ(enhanced(m), 1); /* only voice obtains one */
    m->silent[0] = true;
    run(m, 2.0);
    CHECK_AT_LEAST(m->enhanced[0], 100); /* a pause */
    run(m, 6.0);
    run(m, 5.0);
    CHECK_EQ(enhanced(m), 0);
    for (uint32_t i = 1; i < 20; i++)
        m->silent[i] = false;
    run(m, 5.0);
    CHECK_AT_LEAST(enhanced(m), 2);
    CHECK_EQ(m->enhanced[0], 0);
}

static void test_grants_of_publishers_that_left_are_given_to_others(void) {
    machine *m = start(20, BLOCK, 60, 230);
    run(m, 10.0);
    uint32_t most = enhanced(m);
    for (uint32_t i = 0; i < 20; i++)
        m->grants[i].window = 0; /* all others, which do not know of the old grants */
    run(m, 10.0);
    CHECK_AT_LEAST(enhanced(m), most);
}

/* Twenty streams, each pulled by a call of its own, one after the other. */
static void test_streams_of_one_update_share_a_budget(void) {
    machine *m = start(20, BLOCK, 60, 230);
    for (uint32_t update = 0; update < 2000; update++, m->now_ns += 10 * MS_NS) {
        int64_t took_ns = 0;
        for (uint32_t i = 0; i < 20; i++) {
            bw_enhancement_begin_pull(&m->enhancement, m->now_ns + took_ns, BLOCK);
            int64_t one_ns = play(m, i);
            bw_enhancement_played(&m->enhancement, one_ns);
            took_ns += one_ns;
        }
        m->longest_ns = took_ns > m->longest_ns ? took_ns : m->longest_ns;
    }
    CHECK_AT_LEAST(enhanced(m), 1);
    CHECK_AT_MOST(m->longest_ns, 2500 * US_NS + 230 * US_NS);
}

/* Concealment costs four times as much as decoding: one publisher may have it in a pull, all at once may not. */
static void test_concealment_is_allowed_while_the_pull_has_room(void) {
    machine *m = start(4, BLOCK, 60, 230);
    run(m, 10.0);
    uint32_t allowed = 0;
    bw_enhancement_begin_pull(&m->enhancement, m->now_ns, BLOCK);
    for (uint32_t i = 0; i < 4; i++) {
        if (!bw_enhancement_allows(&m->enhancement, &m->grants[i], BW_ENHANCED_CONCEALMENT, false, BLOCK))
            continue;
        bw_enhancement_did(&m->enhancement, BW_ENHANCED_CONCEALMENT, BLOCK, 800 * US_NS);
        allowed++;
    }
    CHECK_AT_LEAST(allowed, 1);
    CHECK_AT_MOST(allowed, 3);
}

static void test_modes_off_and_on_ignore_the_budget(void) {
    machine *m = start(20, BLOCK, 60, 5000);
    bw_enhancement_set_mode(&m->enhancement, BW_ENHANCEMENT_ON);
    run(m, 1.0);
    CHECK_EQ(enhanced(m), 20);
    CHECK(!bw_enhancement_has_budget(&m->enhancement));
    bw_enhancement_set_mode(&m->enhancement, BW_ENHANCEMENT_OFF);
    run(m, 1.0);
    CHECK_EQ(enhanced(m), 0);
}

int main(void) {
    RUN(test_few_publishers_are_all_enhanced_from_the_start);
    RUN(test_more_publishers_than_the_budget_carries_stay_within_it);
    RUN(test_budget_carries_a_block_of_each_and_one_more_packet);
    RUN(test_many_that_begin_to_speak_at_once_stay_within_the_budget);
    RUN(test_load_without_enhancement_leaves_less_of_the_budget);
    RUN(test_longer_block_has_room_for_more_publishers);
    RUN(test_slow_machine_ends_with_plain_sound_and_no_late_block);
    RUN(test_machine_that_becomes_slower_gives_up_enhancement_at_once);
    RUN(test_grant_outlasts_pauses_and_passes_on_after_silence);
    RUN(test_grants_of_publishers_that_left_are_given_to_others);
    RUN(test_streams_of_one_update_share_a_budget);
    RUN(test_concealment_is_allowed_while_the_pull_has_room);
    RUN(test_modes_off_and_on_ignore_the_budget);
    return 0;
}
