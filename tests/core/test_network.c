/* The network thread: forwarded and dropped datagrams. Threaded. */
#include "engine_fixture.h"
#include "stun_message.h"

#include <sched.h>

static const uint8_t CLIENT_HELLO[13] = {22, 0xFE, 0xFD};
static const uint8_t RTCP[8] = {0x80, 200};

typedef struct {
    fixture f;
    int remote;
    bw_address remote_address;
} wire;

static wire open_wire(void) {
    wire w = {.f = open_engine(default_settings(), NULL)};
    w.remote = open_loopback_socket(&w.remote_address);
    return w;
}

static void close_wire(wire *w) {
    close_socket(w->remote);
    close_engine(&w->f);
}

static void send_to_engine(wire *w, const void *data, size_t length) {
    CHECK(send_to(w->remote, data, length, &w->f.address));
}

static uint64_t dropped(wire *w) {
    bw_engine_stats stats;
    bw_engine_get_stats(w->f.engine, &stats);
    return stats.datagrams_dropped;
}

/* Covers SE40, SE41 and OP18: from an unknown address only authentic STUN requests are forwarded. */
static void test_only_authentic_stun_requests_pass_from_unknown_addresses(void) {
    static uint8_t huge[65507] = {0x80, 111};
    wire w = open_wire();
    stun_message check = make_stun(REQUEST, 1, "ours:theirs", "local");
    stun_message forged = make_stun(REQUEST, 1, "ours:theirs", "wrong");
    stun_message response = make_stun(SUCCESS, 1, NULL, "remote");
    CHECK_EQ(bw_peer_add_ice(w.f.engine, 5, "ours", "local", "remote"), BW_OK);
    send_to_engine(&w, "", 0);
    send_to_engine(&w, "\x80", 1);
    send_to_engine(&w, huge, sizeof huge);
    send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
    send_to_engine(&w, RTCP, sizeof RTCP);
    send_to_engine(&w, response.bytes, response.length);
    send_to_engine(&w, check.bytes, check.length - 1);
    send_to_engine(&w, forged.bytes, forged.length);
    send_to_engine(&w, check.bytes, check.length);
    bw_event event = wait_event(&w.f, BW_EVENT_DATAGRAM);
    CHECK_EQ(event.peer, 5);
    CHECK_EQ(event.length, check.length);
    CHECK_EQ(event.source.port, w.remote_address.port);
    CHECK_EQ(event.socket, w.f.socket_index);
    CHECK_EQ(memcmp(event.data, check.bytes, check.length), 0);
    CHECK_EQ(dropped(&w), 8);
    close_wire(&w);
}

static void test_mapped_address_belongs_to_peer_until_unmapped(void) {
    wire w = open_wire();
    stun_message check = make_stun(REQUEST, 1, "ours:theirs", "local");
    stun_message response = make_stun(SUCCESS, 1, NULL, "remote");
    CHECK_EQ(bw_peer_add_ice(w.f.engine, 5, "ours", "local", "remote"), BW_OK);
    CHECK_EQ(bw_peer_map_address(w.f.engine, 5, w.f.socket_index, &w.remote_address), BW_OK);
    const struct {
        const uint8_t *data;
        uint32_t length;
    } datagrams[] = {{CLIENT_HELLO, sizeof CLIENT_HELLO}, {response.bytes, response.length}};
    for (int i = 0; i < 2; i++) {
        send_to_engine(&w, datagrams[i].data, datagrams[i].length);
        bw_event event = wait_event(&w.f, BW_EVENT_DATAGRAM);
        CHECK_EQ(event.peer, 5);
        CHECK_EQ(event.length, datagrams[i].length);
    }
    /* Not mapped to this peer: no effect. */
    CHECK_EQ(bw_peer_unmap_address(w.f.engine, 4, w.f.socket_index, &w.remote_address), BW_OK);
    send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).peer, 5);
    CHECK_EQ(bw_peer_unmap_address(w.f.engine, 5, w.f.socket_index, &w.remote_address), BW_OK);
    send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
    send_to_engine(&w, response.bytes, response.length);
    send_to_engine(&w, check.bytes, check.length);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).length, check.length);
    CHECK_EQ(dropped(&w), 2);
    close_wire(&w);
}

/* Every address must still be found after any of its neighbours was erased. */
static void test_routes_are_found_after_others_were_erased(void) {
    wire w = open_wire();
    enum { OTHERS = 100 };
    for (uint32_t i = 0; i < OTHERS; i++) {
        bw_address other = {.family = 4, .ip = {10, 0, (uint8_t)(i / 7), (uint8_t)i}, .port = (uint16_t)(1000 + i)};
        CHECK_EQ(bw_peer_map_address(w.f.engine, i % 8, w.f.socket_index, &other), BW_OK);
        if (i == OTHERS / 2)
            CHECK_EQ(bw_peer_map_address(w.f.engine, 3, w.f.socket_index, &w.remote_address), BW_OK);
    }
    for (uint32_t i = 0; i < OTHERS; i++) {
        uint32_t victim = i * 37 % OTHERS;
        bw_address other = {
            .family = 4, .ip = {10, 0, (uint8_t)(victim / 7), (uint8_t)victim}, .port = (uint16_t)(1000 + victim)};
        CHECK_EQ(bw_peer_unmap_address(w.f.engine, victim % 8, w.f.socket_index, &other), BW_OK);
        send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
        CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).peer, 3);
    }
    close_wire(&w);
}

static bw_address numbered_address(uint32_t number) {
    return (bw_address){.family = 4, .ip = {10, 0, (uint8_t)(number >> 8), (uint8_t)number}, .port = 1000};
}

static void test_more_commands_than_the_ring_holds_are_waited_for(void) {
    wire w = open_wire();
    for (uint32_t i = 0; i < 20000; i++) {
        bw_address other = numbered_address(i);
        CHECK_EQ(bw_peer_map_address(w.f.engine, i % 8, w.f.socket_index, &other), BW_OK);
        CHECK_EQ(bw_peer_unmap_address(w.f.engine, i % 8, w.f.socket_index, &other), BW_OK);
    }
    CHECK_EQ(bw_peer_map_address(w.f.engine, 3, w.f.socket_index, &w.remote_address), BW_OK);
    send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).peer, 3);
    close_wire(&w);
}

static void test_full_ring_of_a_stopped_engine_is_reported(void) {
    wire w = open_wire();
    int status = BW_OK;
    bw_engine_stop(w.f.engine);
    for (uint32_t i = 0; i < 20000 && status == BW_OK; i++)
        status = bw_peer_map_address(w.f.engine, 3, w.f.socket_index, &w.remote_address);
    CHECK_EQ(status, BW_ERROR_BUSY);
    close_wire(&w);
}

/* Covers SE42: a flood from an unknown address is counted, wakes nobody, and does not affect known peers. */
static void test_flood_from_unknown_address_does_not_reach_the_loop(void) {
    enum { DATAGRAMS = 20000 };
    wire w = open_wire();
    stun_message unknown = make_stun(REQUEST, 1, "nobody:theirs", "local");
    stun_message forged = make_stun(REQUEST, 1, "ours:theirs", "wrong");
    CHECK_EQ(bw_peer_add_ice(w.f.engine, 2, "ours", "local", "remote"), BW_OK);
    for (int sent = 0; sent < DATAGRAMS; sent++) {
        stun_message *flood = sent % 2 ? &unknown : &forged;
        send_to_engine(&w, flood->bytes, flood->length);
        while (sent % 100 == 99 && dropped(&w) <= (uint64_t)sent) /* so that the system's buffer never overflows */
            sched_yield();
    }
    stun_message check = make_stun(REQUEST, 1, "ours:theirs", "local");
    send_to_engine(&w, check.bytes, check.length);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).peer, 2);
    CHECK_EQ(dropped(&w), DATAGRAMS);
    close_wire(&w);
}

static uint64_t srtp_errors(wire *w) {
    bw_peer_stats stats;
    bw_peer_get_stats(w->f.engine, 5, &stats);
    return stats.srtp_errors;
}

static void send_report(wire *w, bw_srtcp *srtcp) {
    uint8_t bytes[64] = {0x80, 201, 0, 1, 1, 2, 3, 4};
    int length = bw_srtcp_protect(srtcp, bytes, 8, sizeof bytes);
    CHECK_COMPARE(length, >, 8);
    send_to_engine(w, bytes, (size_t)length);
}

/* A player's RTCP reaches the loop authenticated and decrypted; all else is counted and not forwarded. Also covers
 * SE9: a replayed report has no effect. */
static void test_sockets_can_be_added_and_removed_while_it_runs(void) {
    wire w = open_wire();
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    listener heard = add_listener(&w.f, 5, &config);
    receive_packet(&heard);
    CHECK_EQ(bw_engine_remove_socket(w.f.engine, 1), BW_ERROR_ARGUMENT);
    for (uint32_t round = 0; round < 5; round++) {
        bw_address address;
        int added = open_loopback_socket(&address);
        CHECK_EQ(bw_engine_add_socket(w.f.engine, added), 1); /* The index is used again. */
        CHECK_EQ(bw_peer_map_address(w.f.engine, 5, 1, &w.remote_address), BW_OK);
        CHECK(send_to(w.remote, CLIENT_HELLO, sizeof CLIENT_HELLO, &address));
        CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).socket, 1);
        CHECK_EQ(bw_peer_unmap_address(w.f.engine, 5, 1, &w.remote_address), BW_OK);
        CHECK_EQ(bw_engine_remove_socket(w.f.engine, 1), BW_OK);
        CHECK_EQ(bw_engine_remove_socket(w.f.engine, 1), BW_ERROR_ARGUMENT);
        CHECK_EQ(wait_event(&w.f, BW_EVENT_SOCKET_REMOVED).value, 1);
        close_socket(added);
    }
    receive_packet(&heard); /* The other socket is not affected. */
    bw_address other;
    int socket = open_loopback_socket(&other);
    CHECK_EQ(bw_engine_add_socket(w.f.engine, socket), 1);
    CHECK_EQ(bw_engine_remove_socket(w.f.engine, w.f.socket_index), BW_OK);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_SOCKET_REMOVED).value, w.f.socket_index);
    packet late;
    set_receive_timeout(heard.socket, 1);
    while (receive_wire(&heard, &late)) { /* What was sent before. */
    }
    CHECK_EQ(bw_peer_set_path(w.f.engine, 5, 1, &heard.address), BW_OK);
    CHECK(receive_wire(&heard, &late));
    close_listener(&heard);
    close_wire(&w);
    close_socket(socket);
}

static void test_full_table_of_sockets_is_reported(void) {
    wire w = open_wire();
    int sockets[BW_MAX_SOCKETS];
    bw_address address;
    for (int i = 1; i < BW_MAX_SOCKETS; i++) {
        sockets[i] = open_loopback_socket(&address);
        CHECK_EQ(bw_engine_add_socket(w.f.engine, sockets[i]), i);
    }
    CHECK_EQ(bw_engine_add_socket(w.f.engine, w.remote), BW_ERROR_BUSY);
    CHECK_EQ(bw_engine_remove_socket(w.f.engine, 7), BW_OK);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_SOCKET_REMOVED).value, 7);
    CHECK_EQ(bw_engine_add_socket(w.f.engine, sockets[7]), 7);
    close_wire(&w);
    for (int i = 1; i < BW_MAX_SOCKETS; i++)
        close_socket(sockets[i]);
}

static void test_only_authentic_rtcp_reaches_the_loop(void) {
    wire w = open_wire();
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    bw_srtcp *srtcp = bw_srtcp_new(config.srtp_profile, config.remote_key);
    CHECK_EQ(bw_peer_map_address(w.f.engine, 5, w.f.socket_index, &w.remote_address), BW_OK);
    send_report(&w, srtcp); /* dropped: no keys yet */
    send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).peer, 5);
    CHECK_EQ(dropped(&w), 1);
    CHECK_EQ(bw_peer_add(w.f.engine, 5, &config), BW_OK);
    uint8_t bytes[64] = {0x80, 201, 0, 1, 1, 2, 3, 4};
    int length = bw_srtcp_protect(srtcp, bytes, 8, sizeof bytes);
    send_to_engine(&w, RTCP, sizeof RTCP);
    for (int i = 0; i < 3; i++)
        send_to_engine(&w, bytes, (size_t)length);
    send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
    bw_event event = wait_event(&w.f, BW_EVENT_RTCP);
    CHECK_EQ(event.peer, 5);
    CHECK_EQ(event.length, 8);
    CHECK_EQ(memcmp(event.data, (uint8_t[]){0x80, 201, 0, 1, 1, 2, 3, 4}, 8), 0);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).length, sizeof CLIENT_HELLO); /* in the order of arrival */
    CHECK_EQ(srtp_errors(&w), 3);
    CHECK_EQ(bw_peer_remove(w.f.engine, 5), BW_OK);
    wait_event(&w.f, BW_EVENT_PEER_REMOVED);
    send_report(&w, srtcp);
    send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).peer, 5); /* and nothing of the removed peer before it */
    CHECK_EQ(dropped(&w), 2);
    bw_srtcp_free(srtcp);
    close_wire(&w);
}

static void test_player_cannot_send_media(void) {
    wire w = open_wire();
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    uint8_t rtp[40] = {0x80, FIXTURE_PAYLOAD_TYPE};
    CHECK_EQ(bw_peer_add(w.f.engine, 5, &config), BW_OK);
    CHECK_EQ(bw_peer_map_address(w.f.engine, 5, w.f.socket_index, &w.remote_address), BW_OK);
    send_to_engine(&w, rtp, sizeof rtp);
    send_to_engine(&w, CLIENT_HELLO, sizeof CLIENT_HELLO);
    CHECK_EQ(wait_event(&w.f, BW_EVENT_DATAGRAM).peer, 5);
    CHECK_EQ(dropped(&w), 1);
    close_wire(&w);
}

static void test_sent_rtcp_is_protected(void) {
    bw_peer_config keys = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    bw_srtcp *srtcp = bw_srtcp_new(keys.srtp_profile, keys.local_key);
    bw_srtp_keys receiver;
    CHECK(bw_srtp_keys_init(&receiver, BW_SRTP_RTCP, keys.srtp_profile, keys.local_key));
    for (uint32_t sent = 0; sent < 3; sent++) { /* the index begins with 0 and counts packets (RFC 3711, 3.4) */
        uint8_t packet[64] = {0x80, 201, 0, 1, 1, 2, 3, 4};
        uint32_t length = (uint32_t)bw_srtcp_protect(srtcp, packet, 8, sizeof packet), index = 99;
        CHECK(bw_srtp_unprotect_rtcp(&receiver, packet, &length, &index));
        CHECK_EQ(length, 8);
        CHECK_EQ(index, sent);
    }
    uint8_t packet[64] = {0};
    CHECK_EQ(bw_srtcp_protect(srtcp, packet, 8, 39), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_srtcp_protect(srtcp, packet, 8, 20), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_srtcp_protect(srtcp, packet, 7, sizeof packet), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_srtcp_protect(srtcp, packet, 0xFFFFFFF0u, sizeof packet), BW_ERROR_ARGUMENT);
    CHECK(bw_srtcp_new(99, keys.local_key) == NULL);
    bw_srtp_keys_destroy(&receiver);
    bw_srtcp_free(srtcp);
}

int main(void) {
    RUN(test_only_authentic_stun_requests_pass_from_unknown_addresses);
    RUN(test_mapped_address_belongs_to_peer_until_unmapped);
    RUN(test_routes_are_found_after_others_were_erased);
    RUN(test_more_commands_than_the_ring_holds_are_waited_for);
    RUN(test_full_ring_of_a_stopped_engine_is_reported);
    RUN(test_sockets_can_be_added_and_removed_while_it_runs);
    RUN(test_full_table_of_sockets_is_reported);
    RUN(test_flood_from_unknown_address_does_not_reach_the_loop);
    RUN(test_only_authentic_rtcp_reaches_the_loop);
    RUN(test_player_cannot_send_media);
    RUN(test_sent_rtcp_is_protected);
    return 0;
}
