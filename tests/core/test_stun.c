/* STUN in the network thread: which messages reach the loop, of which peer, and how many, and which it answers itself.
 * Threaded. */
#include "engine_fixture.h"

#include "../../src/bass_webrtc/core/ice.h"
#include "../../src/bass_webrtc/core/stun.h"
#include "stun_message.h"

#include <sched.h>

#define LOCAL_PASSWORD "local password 24 bytes"
#define REMOTE_PASSWORD "remote password, which is longer than the 64 bytes of one SHA-1 block"
#define PER_SECOND 100 /* quota of STUN */
#define BURST 100

/* RFC 5769, 2.1 */
#define RFC_PASSWORD "VOkJxbRl1RmTxUk/WvJxBt"
static const uint8_t RFC_REQUEST[] = {
    0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87,
    0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63, 0x6c,
    0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f,
    0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76,
    0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e,
    0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
};

/* Like a binding request: with FINGERPRINT. */
static bool is_authentic(const uint8_t *data, uint32_t length, const char *password) {
    bw_stun_message message;
    bw_hmac_key key;
    bw_hmac_set_key(&key, password, strlen(password));
    return bw_stun_parse(&message, data, length) && message.fingerprint_at != 0 &&
           bw_stun_is_authentic(&message, data, &key);
}

/* ---- messages */

static void test_sample_request_of_rfc_5769_is_authentic(void) {
    bw_stun_message message;
    CHECK(bw_stun_parse(&message, RFC_REQUEST, sizeof RFC_REQUEST));
    CHECK_EQ(message.kind, REQUEST);
    CHECK_EQ(message.username_bytes, 9);
    CHECK_EQ(memcmp(message.username, "evtj:h6vY", 9), 0);
    CHECK(is_authentic(RFC_REQUEST, sizeof RFC_REQUEST, RFC_PASSWORD));
    CHECK(!is_authentic(RFC_REQUEST, sizeof RFC_REQUEST, "VOkJxbRl1RmTxUk/WvJxBu"));
}

/* Each copy has its exact size, so that the address sanitizer notices a read beyond its end. */
static void test_truncated_message_is_rejected(void) {
    for (uint32_t length = 0; length < sizeof RFC_REQUEST; length++) {
        uint8_t *copy = malloc(length ? length : 1);
        memcpy(copy, RFC_REQUEST, length);
        if (length >= 4)
            put_u16(copy + 2, length - 20);
        CHECK(!is_authentic(copy, length, RFC_PASSWORD));
        free(copy);
    }
}

static void test_message_with_any_changed_bit_is_rejected(void) {
    for (uint32_t bit = 0; bit < 8 * sizeof RFC_REQUEST; bit++) {
        uint8_t copy[sizeof RFC_REQUEST];
        memcpy(copy, RFC_REQUEST, sizeof copy);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(!is_authentic(copy, sizeof copy, RFC_PASSWORD));
    }
}

static void test_attributes_after_integrity_are_ignored(void) {
    bw_stun_message parsed;
    stun_message message = begin_stun(REQUEST, 1);
    add_integrity(&message, LOCAL_PASSWORD);
    add_attribute(&message, USERNAME, "evil:evil", 9);
    add_integrity(&message, "another password");
    add_fingerprint(&message);
    CHECK(bw_stun_parse(&parsed, message.bytes, message.length));
    CHECK(parsed.username == NULL);
    CHECK(is_authentic(message.bytes, message.length, LOCAL_PASSWORD));
    CHECK(!is_authentic(message.bytes, message.length, "another password"));
}

static void test_fingerprint_must_be_last(void) {
    stun_message message = make_stun(REQUEST, 1, "user:peer", LOCAL_PASSWORD);
    CHECK(is_authentic(message.bytes, message.length, LOCAL_PASSWORD));
    add_attribute(&message, SOFTWARE, "", 0);
    CHECK(!is_authentic(message.bytes, message.length, LOCAL_PASSWORD));
}

static void test_number_of_attributes_is_limited(void) {
    bw_stun_message parsed;
    stun_message message = begin_stun(REQUEST, 1);
    for (int i = 1; i <= 64; i++) {
        add_attribute(&message, SOFTWARE, "", 0);
        CHECK_EQ(bw_stun_parse(&parsed, message.bytes, message.length), i < 64);
    }
}

/* ---- an engine and its loop thread */

typedef struct {
    int socket;
    bw_address address;
} client;

typedef struct {
    fixture f;
    uint32_t sent;
    uint32_t received;      /* STUN events */
    uint32_t from[8];       /* the same by peer */
    uint32_t limit_notices; /* events */
    uint32_t replays;       /* events */
} scene;

static client open_client(void) {
    client opened;
    opened.socket = open_loopback_socket(&opened.address);
    return opened;
}

static scene open_scene(void) { return (scene){.f = open_engine(default_settings(), NULL)}; }

static void take_events(scene *s) {
    bw_event event;
    while (bw_engine_next_events(s->f.engine, &event, 1) == 1) {
        s->received += event.kind == BW_EVENT_DATAGRAM;
        s->from[event.peer] += event.kind == BW_EVENT_DATAGRAM;
        s->limit_notices += event.kind == BW_EVENT_LIMITED;
        s->replays += event.kind == BW_EVENT_REPLAY;
    }
}

static bw_engine_stats stats_of(scene *s) {
    bw_engine_stats stats;
    bw_engine_get_stats(s->f.engine, &stats);
    return stats;
}

/* Waits until the network thread has handled everything that was sent. */
static void wait_until_handled(scene *s) {
    for (uint64_t counted = 0; counted < s->sent; sched_yield()) {
        bw_engine_stats stats = stats_of(s);
        take_events(s);
        counted = s->received + s->replays + stats.datagrams_dropped + stats.datagrams_limited + stats.events_dropped;
    }
}

static void send_datagram(scene *s, const client *from, const void *data, uint32_t length) {
    CHECK(send_to(from->socket, data, length, &s->f.address));
    s->sent++;
    wait_until_handled(s);
}

/* For floods: waits only before the socket's buffer is full. Call wait_until_handled afterwards. */
static void send_fast(scene *s, const client *from, const void *data, uint32_t length) {
    CHECK(send_to(from->socket, data, length, &s->f.address));
    if (++s->sent % 50 == 0)
        wait_until_handled(s);
}

/* Returns the peer that the message was assigned to, or BW_NO_PEER when it was dropped. */
static uint32_t peer_of(scene *s, const client *from, const stun_message *message) {
    uint32_t before[8];
    memcpy(before, s->from, sizeof before);
    send_datagram(s, from, message->bytes, message->length);
    for (uint32_t peer = 0; peer < 8; peer++) {
        if (s->from[peer] > before[peer])
            return peer;
    }
    return BW_NO_PEER;
}

static uint32_t peer_of_check(scene *s, const client *from, const char *username, const char *password) {
    stun_message check = make_stun(REQUEST, s->sent, username, password);
    return peer_of(s, from, &check);
}

static void flood_with_checks(scene *s, const client *from, const char *username, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        stun_message check = make_stun(REQUEST, s->sent, username, LOCAL_PASSWORD);
        send_fast(s, from, check.bytes, check.length);
    }
    wait_until_handled(s);
}

static void add_ice(scene *s, uint32_t peer, const char *ufrag) {
    CHECK_EQ(bw_peer_add_ice(s->f.engine, peer, ufrag, LOCAL_PASSWORD, REMOTE_PASSWORD), BW_OK);
}

static void close_scene(scene *s) { close_engine(&s->f); }

/* ---- who sent it */

/* Covers SE24: what is not authentic is dropped in the network thread. */
static void test_only_authentic_requests_reach_loop(void) {
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "ours");
    CHECK_EQ(peer_of_check(&s, &from, "ours:peer", "wrong password"), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &from, "ours:peer", REMOTE_PASSWORD), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &from, "theirs:peer", LOCAL_PASSWORD), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &from, "our:peer", LOCAL_PASSWORD), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &from, "ours", LOCAL_PASSWORD), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &from, NULL, LOCAL_PASSWORD), BW_NO_PEER);
    stun_message plain = begin_stun(REQUEST, 1);
    add_attribute(&plain, USERNAME, "ours:peer", 9);
    CHECK_EQ(peer_of(&s, &from, &plain), BW_NO_PEER);
    add_integrity(&plain, LOCAL_PASSWORD);
    CHECK_EQ(peer_of(&s, &from, &plain), BW_NO_PEER); /* no FINGERPRINT */
    stun_message indication = make_stun(INDICATION, 1, "ours:peer", LOCAL_PASSWORD);
    CHECK_EQ(peer_of(&s, &from, &indication), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &from, "ours:peer", LOCAL_PASSWORD), 3);
    CHECK_EQ(stats_of(&s).datagrams_dropped, s.sent - 1);
    close_socket(from.socket);
    close_scene(&s);
}

static void test_request_from_address_of_one_peer_reaches_another(void) {
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "three");
    add_ice(&s, 4, "four");
    CHECK_EQ(bw_peer_map_address(s.f.engine, 3, s.f.socket_index, &from.address), BW_OK);
    CHECK_EQ(peer_of_check(&s, &from, "four:peer", LOCAL_PASSWORD), 4);
    CHECK_EQ(peer_of_check(&s, &from, "three:peer", LOCAL_PASSWORD), 3);
    close_socket(from.socket);
    close_scene(&s);
}

static void test_response_must_come_from_address_of_peer_and_have_its_password(void) {
    scene s = open_scene();
    client mapped = open_client(), checking = open_client(), other = open_client();
    add_ice(&s, 3, "three");
    CHECK_EQ(bw_peer_map_address(s.f.engine, 3, s.f.socket_index, &mapped.address), BW_OK);
    CHECK_EQ(peer_of_check(&s, &checking, "three:peer", LOCAL_PASSWORD), 3);
    for (uint32_t kind = SUCCESS; kind <= ERROR; kind += ERROR - SUCCESS) {
        stun_message right = make_stun(kind, kind, NULL, REMOTE_PASSWORD);
        stun_message wrong = make_stun(kind, kind, NULL, LOCAL_PASSWORD);
        CHECK_EQ(peer_of(&s, &mapped, &wrong), BW_NO_PEER);
        CHECK_EQ(peer_of(&s, &other, &right), BW_NO_PEER);
        CHECK_EQ(peer_of(&s, &mapped, &right), 3);
        CHECK_EQ(peer_of(&s, &checking, &right), 3);
    }
    close_socket(mapped.socket);
    close_socket(checking.socket);
    close_socket(other.socket);
    close_scene(&s);
}

/* Two peers behind the same address, of which one is validated: each response goes to the peer that signed it. */
static void test_responses_from_shared_address_reach_the_peer_that_signed_them(void) {
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "three");
    CHECK_EQ(bw_peer_add_ice(s.f.engine, 4, "four", LOCAL_PASSWORD, "another password"), BW_OK);
    CHECK_EQ(bw_peer_map_address(s.f.engine, 3, s.f.socket_index, &from.address), BW_OK);
    CHECK_EQ(peer_of_check(&s, &from, "four:peer", LOCAL_PASSWORD), 4);
    stun_message of_three = make_stun(SUCCESS, 1, NULL, REMOTE_PASSWORD);
    stun_message of_four = make_stun(SUCCESS, 1, NULL, "another password");
    CHECK_EQ(peer_of(&s, &from, &of_three), 3);
    CHECK_EQ(peer_of(&s, &from, &of_four), 4);
    close_socket(from.socket);
    close_scene(&s);
}

/* Another peer sends checks with the same (forged) source address. */
static void test_requests_of_another_peer_do_not_displace_a_requester(void) {
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "three");
    CHECK_EQ(bw_peer_add_ice(s.f.engine, 4, "four", LOCAL_PASSWORD, "another password"), BW_OK);
    CHECK_EQ(peer_of_check(&s, &from, "four:peer", LOCAL_PASSWORD), 4);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(peer_of_check(&s, &from, "three:peer", LOCAL_PASSWORD), 3);
    stun_message of_three = make_stun(SUCCESS, 1, NULL, REMOTE_PASSWORD);
    stun_message of_four = make_stun(SUCCESS, 1, NULL, "another password");
    CHECK_EQ(peer_of(&s, &from, &of_four), 4);
    CHECK_EQ(peer_of(&s, &from, &of_three), 3);
    close_socket(from.socket);
    close_scene(&s);
}

static void test_ufrags_of_restart_are_accepted_until_removed(void) {
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "first");
    add_ice(&s, 3, "second");
    CHECK_EQ(peer_of_check(&s, &from, "first:peer", LOCAL_PASSWORD), 3);
    CHECK_EQ(peer_of_check(&s, &from, "second:peer", LOCAL_PASSWORD), 3);
    add_ice(&s, 3, "third");
    CHECK_EQ(peer_of_check(&s, &from, "first:peer", LOCAL_PASSWORD), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &from, "second:peer", LOCAL_PASSWORD), 3);
    CHECK_EQ(bw_peer_remove_ice(s.f.engine, 4, "second"), BW_OK); /* not this peer's: no effect */
    CHECK_EQ(peer_of_check(&s, &from, "second:peer", LOCAL_PASSWORD), 3);
    CHECK_EQ(bw_peer_remove_ice(s.f.engine, 3, "second"), BW_OK);
    CHECK_EQ(peer_of_check(&s, &from, "second:peer", LOCAL_PASSWORD), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &from, "third:peer", LOCAL_PASSWORD), 3);
    CHECK_EQ(bw_peer_remove(s.f.engine, 3), BW_OK);
    CHECK_EQ(peer_of_check(&s, &from, "third:peer", LOCAL_PASSWORD), BW_NO_PEER);
    close_socket(from.socket);
    close_scene(&s);
}

/* With more ufrags than buckets would hold one each, and removals in another order than the additions. */
static void test_each_of_many_ufrags_belongs_to_its_peer(void) {
    scene s = open_scene();
    client from = open_client();
    char ufrag[20], username[30];
    for (uint32_t i = 0; i < 16; i++) {
        snprintf(ufrag, sizeof ufrag, "ufrag%u", i);
        add_ice(&s, i % 8, ufrag);
    }
    for (uint32_t k = 0; k < 16; k++) {
        uint32_t removed = k * 5 % 16;
        for (uint32_t i = 0; i < 16; i++) {
            snprintf(username, sizeof username, "ufrag%u:peer", (i * 5) % 16);
            CHECK_EQ(peer_of_check(&s, &from, username, LOCAL_PASSWORD), i < k ? BW_NO_PEER : i * 5 % 16 % 8);
        }
        snprintf(ufrag, sizeof ufrag, "ufrag%u", removed);
        CHECK_EQ(bw_peer_remove_ice(s.f.engine, removed % 8, ufrag), BW_OK);
    }
    close_socket(from.socket);
    close_scene(&s);
}

static void test_invalid_arguments_are_refused(void) {
    scene s = open_scene();
    const char longest[] = "12345678901234567890123456789012", longer[] = "123456789012345678901234567890123";
    CHECK_EQ(bw_peer_add_ice(s.f.engine, 8, "ours", "a", "b"), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_add_ice(s.f.engine, 0, "", "a", "b"), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_add_ice(s.f.engine, 0, longer, "a", "b"), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_add_ice(s.f.engine, 0, longest, "a", "b"), BW_OK);
    CHECK_EQ(bw_peer_remove_ice(s.f.engine, 8, "ours"), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_remove_ice(s.f.engine, 0, longer), BW_ERROR_ARGUMENT);
    close_scene(&s);
}

/* ---- settled addresses */

/* A peer with ICE credentials, and its address. */
static client open_peer(scene *s, uint32_t peer, const char *ufrag) {
    client opened = open_client();
    add_ice(s, peer, ufrag);
    CHECK_EQ(bw_peer_map_address(s->f.engine, peer, s->f.socket_index, &opened.address), BW_OK);
    return opened;
}

static void settle(scene *s, uint32_t peer, const client *at) {
    CHECK_EQ(bw_peer_settle_address(s->f.engine, peer, s->f.socket_index, &at->address), BW_OK);
}

static stun_message new_check(void) {
    static uint32_t transaction = 5000;
    return make_stun(REQUEST, transaction++, "three:peer", LOCAL_PASSWORD);
}

/* The response that RFC 8489 asks for, made independently of the core. */
static stun_message success_for(const stun_message *check, const bw_address *source) {
    uint8_t value[8] = {0, 1};
    stun_message response = begin_stun(SUCCESS, 0);
    memcpy(response.bytes + 8, check->bytes + 8, 12);
    put_u16(value + 2, source->port ^ 0x2112u);
    for (int i = 0; i < 4; i++)
        value[4 + i] = source->ip[i] ^ response.bytes[4 + i];
    add_attribute(&response, XOR_MAPPED_ADDRESS, value, sizeof value);
    add_integrity(&response, LOCAL_PASSWORD);
    add_fingerprint(&response);
    return response;
}

/* Sends a check and expects the answer, and no event. */
static void check_answered(scene *s, const client *from, const stun_message *check) {
    uint8_t answer[200];
    uint32_t events = s->received + s->replays;
    stun_message expected = success_for(check, &from->address);
    CHECK(send_to(from->socket, check->bytes, check->length, &s->f.address));
    CHECK_EQ(recv(from->socket, (char *)answer, sizeof answer, 0), expected.length);
    CHECK_EQ(memcmp(answer, expected.bytes, expected.length), 0);
    take_events(s);
    CHECK_EQ(s->received + s->replays, events);
}

/* Sends a check, and expects an event of this kind and no answer: an answer would have been sent before the event. */
static void check_passed_on(scene *s, const client *from, const stun_message *check, uint32_t kind) {
    uint32_t datagrams = s->received, replays = s->replays;
    send_datagram(s, from, check->bytes, check->length);
    CHECK_EQ(s->received - datagrams, kind == BW_EVENT_DATAGRAM);
    CHECK_EQ(s->replays - replays, kind == BW_EVENT_REPLAY);
    CHECK(!is_readable(from->socket, 0));
}

static int64_t checked_ns(scene *s) { return bw_peer_checked_ns(s->f.engine, 3); }

static void test_check_on_settled_address_is_answered_without_the_loop(void) {
    scene s = open_scene();
    client peer = open_peer(&s, 3, "three");
    stun_message first = new_check(), second = new_check(), nominating = begin_stun(REQUEST, 1);
    add_attribute(&nominating, USERNAME, "three:peer", 10);
    add_attribute(&nominating, USE_CANDIDATE, "", 0);
    add_integrity(&nominating, LOCAL_PASSWORD);
    add_fingerprint(&nominating);
    check_passed_on(&s, &peer, &first, BW_EVENT_DATAGRAM);
    settle(&s, 3, &peer);
    CHECK_EQ(checked_ns(&s), 0);
    int64_t before_ns = bw_now_ns();
    check_answered(&s, &peer, &second);
    CHECK_AT_LEAST(checked_ns(&s), before_ns);
    CHECK_AT_MOST(checked_ns(&s), bw_now_ns());
    check_answered(&s, &peer, &nominating);
    CHECK_EQ(bw_peer_unsettle_address(s.f.engine, 3, s.f.socket_index, &peer.address), BW_OK);
    stun_message third = new_check();
    check_passed_on(&s, &peer, &third, BW_EVENT_DATAGRAM);
    close_socket(peer.socket);
    close_scene(&s);
}

/* RFC 8489, 7.3.1: a retransmission gets an answer. It proves nothing about the peer's consent. */
static void test_repeated_check_is_answered_but_does_not_count(void) {
    scene s = open_scene();
    client peer = open_peer(&s, 3, "three");
    stun_message early = new_check(), check = new_check();
    check_passed_on(&s, &peer, &early, BW_EVENT_DATAGRAM);
    settle(&s, 3, &peer);
    check_answered(&s, &peer, &early);
    CHECK_EQ(checked_ns(&s), 0);
    check_answered(&s, &peer, &check);
    int64_t counted_ns = checked_ns(&s);
    check_answered(&s, &peer, &check);
    check_answered(&s, &peer, &early);
    CHECK_EQ(checked_ns(&s), counted_ns);
    close_socket(peer.socket);
    close_scene(&s);
}

/* Covers SE32. */
static void test_check_that_was_answered_is_dropped_elsewhere_and_later(void) {
    scene s = open_scene();
    client peer = open_peer(&s, 3, "three"), attacker = open_client();
    stun_message check = new_check();
    settle(&s, 3, &peer);
    check_answered(&s, &peer, &check);
    check_passed_on(&s, &attacker, &check, BW_EVENT_REPLAY);
    CHECK_EQ(bw_peer_unsettle_address(s.f.engine, 3, s.f.socket_index, &peer.address), BW_OK);
    check_passed_on(&s, &peer, &check, BW_EVENT_REPLAY);
    settle(&s, 3, &peer);
    check_answered(&s, &peer, &check);
    CHECK_EQ(checked_ns(&s), 0);
    close_socket(peer.socket);
    close_socket(attacker.socket);
    close_scene(&s);
}

/* Somebody on the path sends copies from another address, faster than the peer's own checks arrive. */
static void test_copy_that_arrives_first_does_not_take_consent_away(void) {
    scene s = open_scene();
    client peer = open_peer(&s, 3, "three"), attacker = open_client();
    stun_message check = new_check();
    settle(&s, 3, &peer);
    check_passed_on(&s, &attacker, &check, BW_EVENT_DATAGRAM);
    check_answered(&s, &peer, &check);
    CHECK_COMPARE(checked_ns(&s), >, 0);
    check_passed_on(&s, &attacker, &check, BW_EVENT_REPLAY);
    close_socket(peer.socket);
    close_socket(attacker.socket);
    close_scene(&s);
}

static void test_check_that_needs_an_error_reaches_the_loop(void) {
    scene s = open_scene();
    client peer = open_peer(&s, 3, "three");
    settle(&s, 3, &peer);
    const uint32_t attributes[] = {ICE_CONTROLLED, 0x7FFF, 0x8000};
    for (int i = 0; i < 3; i++) {
        stun_message check = begin_stun(REQUEST, (uint32_t)i);
        add_attribute(&check, USERNAME, "three:peer", 10);
        add_attribute(&check, attributes[i], "12345678", 8);
        add_integrity(&check, LOCAL_PASSWORD);
        add_fingerprint(&check);
        if (attributes[i] == 0x8000)
            check_answered(&s, &peer, &check); /* comprehension-optional */
        else
            check_passed_on(&s, &peer, &check, BW_EVENT_DATAGRAM);
    }
    close_socket(peer.socket);
    close_scene(&s);
}

static void test_only_checks_of_the_peer_are_answered_on_its_settled_address(void) {
    scene s = open_scene();
    client peer = open_peer(&s, 3, "three"), other = open_client();
    add_ice(&s, 4, "four");
    settle(&s, 4, &peer); /* not mapped to this peer: no effect */
    stun_message first = new_check(), second = new_check();
    check_passed_on(&s, &peer, &first, BW_EVENT_DATAGRAM);
    settle(&s, 3, &peer);
    CHECK_EQ(peer_of_check(&s, &peer, "four:peer", LOCAL_PASSWORD), 4);
    CHECK_EQ(peer_of_check(&s, &peer, "three:peer", "wrong password"), BW_NO_PEER);
    CHECK_EQ(peer_of_check(&s, &other, "three:peer", LOCAL_PASSWORD), 3);
    check_answered(&s, &peer, &second);
    CHECK_EQ(bw_peer_map_address(s.f.engine, 3, s.f.socket_index, &peer.address), BW_OK);
    stun_message third = new_check();
    check_passed_on(&s, &peer, &third, BW_EVENT_DATAGRAM);
    CHECK_EQ(bw_peer_settle_address(s.f.engine, 8, s.f.socket_index, &peer.address), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_unsettle_address(s.f.engine, 3, 1, &peer.address), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_peer_checked_ns(s.f.engine, 8), 0);
    close_socket(peer.socket);
    close_socket(other.socket);
    close_scene(&s);
}

/* The time of an address that was settled before does not count for the next one. */
static void test_time_of_last_check_belongs_to_address_settled_last(void) {
    scene s = open_scene();
    client before = open_peer(&s, 3, "three"), now = open_client();
    stun_message first = new_check(), second = new_check();
    CHECK_EQ(bw_peer_map_address(s.f.engine, 3, s.f.socket_index, &now.address), BW_OK);
    settle(&s, 3, &before);
    check_answered(&s, &before, &first);
    CHECK_COMPARE(checked_ns(&s), >, 0);
    CHECK_EQ(bw_peer_unsettle_address(s.f.engine, 3, s.f.socket_index, &before.address), BW_OK);
    settle(&s, 3, &now);
    CHECK_EQ(checked_ns(&s), 0);
    check_answered(&s, &now, &first);
    CHECK_EQ(checked_ns(&s), 0);
    check_answered(&s, &now, &second);
    CHECK_COMPARE(checked_ns(&s), >, 0);
    close_socket(before.socket);
    close_socket(now.socket);
    close_scene(&s);
}

static void test_answers_are_limited_like_events(void) {
    scene s = open_scene();
    client peer = open_peer(&s, 3, "three");
    uint8_t answer[200];
    uint64_t answers[2] = {0, 0};
    stun_message recorded = new_check();
    settle(&s, 3, &peer);
    check_answered(&s, &peer, &recorded);
    for (int is_repeated = 0; is_repeated < 2; is_repeated++) {
        int64_t start_ns = bw_now_ns();
        uint64_t limited = stats_of(&s).datagrams_limited;
        for (uint32_t sent = 1; sent <= 500; sent++) {
            stun_message check = is_repeated ? recorded : new_check();
            CHECK(send_to(peer.socket, check.bytes, check.length, &s.f.address));
            while (sent % 20 == 0 && answers[is_repeated] + stats_of(&s).datagrams_limited - limited < sent) {
                if (is_readable(peer.socket, 0))
                    answers[is_repeated] += recv(peer.socket, (char *)answer, sizeof answer, 0) > 0;
            }
        }
        double elapsed_s = (double)(bw_now_ns() - start_ns) / 1e9;
        CHECK_AT_LEAST(answers[is_repeated], is_repeated ? 19 : 99);
        CHECK_AT_MOST(answers[is_repeated], is_repeated ? 21 + 20 * elapsed_s : 101 + 100 * elapsed_s);
    }
    close_socket(peer.socket);
    close_scene(&s);
}

/* A check every 5 s for hours: copies of the last minutes are recognized, whatever came before them. */
static void test_memory_of_checks_lasts_for_minutes(void) {
    bw_ice *ice = bw_ice_new(1);
    bw_ice_keys keys = {.ufrag_bytes = 5, .ufrag = "three"};
    bw_address address = {.family = 4, .ip = {192, 0, 2, 1}, .port = 1};
    uint32_t remembered = 0;
    stun_message latest[32];
    bw_hmac_set_key(&keys.local, LOCAL_PASSWORD, strlen(LOCAL_PASSWORD));
    bw_ice_add(ice, 0, &keys);
    for (uint32_t i = 0; i < 3200; i++) {
        stun_message *check = &latest[i % 32];
        *check = new_check();
        bw_datagram datagram = {.data = check->bytes, .length = check->length, .source = address};
        remembered += bw_ice_take(ice, 0, true, &datagram).is_repeated;
        if (i % 32 != 31)
            continue;
        for (uint32_t k = 0; k < 32; k++) {
            datagram.data = latest[k].bytes;
            remembered += bw_ice_take(ice, BW_NO_PEER, false, &datagram).verdict == BW_ICE_REPLAY;
        }
    }
    CHECK_AT_LEAST(remembered, 3200 - 32);
    CHECK_AT_MOST(remembered, 3200 + 32); /* new ones that looked repeated */
    bw_ice_free(ice);
}

/* Only some bits of a message are remembered: a few responses look like checks that were answered. */
static void test_response_is_never_a_copy_of_a_check(void) {
    bw_ice *ice = bw_ice_new(1);
    bw_ice_keys keys = {.ufrag_bytes = 5, .ufrag = "three"};
    uint32_t repeated = 0;
    bw_hmac_set_key(&keys.local, LOCAL_PASSWORD, strlen(LOCAL_PASSWORD));
    bw_hmac_set_key(&keys.remote, REMOTE_PASSWORD, strlen(REMOTE_PASSWORD));
    bw_ice_add(ice, 0, &keys);
    for (uint32_t i = 0; i < 100000; i++) {
        stun_message check = new_check(), response = make_stun(SUCCESS, i, NULL, REMOTE_PASSWORD);
        bw_datagram datagram = {.data = check.bytes, .length = check.length};
        CHECK_EQ(bw_ice_take(ice, 0, true, &datagram).verdict, BW_ICE_ANSWER);
        datagram.data = response.bytes, datagram.length = response.length;
        bw_ice_message taken = bw_ice_take(ice, 0, true, &datagram);
        CHECK_EQ(taken.peer, 0);
        CHECK_EQ(taken.verdict, BW_ICE_FORWARD);
        repeated += taken.is_repeated;
    }
    CHECK_AT_LEAST(repeated, 1);
    bw_ice_free(ice);
}

/* ---- how many */

static void check_limited(uint64_t passed, uint32_t per_second, uint32_t burst, int64_t since_ns) {
    double elapsed_s = (double)(bw_now_ns() - since_ns) / 1e9;
    CHECK_AT_LEAST(passed, burst);
    CHECK_AT_MOST(passed, burst + 1 + per_second * elapsed_s);
}

static void test_one_peer_cannot_use_up_the_quota_of_another(void) {
    scene s = open_scene();
    client flooder = open_client(), honest = open_client();
    bw_peer_stats peer_stats;
    add_ice(&s, 3, "three");
    add_ice(&s, 4, "four");
    int64_t start_ns = bw_now_ns();
    flood_with_checks(&s, &flooder, "three:peer", 500);
    check_limited(s.from[3], PER_SECOND, BURST, start_ns);
    CHECK_EQ(stats_of(&s).datagrams_limited, 500 - s.from[3]);
    CHECK_EQ(bw_peer_get_stats(s.f.engine, 3, &peer_stats), BW_OK);
    CHECK_EQ(peer_stats.datagrams_limited, 500 - s.from[3]);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(peer_of_check(&s, &honest, "four:peer", LOCAL_PASSWORD), 4);
    close_socket(flooder.socket);
    close_socket(honest.socket);
    close_scene(&s);
}

static void test_limit_is_reported_at_most_once_per_second(void) {
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "three");
    int64_t start_ns = bw_now_ns();
    flood_with_checks(&s, &from, "three:peer", 500);
    CHECK_AT_LEAST(s.limit_notices, 1);
    CHECK_AT_MOST(s.limit_notices, 1 + (double)(bw_now_ns() - start_ns) / 1e9);
    close_socket(from.socket);
    close_scene(&s);
}

/* A recorded check is authentic, from whatever address it is sent again. */
static void test_repeated_messages_do_not_use_up_quota_of_new_ones(void) {
    scene s = open_scene();
    client peer = open_client(), attacker = open_client();
    add_ice(&s, 3, "three");
    stun_message recorded[20];
    for (uint32_t i = 0; i < 20; i++) {
        recorded[i] = make_stun(REQUEST, 1000 + i, "three:peer", LOCAL_PASSWORD);
        CHECK_EQ(peer_of(&s, &peer, &recorded[i]), 3);
    }
    int64_t start_ns = bw_now_ns();
    for (uint32_t i = 0; i < 500; i++)
        send_fast(&s, &attacker, recorded[i % 20].bytes, recorded[i % 20].length);
    wait_until_handled(&s);
    check_limited(500 - stats_of(&s).datagrams_limited, 20, 20, start_ns);
    for (uint32_t i = 0; i < 50; i++)
        CHECK_EQ(peer_of_check(&s, &peer, "three:peer", LOCAL_PASSWORD), 3);
    close_socket(peer.socket);
    close_socket(attacker.socket);
    close_scene(&s);
}

static void test_retransmitted_message_is_accepted(void) {
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "three");
    stun_message check = make_stun(REQUEST, 1, "three:peer", LOCAL_PASSWORD);
    for (int i = 0; i < 8; i++) /* RFC 8489, 6.2.1: seven, at growing intervals */
        CHECK_EQ(peer_of(&s, &from, &check), 3);
    close_socket(from.socket);
    close_scene(&s);
}

/* DTLS cannot be authenticated here, so junk with the source address of a peer uses up a quota of its own. */
static void test_junk_dtls_does_not_use_up_quota_of_stun(void) {
    static const uint8_t record[17] = {22, 0xFE, 0xFD, [12] = 4};
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "three");
    CHECK_EQ(bw_peer_map_address(s.f.engine, 3, s.f.socket_index, &from.address), BW_OK);
    int64_t start_ns = bw_now_ns();
    for (int i = 0; i < 900; i++)
        send_fast(&s, &from, record, sizeof record);
    wait_until_handled(&s);
    check_limited(900 - stats_of(&s).datagrams_limited, 200, 400, start_ns);
    CHECK_EQ(peer_of_check(&s, &from, "three:peer", LOCAL_PASSWORD), 3);
    close_socket(from.socket);
    close_scene(&s);
}

/* While the loop thread does not take its events, one peer cannot fill the ring. */
static void test_few_datagrams_of_one_peer_wait(void) {
    scene s = open_scene();
    client flooder = open_client(), honest = open_client();
    bw_event event;
    add_ice(&s, 3, "three");
    add_ice(&s, 4, "four");
    for (uint32_t i = 0; i < 500; i++) {
        stun_message check = make_stun(REQUEST, i, i < 499 ? "three:peer" : "four:peer", LOCAL_PASSWORD);
        CHECK(send_to(i < 499 ? flooder.socket : honest.socket, check.bytes, check.length, &s.f.address));
        if (i % 20 == 19) /* leave room in the socket's buffer */
            for (uint64_t handled = 0; handled + 128 < i; sched_yield())
                handled = stats_of(&s).datagrams_limited + stats_of(&s).events_dropped;
    }
    for (uint32_t before = 0;; before++) {
        event = wait_event(&s.f, BW_EVENT_DATAGRAM);
        if (event.peer == 4)
            break;
        CHECK_LESS(before, 160);
    }
    close_socket(flooder.socket);
    close_socket(honest.socket);
    close_scene(&s);
}

/* A slot is reported free although datagrams wait, and those of its removed peer are not delivered to the next. */
static void test_datagrams_of_removed_peer_are_not_delivered(void) {
    scene s = open_scene();
    client from = open_client();
    add_ice(&s, 3, "three");
    for (uint32_t i = 0; i < 20; i++) {
        stun_message check = make_stun(REQUEST, i, "three:peer", LOCAL_PASSWORD);
        CHECK(send_to(from.socket, check.bytes, check.length, &s.f.address));
    }
    wait_event(&s.f, BW_EVENT_DATAGRAM);
    CHECK_EQ(bw_peer_remove(s.f.engine, 3), BW_OK);
    bw_event event;
    do {
        CHECK(is_readable(bw_engine_event_fd(s.f.engine), RECEIVE_TIMEOUT_S * 1000));
        if (bw_engine_next_events(s.f.engine, &event, 1) == 0)
            event.kind = 0;
        CHECK(event.kind != BW_EVENT_DATAGRAM);
    } while (event.kind != BW_EVENT_PEER_REMOVED);
    CHECK_EQ(bw_engine_next_events(s.f.engine, &event, 1), 0);
    add_ice(&s, 3, "again");
    stun_message check = make_stun(REQUEST, 100, "again:peer", LOCAL_PASSWORD);
    CHECK(send_to(from.socket, check.bytes, check.length, &s.f.address));
    event = wait_event(&s.f, BW_EVENT_DATAGRAM);
    CHECK_EQ(memcmp(event.data, check.bytes, check.length), 0);
    close_socket(from.socket);
    close_scene(&s);
}

int main(void) {
    RUN(test_sample_request_of_rfc_5769_is_authentic);
    RUN(test_truncated_message_is_rejected);
    RUN(test_message_with_any_changed_bit_is_rejected);
    RUN(test_attributes_after_integrity_are_ignored);
    RUN(test_fingerprint_must_be_last);
    RUN(test_number_of_attributes_is_limited);
    RUN(test_only_authentic_requests_reach_loop);
    RUN(test_request_from_address_of_one_peer_reaches_another);
    RUN(test_response_must_come_from_address_of_peer_and_have_its_password);
    RUN(test_responses_from_shared_address_reach_the_peer_that_signed_them);
    RUN(test_requests_of_another_peer_do_not_displace_a_requester);
    RUN(test_ufrags_of_restart_are_accepted_until_removed);
    RUN(test_each_of_many_ufrags_belongs_to_its_peer);
    RUN(test_invalid_arguments_are_refused);
    RUN(test_check_on_settled_address_is_answered_without_the_loop);
    RUN(test_repeated_check_is_answered_but_does_not_count);
    RUN(test_check_that_was_answered_is_dropped_elsewhere_and_later);
    RUN(test_copy_that_arrives_first_does_not_take_consent_away);
    RUN(test_check_that_needs_an_error_reaches_the_loop);
    RUN(test_only_checks_of_the_peer_are_answered_on_its_settled_address);
    RUN(test_time_of_last_check_belongs_to_address_settled_last);
    RUN(test_answers_are_limited_like_events);
    RUN(test_memory_of_checks_lasts_for_minutes);
    RUN(test_response_is_never_a_copy_of_a_check);
    RUN(test_one_peer_cannot_use_up_the_quota_of_another);
    RUN(test_limit_is_reported_at_most_once_per_second);
    RUN(test_repeated_messages_do_not_use_up_quota_of_new_ones);
    RUN(test_retransmitted_message_is_accepted);
    RUN(test_junk_dtls_does_not_use_up_quota_of_stun);
    RUN(test_few_datagrams_of_one_peer_wait);
    RUN(test_datagrams_of_removed_peer_are_not_delivered);
    return 0;
}
