/* Sender reports of the network thread: when they are due, what they say, and that no SRTCP index is used twice.
 * Threaded. */
#include "../../src/bass_webrtc/core/incoming.h"
#include "engine_fixture.h"

#define MS_NS 1000000LL
#define S_NS 1000000000LL
#define EPOCH_NS (1760000000LL * S_NS)
#define TRAILER_BYTES 20 /* of SRTCP with AES-GCM: tag, then E flag and index (RFC 7714, 9) */

static const uint8_t DESCRIPTION[] = {0x81, 202, 0,   4,   0x11, 0x22, 0x33, 0x44, 1, 6,
                                      's',  'e', 'r', 'v', 'e',  'r',  0,    0,    0, 0};

typedef struct {
    uint8_t bytes[BW_REPORT_BYTES];
    uint32_t length;
    uint32_t index; /* of SRTCP */
} report;

static bw_report_config report_config(void) {
    bw_peer_config keys = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    bw_report_config config = {
        .srtp_profile = BW_SRTP_AEAD_AES_128_GCM,
        .ssrc = FIXTURE_SSRC,
        .timestamp_offset = 0xFFFFFF00u,
        .unix_epoch_ns = EPOCH_NS,
        .seed = 12345,
        .description_bytes = sizeof DESCRIPTION,
    };
    memcpy(config.local_key, keys.local_key, sizeof config.local_key);
    memcpy(config.description, DESCRIPTION, sizeof DESCRIPTION);
    return config;
}

static bw_reporter *open_reporter(int64_t now_ns) {
    bw_report_config config = report_config();
    bw_reporter *opened = bw_reporter_new(&config, now_ns);
    CHECK(opened != NULL);
    return opened;
}

/* The player's side: decrypts, and refuses an index that was used before. */
static bw_incoming *open_player(void) {
    static bw_reception reception;
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    bw_incoming *opened = bw_incoming_new(&config, &reception);
    CHECK(opened != NULL);
    return opened;
}

static uint32_t index_of(const uint8_t *packet, uint32_t length) {
    uint32_t word = read_u32(packet + length - 4);
    CHECK(word >> 31); /* encrypted */
    return word & 0x7FFFFFFF;
}

static report write_report(bw_reporter *reporter, bw_incoming *player, int64_t now_ns, uint64_t packets) {
    report written;
    bw_sent sent = {.now_ns = now_ns, .start_ns = S_NS, .packets = packets, .octets = 320 * packets};
    written.length = bw_reporter_write(reporter, &sent, written.bytes);
    CHECK_LESS(TRAILER_BYTES, written.length);
    written.index = index_of(written.bytes, written.length);
    CHECK(bw_incoming_take_rtcp(player, written.bytes, &written.length));
    return written;
}

/* ---- times */

static void test_reports_are_due_at_random_intervals_of_about_5_s(void) {
    bw_reporter *reporter = open_reporter(0);
    bw_incoming *player = open_player();
    int64_t previous_ns = 0, longest_ns = 0, shortest_ns = INT64_MAX;
    uint32_t reports = 0;
    for (int64_t now_ns = 0; reports < 2000; now_ns += 50 * MS_NS) {
        if (!bw_reporter_is_due(reporter, now_ns))
            continue;
        write_report(reporter, player, now_ns, reports);
        int64_t interval_ns = now_ns - previous_ns;
        if (reports++ == 0) {
            CHECK_AT_LEAST(interval_ns, 1026 * MS_NS); /* half as long (RFC 3550, 6.2) */
            CHECK_AT_MOST(interval_ns, 3128 * MS_NS);
        } else {
            shortest_ns = interval_ns < shortest_ns ? interval_ns : shortest_ns;
            longest_ns = interval_ns > longest_ns ? interval_ns : longest_ns;
        }
        previous_ns = now_ns;
    }
    CHECK_AT_LEAST(shortest_ns, 2052 * MS_NS);
    CHECK_AT_MOST(longest_ns, 6206 * MS_NS);
    CHECK_LESS(shortest_ns, 2500 * MS_NS);
    CHECK_LESS(5800 * MS_NS, longest_ns);
    bw_incoming_free(player);
    bw_reporter_free(reporter);
}

/* ---- content */

static void test_report_has_the_fields_of_rfc_3550_and_the_description(void) {
    bw_reporter *reporter = open_reporter(0);
    bw_incoming *player = open_player();
    report written = write_report(reporter, player, 3 * S_NS + 250 * MS_NS, 0x100000007ull);
    CHECK_EQ(written.length, 28 + sizeof DESCRIPTION);
    CHECK_EQ(read_u32(written.bytes), 0x80C80006u);
    CHECK_EQ(read_u32(written.bytes + 4), FIXTURE_SSRC);
    CHECK_EQ(read_u32(written.bytes + 8), 1760000003u + 2208988800u); /* seconds since 1900 */
    CHECK_EQ(read_u32(written.bytes + 12), 0x40000000u);
    CHECK_EQ(read_u32(written.bytes + 16), 0xFFFFFF00u + 108000u); /* 2.25 s after the start; wraps */
    CHECK_EQ(read_u32(written.bytes + 20), 7);
    CHECK_EQ(read_u32(written.bytes + 24), 7 * 320);
    CHECK_EQ(memcmp(written.bytes + 28, DESCRIPTION, sizeof DESCRIPTION), 0);
    bw_incoming_free(player);
    bw_reporter_free(reporter);
}

/* RFC 3550, 6.4: "since issuing the last report or the previous one" */
static void test_stopped_stream_gets_one_more_sender_report(void) {
    const uint64_t packets[] = {0, 5, 5, 5, 5, 6};
    const uint8_t kinds[] = {201, 200, 200, 201, 201, 200};
    bw_reporter *reporter = open_reporter(0);
    bw_incoming *player = open_player();
    for (int i = 0; i < 6; i++) {
        report written = write_report(reporter, player, (10 + i) * S_NS, packets[i]);
        CHECK_EQ(written.bytes[1], kinds[i]);
        CHECK_EQ(written.length, (kinds[i] == 200 ? 28 : 8) + sizeof DESCRIPTION);
        CHECK_EQ(written.bytes[written.length - sizeof DESCRIPTION + 1], 202);
    }
    bw_incoming_free(player);
    bw_reporter_free(reporter);
}

static void test_longest_description_fits(void) {
    bw_report_config config = report_config();
    bw_sent sent = {.packets = 1};
    uint8_t packet[BW_REPORT_BYTES];
    config.description_bytes = BW_MAX_DESCRIPTION_BYTES;
    for (int i = 0; i < 2; i++) {
        config.srtp_profile = i ? BW_SRTP_AES128_CM_SHA1_80 : BW_SRTP_AEAD_AES_128_GCM;
        bw_reporter *reporter = bw_reporter_new(&config, 0);
        CHECK_LESS(28 + BW_MAX_DESCRIPTION_BYTES, bw_reporter_write(reporter, &sent, packet));
        bw_reporter_free(reporter);
    }
    config.srtp_profile = 99;
    CHECK(bw_reporter_new(&config, 0) == NULL);
}

/* ---- indexes */

enum { PROTECTED = 20000 };

typedef struct {
    bw_reporter *reporter;
    uint32_t indexes[PROTECTED];
} writer;

static void *write_all(void *argument) {
    writer *w = argument;
    uint8_t packet[BW_REPORT_BYTES];
    bw_sent sent = {.packets = 1};
    for (int i = 0; i < PROTECTED;) {
        uint32_t length = bw_reporter_write(w->reporter, &sent, packet);
        if (length > 0) /* otherwise the other thread was protecting */
            w->indexes[i++] = index_of(packet, length);
    }
    return NULL;
}

static void test_no_index_is_used_twice(void) {
    static writer network, loop;
    static bool used[4 * PROTECTED];
    uint8_t packet[64];
    pthread_t thread;
    network.reporter = loop.reporter = open_reporter(0);
    CHECK_EQ(pthread_create(&thread, NULL, write_all, &network), 0);
    for (int i = 0; i < PROTECTED; i++) {
        memcpy(packet, (uint8_t[]){0x80, 201, 0, 1, 0x11, 0x22, 0x33, 0x44}, 8);
        int length = bw_reporter_protect(loop.reporter, packet, 8, sizeof packet);
        CHECK_EQ(length, 8 + TRAILER_BYTES);
        loop.indexes[i] = index_of(packet, (uint32_t)length);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < 2 * PROTECTED; i++) {
        uint32_t index = i < PROTECTED ? network.indexes[i] : loop.indexes[i - PROTECTED];
        CHECK_LESS(index, 4 * PROTECTED);
        CHECK(!used[index]);
        used[index] = true;
    }
    bw_reporter_free(network.reporter);
}

/* ---- in the engine */

static void test_engine_reports_on_the_path_of_the_peer(void) {
    fixture f = open_engine(default_settings(), NULL);
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    bw_report_config reports = report_config(), too_long = reports;
    uint8_t packet[200] = {0};
    too_long.description_bytes = BW_MAX_DESCRIPTION_BYTES + 1;
    CHECK_EQ(bw_peer_start_reports(f.engine, 8, &reports), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_start_reports(f.engine, 5, &reports), BW_ERROR_ARGUMENT); /* not added yet */
    CHECK_EQ(bw_peer_protect_rtcp(f.engine, 5, packet, 8, sizeof packet), BW_ERROR_ARGUMENT);
    for (int round = 0; round < 2; round++) { /* the second one with the same slot */
        bw_address address;
        int socket = open_loopback_socket(&address);
        bw_incoming *player = open_player();
        uint32_t length;
        CHECK_EQ(bw_peer_add(f.engine, 5, &config), BW_OK);
        CHECK_EQ(bw_peer_start_reports(f.engine, 5, &too_long), BW_ERROR_ARGUMENT);
        CHECK_EQ(bw_peer_start_reports(f.engine, 5, &reports), BW_OK);
        CHECK_EQ(bw_peer_start_reports(f.engine, 5, &reports), BW_ERROR_ARGUMENT);
        CHECK_EQ(bw_peer_set_path(f.engine, 5, f.socket_index, &address), BW_OK);
        do { /* RTP comes in between */
            int received = (int)recv(socket, (char *)packet, sizeof packet, 0);
            CHECK_COMPARE(received, >, 0);
            length = (uint32_t)received;
        } while (packet[1] != 200);
        CHECK(bw_incoming_take_rtcp(player, packet, &length));
        CHECK_EQ(length, 28 + sizeof DESCRIPTION);
        CHECK_COMPARE(read_u32(packet + 20), >, 0);
        memcpy(packet, (uint8_t[]){0x80, 203, 0, 1, 0x11, 0x22, 0x33, 0x44}, 8);
        length = (uint32_t)bw_peer_protect_rtcp(f.engine, 5, packet, 8, sizeof packet);
        CHECK_EQ(length, 8 + TRAILER_BYTES);
        CHECK(bw_incoming_take_rtcp(player, packet, &length)); /* with the next index */
        CHECK_EQ(bw_peer_clear_path(f.engine, 5), BW_OK);
        CHECK_EQ(bw_peer_remove(f.engine, 5), BW_OK);
        wait_event(&f, BW_EVENT_PEER_REMOVED);
        bw_incoming_free(player);
        close_socket(socket);
    }
    CHECK_EQ(bw_peer_add(f.engine, 5, &config), BW_OK);
    CHECK_EQ(bw_peer_start_reports(f.engine, 5, &reports), BW_OK); /* freed with the engine */
    close_engine(&f);
}

int main(void) {
    RUN(test_reports_are_due_at_random_intervals_of_about_5_s);
    RUN(test_report_has_the_fields_of_rfc_3550_and_the_description);
    RUN(test_stopped_stream_gets_one_more_sender_report);
    RUN(test_longest_description_fits);
    RUN(test_no_index_is_used_twice);
    RUN(test_engine_reports_on_the_path_of_the_peer);
    return 0;
}
