/* Taps: what a recorder gets of peers and channels. Threaded. */
#include "engine_fixture.h"

#define SENDER_SSRC 0x99887766u
#define CAPACITY 64

static const uint8_t SPEECH[] = {0xFC, 0xFF, 0xFE}; /* CELT, 20 ms: 960 samples */

/* A peer whose address is known to the engine. */
typedef struct {
    fixture *f;
    uint32_t peer;
    int socket;
    bw_srtp_keys srtp;
} sender;

static sender open_sender(fixture *f, uint32_t peer) {
    sender opened = {.f = f, .peer = peer};
    bw_address address;
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    config.ssrc = 0;
    config.receive = 1;
    config.receive_payload_type = FIXTURE_PAYLOAD_TYPE;
    config.receive_red_payload_type = FIXTURE_RED;
    config.jitter_max_ms = 500;
    opened.socket = open_loopback_socket(&address);
    CHECK(bw_srtp_keys_init(&opened.srtp, BW_SRTP_RTP, config.srtp_profile, config.remote_key));
    CHECK_EQ(bw_peer_map_address(f->engine, peer, f->socket_index, &address), BW_OK);
    CHECK_EQ(bw_peer_add(f->engine, peer, &config), BW_OK);
    return opened;
}

static void close_sender(sender *opened) {
    bw_srtp_keys_destroy(&opened->srtp);
    close_socket(opened->socket);
}

static uint64_t packets_received(const fixture *f, uint32_t peer) {
    bw_peer_stats stats;
    CHECK_EQ(bw_peer_get_stats(f->engine, peer, &stats), BW_OK);
    return stats.packets_received + stats.packets_not_negotiated + stats.srtp_errors;
}

/* Sends a packet and waits until the network thread has taken it. */
static void send_rtp(sender *from, uint8_t payload_type, uint32_t sequence, uint32_t timestamp, const uint8_t *payload,
                     uint32_t bytes, bool is_forged) {
    uint8_t packet[2048] = {0x80, payload_type, (uint8_t)(sequence >> 8), (uint8_t)sequence};
    uint32_t length = BW_RTP_HEADER_BYTES + bytes;
    uint64_t before = packets_received(from->f, from->peer);
    for (int i = 0; i < 4; i++) {
        packet[4 + i] = (uint8_t)(timestamp >> (24 - 8 * i));
        packet[8 + i] = (uint8_t)(SENDER_SSRC >> (24 - 8 * i));
    }
    memcpy(packet + BW_RTP_HEADER_BYTES, payload, bytes);
    CHECK(bw_srtp_protect_rtp(&from->srtp, packet, BW_RTP_HEADER_BYTES, &length, sequence));
    packet[length - 1] ^= is_forged;
    CHECK(send_to(from->socket, packet, length, &from->f->address));
    for (int64_t until_ns = bw_now_ns() + 2000000000; packets_received(from->f, from->peer) == before;)
        CHECK_LESS(bw_now_ns(), until_ns);
}

static void send_opus(sender *from, uint32_t number) {
    send_rtp(from, FIXTURE_PAYLOAD_TYPE, 100 + number, 0xFFFFFC00u + 960 * number, SPEECH, sizeof SPEECH, false);
}

/* The packet with this number, and a copy of each of the `level` ones before it (RFC 2198, 3). */
static void send_red(sender *from, uint32_t number, uint32_t level) {
    uint8_t payload[256];
    uint32_t at = 0;
    for (uint32_t age = level; age > 0; age--) {
        uint32_t header = 0x80u << 24 | (uint32_t)FIXTURE_PAYLOAD_TYPE << 24 | (960 * age) << 10 | sizeof SPEECH;
        for (int i = 0; i < 4; i++)
            payload[at++] = (uint8_t)(header >> (24 - 8 * i));
    }
    payload[at++] = FIXTURE_PAYLOAD_TYPE;
    for (uint32_t i = 0; i <= level; i++, at += sizeof SPEECH)
        memcpy(payload + at, SPEECH, sizeof SPEECH);
    send_rtp(from, FIXTURE_RED, 100 + number, 0xFFFFFC00u + 960 * number, payload, at, false);
}

/* Waits for so many packets. */
static void read_packets(bw_tap *tap, bw_tap_packet *packets, uint32_t count) {
    int64_t until_ns = bw_now_ns() + 5000000000;
    for (uint32_t got = 0; got < count; got += bw_tap_read(tap, packets + got, count - got))
        CHECK_LESS(bw_now_ns(), until_ns);
}

/* The network thread takes the command before the next packet. */
static bw_tap *tap_peer(fixture *f, uint32_t peer) {
    bw_tap *tap = bw_tap_new(CAPACITY);
    CHECK(tap != NULL);
    CHECK_EQ(bw_peer_add_tap(f->engine, peer, tap), BW_OK);
    return tap;
}

static void wait_for_release(bw_tap *tap) {
    for (int64_t until_ns = bw_now_ns() + 2000000000; !bw_tap_is_released(tap);)
        CHECK_LESS(bw_now_ns(), until_ns);
}

static void test_packets_of_a_peer_arrive_as_sent(void) {
    fixture f = open_engine(default_settings(), NULL);
    sender s = open_sender(&f, 2);
    bw_tap *tap = tap_peer(&f, 2);
    bw_tap_packet got[CAPACITY];
    int64_t before_ns = bw_now_ns();
    for (uint32_t i = 0; i < 3; i++)
        send_opus(&s, i);
    read_packets(tap, got, 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(got[i].sequence - got[0].sequence, i);
        CHECK_EQ(got[i].timestamp - got[0].timestamp, 960 * i); /* across the wrap */
        CHECK_EQ(got[i].samples, 960);
        CHECK_EQ(got[i].stream, got[0].stream);
        CHECK_EQ(got[i].is_copy, 0);
        CHECK_EQ(got[i].bytes, sizeof SPEECH);
        CHECK_EQ(memcmp(got[i].payload, SPEECH, sizeof SPEECH), 0);
        CHECK(got[i].time_ns >= before_ns && got[i].time_ns <= bw_now_ns());
    }
    CHECK_EQ(bw_tap_read(tap, got, 1), 0);
    close_engine(&f);
    bw_tap_free(tap);
    close_sender(&s);
}

static void test_only_authentic_opus_packets_are_copied(void) {
    fixture f = open_engine(default_settings(), NULL);
    sender s = open_sender(&f, 0);
    bw_tap *tap = tap_peer(&f, 0);
    bw_tap_packet got[CAPACITY];
    static const uint8_t malformed[] = {0xFF}; /* RFC 6716, 3.4: code 3 without a count */
    send_opus(&s, 0);
    send_rtp(&s, FIXTURE_PAYLOAD_TYPE, 101, 960, SPEECH, sizeof SPEECH, true);
    send_rtp(&s, 13, 102, 1920, SPEECH, sizeof SPEECH, false);
    send_rtp(&s, FIXTURE_PAYLOAD_TYPE, 103, 0xFFFFFC00u + 3 * 960, malformed, sizeof malformed, false);
    send_rtp(&s, FIXTURE_RED, 104, 0xFFFFFC00u + 4 * 960, malformed, sizeof malformed, false);
    send_rtp(&s, FIXTURE_PAYLOAD_TYPE, 105, 0xFFFFFC00u + 5 * 960, malformed, 0, false);
    send_opus(&s, 6);
    read_packets(tap, got, 2);
    CHECK_EQ(got[1].sequence - got[0].sequence, 6);
    CHECK_EQ(bw_tap_dropped(tap), 0);
    close_engine(&f);
    bw_tap_free(tap);
    close_sender(&s);
}

static void test_red_copies_stand_for_lost_packets_only(void) {
    fixture f = open_engine(default_settings(), NULL);
    sender s = open_sender(&f, 0);
    bw_tap *tap = tap_peer(&f, 0);
    bw_tap_packet got[CAPACITY];
    send_opus(&s, 0);
    send_red(&s, 1, 1);
    send_red(&s, 3, 2); /* 2 is lost */
    read_packets(tap, got, 4);
    static const uint32_t numbers[] = {0, 1, 2, 3};
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_EQ(got[i].sequence - got[0].sequence, numbers[i]);
        CHECK_EQ(got[i].timestamp - got[0].timestamp, 960 * numbers[i]);
        CHECK_EQ(got[i].is_copy, i == 2);
        CHECK_EQ(memcmp(got[i].payload, SPEECH, sizeof SPEECH), 0);
    }
    close_engine(&f);
    bw_tap_free(tap);
    close_sender(&s);
}

static void test_full_tap_drops_the_newest_and_counts(void) {
    fixture f = open_engine(default_settings(), NULL);
    sender s = open_sender(&f, 0);
    bw_tap *tap = tap_peer(&f, 0);
    bw_tap_packet got[CAPACITY];
    for (uint32_t i = 0; i < CAPACITY + 5; i++)
        send_opus(&s, i);
    for (int64_t until_ns = bw_now_ns() + 2000000000; bw_tap_dropped(tap) < 5;)
        CHECK_LESS(bw_now_ns(), until_ns);
    read_packets(tap, got, CAPACITY);
    CHECK_EQ(got[CAPACITY - 1].sequence - got[0].sequence, CAPACITY - 1);
    close_engine(&f);
    bw_tap_free(tap);
    close_sender(&s);
}

static void test_closed_tap_is_released_and_others_continue(void) {
    fixture f = open_engine(default_settings(), NULL);
    sender s = open_sender(&f, 0);
    bw_tap *taps[3];
    bw_tap_packet got[CAPACITY];
    for (uint32_t i = 0; i < 3; i++)
        taps[i] = tap_peer(&f, 0);
    send_opus(&s, 0);
    for (uint32_t i = 0; i < 3; i++)
        read_packets(taps[i], got, 1);
    bw_tap_close(taps[0]);
    bw_tap_close(taps[1]);
    CHECK(!bw_tap_is_released(taps[1]));
    send_opus(&s, 1);
    wait_for_release(taps[0]);
    wait_for_release(taps[1]);
    bw_tap_free(taps[1]);
    send_opus(&s, 2);
    read_packets(taps[2], got, 2);
    CHECK_EQ(bw_tap_read(taps[0], got, 1), 0);
    bw_tap_free(taps[0]);
    CHECK_EQ(bw_peer_remove(f.engine, 0), BW_OK);
    wait_for_release(taps[2]);
    CHECK_EQ(bw_peer_add_tap(f.engine, 0, taps[2]), BW_ERROR_ARGUMENT);
    bw_tap_free(taps[2]);
    close_engine(&f);
    close_sender(&s);
}

/* Reads while the network thread writes: for ThreadSanitizer. */
static void test_tap_is_read_while_it_is_written(void) {
    fixture f = open_engine(default_settings(), NULL);
    sender s = open_sender(&f, 0);
    bw_tap *tap = tap_peer(&f, 0);
    bw_tap_packet got[CAPACITY];
    int64_t next = -1;
    for (uint32_t i = 0; i < 300; i++) {
        send_opus(&s, i);
        uint32_t count = i % 7 == 0 ? bw_tap_read(tap, got, CAPACITY) : 0;
        for (uint32_t k = 0; k < count; k++) {
            CHECK(next < 0 || got[k].sequence == next);
            next = got[k].sequence + 1;
        }
    }
    CHECK_EQ(bw_tap_dropped(tap), 0);
    close_engine(&f);
    bw_tap_free(tap);
    close_sender(&s);
}

static void test_channel_without_listeners_is_encoded_for_its_tap(void) {
    bw_source *source = bw_source_new_tone(440, 880, -12);
    fixture f = open_engine(default_settings(), source);
    bw_tap *tap = bw_tap_new(CAPACITY);
    bw_tap_packet got[20];
    bw_channel_stats stats;
    CHECK_EQ(bw_channel_add_tap(f.engine, 0, tap), BW_OK);
    read_packets(tap, got, 20);
    for (uint32_t i = 0; i < 20; i++) {
        CHECK_EQ(got[i].sequence, got[0].sequence + i);
        CHECK_EQ(got[i].timestamp, 480 * got[i].sequence);
        CHECK_EQ(got[i].time_ns, bw_engine_start_ns(f.engine) + got[i].sequence * 10000000);
        CHECK_EQ(got[i].samples, 480);
        CHECK_LESS(20, got[i].bytes);
    }
    CHECK_EQ(bw_channel_get_stats(f.engine, 0, &stats), BW_OK);
    CHECK_EQ(stats.listeners[0], 0);
    bw_tap_close(tap);
    wait_for_release(tap);
    close_engine(&f);
    bw_tap_free(tap);
    bw_source_free(source);
}

static void test_tap_of_a_channel_gets_what_listeners_get(void) {
    bw_source *source = bw_source_new_tone(440, 880, -12);
    fixture f = open_engine(default_settings(), source);
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    listener l = add_listener(&f, 0, &config);
    bw_tap *tap = bw_tap_new(CAPACITY);
    bw_tap_packet got[10];
    packet heard = receive_packet(&l);
    CHECK_EQ(bw_channel_add_tap(f.engine, 0, tap), BW_OK);
    read_packets(tap, got, 10);
    for (uint32_t i = 0; i < 10;) {
        while (packet_timestamp(&heard) - config.timestamp_offset < got[i].timestamp)
            heard = receive_packet(&l);
        CHECK_EQ(packet_timestamp(&heard) - config.timestamp_offset, got[i].timestamp);
        CHECK_EQ(heard.length - BW_RTP_HEADER_BYTES, got[i].bytes);
        CHECK_EQ(memcmp(heard.bytes + BW_RTP_HEADER_BYTES, got[i].payload, got[i].bytes), 0);
        i++;
    }
    close_listener(&l);
    close_engine(&f);
    bw_tap_free(tap);
    bw_source_free(source);
}

static void test_removed_channel_releases_its_tap(void) {
    fixture f = open_engine(default_settings(), NULL);
    settings config = default_settings();
    bw_tap *tap = bw_tap_new(CAPACITY);
    bw_tap_packet got[1];
    int channel = bw_channel_add(f.engine, &config.channel, NULL);
    CHECK_EQ(bw_channel_add_tap(f.engine, (uint32_t)channel, tap), BW_OK);
    read_packets(tap, got, 1);
    CHECK_EQ(bw_channel_remove(f.engine, (uint32_t)channel), BW_OK);
    CHECK_EQ(bw_channel_add_tap(f.engine, (uint32_t)channel, tap), BW_ERROR_ARGUMENT);
    wait_event(&f, BW_EVENT_CHANNEL_REMOVED);
    CHECK(bw_tap_is_released(tap));
    bw_tap_free(tap);
    close_engine(&f);
}

static void test_wrong_arguments_are_refused(void) {
    fixture f = open_engine(default_settings(), NULL);
    bw_tap *tap = bw_tap_new(1);
    CHECK(bw_tap_new(0) == NULL);
    CHECK(bw_tap_new(65537) == NULL);
    CHECK_EQ(bw_peer_add_tap(f.engine, 3, tap), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_add_tap(f.engine, 1000, tap), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_channel_add_tap(f.engine, 1, tap), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_channel_add_tap(f.engine, BW_MAX_CHANNELS, tap), BW_ERROR_ARGUMENT);
    bw_tap_free(tap);
    bw_tap_free(NULL);
    close_engine(&f);
}

int main(void) {
    RUN(test_packets_of_a_peer_arrive_as_sent);
    RUN(test_only_authentic_opus_packets_are_copied);
    RUN(test_red_copies_stand_for_lost_packets_only);
    RUN(test_full_tap_drops_the_newest_and_counts);
    RUN(test_closed_tap_is_released_and_others_continue);
    RUN(test_tap_is_read_while_it_is_written);
    RUN(test_channel_without_listeners_is_encoded_for_its_tap);
    RUN(test_tap_of_a_channel_gets_what_listeners_get);
    RUN(test_removed_channel_releases_its_tap);
    RUN(test_wrong_arguments_are_refused);
    return 0;
}
