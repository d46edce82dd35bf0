/* An engine on a loopback socket, and a peer that unprotects what it receives. Nothing here sleeps; waiting happens
 * in recv. */
#ifndef BW_ENGINE_FIXTURE_H
#define BW_ENGINE_FIXTURE_H

#include "system.h"

#include "../../src/bass_webrtc/core/srtp_receiver.h"

#include <string.h>

#define FIXTURE_SSRC 0x11223344u
#define FIXTURE_PAYLOAD_TYPE 111
#define FIXTURE_RED 63
#define RECEIVE_TIMEOUT_S 2

typedef struct {
    bw_engine *engine;
    int socket; /* the engine's */
    uint32_t socket_index;
    bw_address address; /* of the engine's socket */
} fixture;

typedef struct {
    uint32_t peer;
    int socket;
    bw_address address;
    bw_srtp_keys srtp;
    bw_srtp_streams streams;
} listener;

typedef struct {
    uint8_t bytes[2048]; /* unprotected */
    uint8_t wire[2048];
    int length;
    int wire_length;
} packet;

static inline int open_loopback_socket(bw_address *address) {
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof name;
    bw_address loopback = {.family = 4, .ip = {127, 0, 0, 1}};
    int one = (int)socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(one >= 0);
    CHECK_EQ(bind(one, (struct sockaddr *)&name, bw_address_to_sockaddr(&loopback, &name)), 0);
    CHECK_EQ(getsockname(one, (struct sockaddr *)&name, &length), 0);
    CHECK(bw_address_from_sockaddr(&name, address));
    set_receive_timeout(one, RECEIVE_TIMEOUT_S);
    return one;
}

/* An engine with one channel. */
typedef struct {
    bw_engine_config engine;
    bw_channel_config channel;
} settings;

static inline settings default_settings(void) {
    return (settings){.engine = {.max_peers = 8, .frame_samples = 480, .fan_out_threads = 1},
                      .channel = {.encodings = 1, .bitrates_bps = {128000}}};
}

static inline fixture open_engine(settings config, bw_source *source) {
    fixture opened = {0};
    int status = 1;
    opened.engine = bw_engine_new(&config.engine, &status);
    CHECK(opened.engine != NULL);
    CHECK_EQ(status, BW_OK);
    CHECK_EQ(bw_channel_add(opened.engine, &config.channel, source), 0);
    opened.socket = open_loopback_socket(&opened.address);
    opened.socket_index = (uint32_t)bw_engine_add_socket(opened.engine, opened.socket);
    CHECK_EQ(bw_engine_start(opened.engine), BW_OK);
    return opened;
}

static inline void close_engine(fixture *opened) {
    bw_engine_free(opened->engine);
    close_socket(opened->socket);
}

static inline bw_peer_config peer_config(uint32_t profile) {
    bw_peer_config config = {.srtp_profile = profile,
                             .ssrc = FIXTURE_SSRC,
                             .sequence = 100,
                             .timestamp_offset = 0xFFFFFF00u, /* wraps within the first packets */
                             .payload_type = FIXTURE_PAYLOAD_TYPE,
                             .red_payload_type = FIXTURE_RED};
    for (int i = 0; i < 30; i++)
        config.local_key[i] = config.remote_key[i] = (uint8_t)(7 * i + 1);
    return config;
}

static inline listener add_listener(fixture *opened, uint32_t peer, const bw_peer_config *config) {
    listener added = {.peer = peer};
    added.socket = open_loopback_socket(&added.address);
    CHECK(bw_srtp_keys_init(&added.srtp, BW_SRTP_RTP, config->srtp_profile, config->local_key));
    CHECK_EQ(bw_peer_add(opened->engine, peer, config), BW_OK);
    CHECK_EQ(bw_peer_set_path(opened->engine, peer, opened->socket_index, &added.address), BW_OK);
    return added;
}

static inline void close_listener(listener *added) {
    bw_srtp_keys_destroy(&added->srtp);
    bw_srtp_streams_destroy(&added->streams);
    close_socket(added->socket);
}

/* Returns the next packet as received; false when none arrived in time. */
static inline bool receive_wire(listener *from, packet *received) {
    received->wire_length = (int)recv(from->socket, (char *)received->wire, sizeof received->wire, 0);
    return received->wire_length > 0;
}

static inline packet receive_packet(listener *from) {
    packet received;
    CHECK(receive_wire(from, &received));
    uint32_t length = (uint32_t)received.wire_length;
    memcpy(received.bytes, received.wire, length);
    CHECK(bw_srtp_receive_rtp(&from->streams, &from->srtp, received.bytes, BW_RTP_HEADER_BYTES, &length));
    received.length = (int)length;
    return received;
}

static inline uint32_t read_u16(const uint8_t *bytes) { return (uint32_t)bytes[0] << 8 | bytes[1]; }

static inline uint32_t read_u32(const uint8_t *bytes) { return read_u16(bytes) << 16 | read_u16(bytes + 2); }

static inline uint32_t packet_sequence(const packet *p) { return read_u16(p->bytes + 2); }

static inline uint32_t packet_timestamp(const packet *p) { return read_u32(p->bytes + 4); }

/* Waits for an event of this kind and drops others. */
static inline bw_event wait_event(fixture *opened, uint32_t kind) {
    bw_event event;
    for (;;) {
        while (bw_engine_next_events(opened->engine, &event, 1) == 1) {
            if (event.kind == kind)
                return event;
        }
        CHECK(is_readable(bw_engine_event_fd(opened->engine), RECEIVE_TIMEOUT_S * 1000));
    }
}

#endif
