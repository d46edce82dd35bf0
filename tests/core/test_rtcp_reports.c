/* Receiver reports that the network thread keeps: which ones, and what of them can be read. Threaded. */
#include "engine_fixture.h"

#include <sched.h>

#define OURS 0x0000AAAAu
#define THEIRS 0x0000BBBBu

typedef struct {
    uint8_t bytes[200];
    uint32_t length;
} compound;

static void put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Adds a packet with its header; returns where its body belongs. */
static uint8_t *add_packet(compound *to, uint32_t kind, uint32_t count, uint32_t body_bytes) {
    uint8_t *at = to->bytes + to->length;
    put_u32(at, 0x80000000u | count << 24 | kind << 16 | body_bytes / 4);
    memset(at + 4, 0, body_bytes);
    to->length += 4 + body_bytes;
    return at + 4;
}

static void add_report(compound *to, uint32_t about, uint32_t lost, uint32_t highest) {
    uint8_t *body = add_packet(to, 201, 1, 28);
    put_u32(body, THEIRS);
    put_u32(body + 4, about);
    put_u32(body + 8, lost);
    put_u32(body + 12, highest);
    put_u32(body + 16, 480);
    put_u32(body + 20, 0x11223344);
    put_u32(body + 24, 0x10000);
}

static void add_description(compound *to) { memcpy(add_packet(to, 202, 1, 12), "\0\0\xBB\xBB\1\4name\0\0", 12); }

static compound plain_report(uint32_t lost, uint32_t highest) {
    compound made = {.length = 0};
    add_report(&made, OURS, lost, highest);
    add_description(&made);
    return made;
}

static bool is_parsed(const compound *data, bw_report_block *block) {
    /* A copy of the exact size, so that the address sanitizer notices a read beyond its end. */
    uint8_t *copy = malloc(data->length ? data->length : 1);
    memcpy(copy, data->bytes, data->length);
    bool parsed = bw_report_parse(block, copy, data->length, OURS);
    free(copy);
    return parsed;
}

/* ---- parsing */

static void test_fields_of_first_block_about_our_stream_are_read(void) {
    bw_report_block block;
    compound data = {.length = 0};
    add_report(&data, OURS + 1, 1, 1);
    add_report(&data, OURS, 0x20FFFFFE, 77);
    add_report(&data, OURS, 0, 78);
    add_description(&data);
    add_packet(&data, 207, 0, 4);
    CHECK(is_parsed(&data, &block));
    CHECK_EQ(block.reporter, THEIRS);
    CHECK_EQ(block.fraction_lost, 0x20);
    CHECK_EQ(block.packets_lost, -2);
    CHECK_EQ(block.highest_sequence, 77);
    CHECK_EQ(block.jitter, 480);
    CHECK_EQ(block.last_sr, 0x11223344);
    CHECK_EQ(block.delay_since_last_sr, 0x10000);
}

static void test_only_plain_reports_are_parsed(void) {
    bw_report_block block;
    const uint32_t others[] = {200, 203, 204, 205, 206, 208, 192, 223};
    compound none = {.length = 0}, foreign = {.length = 0}, padded = plain_report(0, 1), old = plain_report(0, 1);
    compound extended = plain_report(0, 1), short_one = plain_report(0, 1);
    add_description(&none);
    CHECK(!is_parsed(&none, &block));
    add_report(&foreign, OURS + 1, 0, 1);
    CHECK(!is_parsed(&foreign, &block));
    padded.bytes[0] |= 0x20;
    CHECK(!is_parsed(&padded, &block));
    old.bytes[0] = 0x41;
    CHECK(!is_parsed(&old, &block));
    extended.bytes[0] = 0x80; /* the block is an extension then */
    CHECK(!is_parsed(&extended, &block));
    short_one.bytes[0] = 0x82;
    CHECK(!is_parsed(&short_one, &block));
    for (uint32_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        compound data = plain_report(0, 1);
        add_packet(&data, others[i], 0, 8);
        CHECK(!is_parsed(&data, &block));
    }
}

static void test_truncated_report_is_rejected(void) {
    bw_report_block block;
    compound data = plain_report(0, 1);
    uint32_t length = data.length;
    for (data.length = 0; data.length < length; data.length++) {
        /* RFC 3550, 6.1 asks for an SDES, but a report alone is one. */
        CHECK_EQ(is_parsed(&data, &block), data.length == 32);
    }
}

/* ---- keeping */

static bool keep(bw_reports *reports, uint32_t lost, uint32_t highest, int64_t now_ns) {
    compound data = plain_report(lost, highest);
    return bw_reports_keep(reports, data.bytes, data.length, now_ns);
}

static bw_kept_config never_late(uint32_t seen) {
    return (bw_kept_config){.ssrc = OURS, .seen = seen, .late_ns = INT64_MAX};
}

static void begin(bw_reports *reports, uint32_t seen) {
    bw_kept_config config = never_late(seen);
    bw_reports_begin(reports, &config);
}

static bw_kept_reports read_kept(bw_reports *reports) {
    bw_kept_reports kept;
    CHECK(bw_reports_read(reports, &kept));
    return kept;
}

static void test_reports_without_loss_are_kept_and_the_last_one_can_be_read(void) {
    bw_reports reports = {0};
    CHECK(!keep(&reports, 0, 1, 1)); /* nobody has asked for it */
    begin(&reports, 0);
    CHECK(keep(&reports, 0, 2, 2));
    CHECK(keep(&reports, 0xFFFFFF, 300, 3));
    bw_kept_reports kept = read_kept(&reports);
    CHECK_EQ(kept.count, 2);
    CHECK_EQ(kept.reporter, THEIRS);
    CHECK_EQ(kept.packets_lost, -1);
    CHECK_EQ(kept.highest_sequence, 300);
    CHECK_EQ(kept.time_ns, 3);
}

static void test_report_with_loss_or_standstill_ends_it(void) {
    const uint32_t lost[] = {1u << 24, 0, 0}, highest[] = {11, 10, 9};
    for (int i = 0; i < 3; i++) {
        bw_reports reports = {0};
        begin(&reports, 0);
        CHECK(keep(&reports, 0, 10, 1));
        CHECK(!keep(&reports, lost[i], highest[i], 2));
        bw_reports_forwarded(&reports);
        CHECK(!keep(&reports, 0, 12, 3));
        begin(&reports, 1);
        CHECK(keep(&reports, 0, 13, 4));
        CHECK_EQ(read_kept(&reports).count, 2);
    }
}

/* The report's own time counts: sent 3 s after ours, which was sent 7 s ago, it shows a round trip of 4 s. */
static void test_report_with_late_round_trip_ends_it(void) {
    const int64_t second_ns = 1000000000, unix_epoch_ns = 1700000000 * second_ns;
    const struct {
        int64_t late_ns;
        bool has_last_sr;
        bool is_kept;
    } cases[] = {
        {4 * second_ns + 100000, true, true},
        {4 * second_ns - 100000, true, false},
        {4 * second_ns - 100000, false, true}, /* it has not seen a report of ours */
        {INT64_MAX, true, true},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bw_reports reports = {0};
        bw_kept_config config = {OURS, 0, unix_epoch_ns, cases[i].late_ns};
        bw_reports_begin(&reports, &config);
        compound data = plain_report(0, 10);
        uint32_t sent = (uint32_t)((1700000000 + 2208988800 + 100) << 16); /* 100 s after the epoch */
        put_u32(data.bytes + 24, cases[i].has_last_sr ? sent : 0);
        put_u32(data.bytes + 28, 3 << 16);
        CHECK_EQ(bw_reports_keep(&reports, data.bytes, data.length, 107 * second_ns), cases[i].is_kept);
    }
}

/* A clock that was set back, or a peer that lies: no time is negative. */
static void test_round_trip_below_zero_is_not_late(void) {
    bw_reports reports = {0};
    begin(&reports, 0);
    compound data = plain_report(0, 10);
    put_u32(data.bytes + 24, 1000 << 16);
    put_u32(data.bytes + 28, 1001u << 16);
    CHECK(bw_reports_keep(&reports, data.bytes, data.length, 0));
}

/* The loop thread asked before it saw the loss. */
static void test_request_that_crossed_a_report_has_no_effect(void) {
    bw_reports reports = {0};
    begin(&reports, 0);
    CHECK(!keep(&reports, 1u << 24, 1, 1));
    bw_reports_forwarded(&reports);
    begin(&reports, 0);
    CHECK(!keep(&reports, 0, 2, 2));
    begin(&reports, 1);
    CHECK(keep(&reports, 0, 3, 3));
}

static void test_standstill_after_forwarded_reports_is_noticed(void) {
    bw_reports reports = {0};
    begin(&reports, 0);
    CHECK(!keep(&reports, 1u << 24, 10, 1));
    bw_reports_forwarded(&reports);
    begin(&reports, 1);
    CHECK(!keep(&reports, 0, 10, 2));
}

/* ---- in the engine */

static void send_rtcp(fixture *f, int socket, bw_srtcp *srtcp, compound data) {
    int length = bw_srtcp_protect(srtcp, data.bytes, data.length, sizeof data.bytes);
    CHECK_COMPARE(length, >, (int)data.length);
    CHECK(send_to(socket, data.bytes, (size_t)length, &f->address));
}

static bw_kept_reports kept_by(fixture *f, uint32_t peer) {
    bw_kept_reports kept;
    while (bw_peer_get_kept_reports(f->engine, peer, &kept) == BW_ERROR_BUSY)
        sched_yield();
    return kept;
}

static int keep_all(fixture *f, uint32_t peer, uint32_t seen) {
    bw_kept_config config = never_late(seen);
    return bw_peer_keep_reports(f->engine, peer, &config);
}

static void test_loop_gets_no_reports_that_are_kept(void) {
    fixture f = open_engine(default_settings(), NULL);
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    bw_address address;
    bw_kept_reports kept;
    bw_event event;
    int socket = open_loopback_socket(&address);
    bw_srtcp *srtcp = bw_srtcp_new(config.srtp_profile, config.remote_key);
    CHECK_EQ(keep_all(&f, 5, 0), BW_ERROR_ARGUMENT); /* not added yet */
    CHECK_EQ(keep_all(&f, 8, 0), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_get_kept_reports(f.engine, 8, &kept), BW_ERROR_ARGUMENT);
    for (int round = 0; round < 2; round++) { /* the second one with the same slot */
        CHECK_EQ(bw_peer_add(f.engine, 5, &config), BW_OK);
        CHECK_EQ(bw_peer_map_address(f.engine, 5, f.socket_index, &address), BW_OK);
        CHECK_EQ(kept_by(&f, 5).count, 0);
        send_rtcp(&f, socket, srtcp, plain_report(0, 1));
        CHECK_EQ(wait_event(&f, BW_EVENT_RTCP).peer, 5);
        CHECK_EQ(keep_all(&f, 5, 1), BW_OK);
        int64_t before_ns = bw_now_ns();
        for (uint32_t i = 1; i <= 3; i++) {
            send_rtcp(&f, socket, srtcp, plain_report(0, 1 + i));
            while (kept_by(&f, 5).count < i)
                sched_yield();
        }
        CHECK_EQ(kept_by(&f, 5).highest_sequence, 4);
        CHECK_AT_LEAST(kept_by(&f, 5).time_ns, before_ns);
        CHECK_EQ(bw_engine_next_events(f.engine, &event, 1), 0);
        compound lossy = plain_report(1u << 24, 5);
        send_rtcp(&f, socket, srtcp, lossy);
        event = wait_event(&f, BW_EVENT_RTCP);
        CHECK_EQ(event.length, lossy.length);
        CHECK_EQ(memcmp(event.data, lossy.bytes, lossy.length), 0);
        send_rtcp(&f, socket, srtcp, plain_report(0, 6));
        wait_event(&f, BW_EVENT_RTCP);
        CHECK_EQ(bw_peer_unmap_address(f.engine, 5, f.socket_index, &address), BW_OK);
        CHECK_EQ(bw_peer_remove(f.engine, 5), BW_OK);
        wait_event(&f, BW_EVENT_PEER_REMOVED);
    }
    bw_srtcp_free(srtcp);
    close_socket(socket);
    close_engine(&f);
}

/* ---- any thread */

static void *write_reports(void *argument) {
    for (uint32_t i = 1; i <= 20000; i++)
        keep(argument, i, i, i);
    return NULL;
}

static void test_report_is_read_as_a_whole(void) {
    bw_reports reports = {0};
    bw_kept_reports kept = {0};
    pthread_t writer;
    begin(&reports, 0);
    CHECK_EQ(pthread_create(&writer, NULL, write_reports, &reports), 0);
    while (kept.count < 20000) {
        if (!bw_reports_read(&reports, &kept))
            continue;
        CHECK_EQ(kept.highest_sequence, kept.count);
        CHECK_EQ(kept.packets_lost, kept.count);
        CHECK_EQ(kept.time_ns, kept.count);
    }
    pthread_join(writer, NULL);
}

int main(void) {
    RUN(test_fields_of_first_block_about_our_stream_are_read);
    RUN(test_only_plain_reports_are_parsed);
    RUN(test_truncated_report_is_rejected);
    RUN(test_reports_without_loss_are_kept_and_the_last_one_can_be_read);
    RUN(test_report_with_loss_or_standstill_ends_it);
    RUN(test_report_with_late_round_trip_ends_it);
    RUN(test_round_trip_below_zero_is_not_late);
    RUN(test_request_that_crossed_a_report_has_no_effect);
    RUN(test_standstill_after_forwarded_reports_is_noticed);
    RUN(test_loop_gets_no_reports_that_are_kept);
    RUN(test_report_is_read_as_a_whole);
    return 0;
}
