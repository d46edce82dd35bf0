/*
 * What the files of the core share and Python does not see.
 *
 * Ownership is by thread. The loop thread makes a peer's halves and sends them to the sender and the network thread
 * through command rings; from then on a half belongs to its thread alone. bw_peer_remove sends both back, and the
 * loop thread frees them. Counters are atomics, written by one thread and read by any.
 */
#ifndef BW_INTERNAL_H
#define BW_INTERNAL_H

#ifdef __linux__
#define _GNU_SOURCE /* sendmmsg, recvmmsg: so this header comes first in each file */
#endif

#include "core.h"
#include "platform.h"
#include "playout.h"
#include "ring.h"

#include <opus/opus.h>
#include <pthread.h>
#include <srtp2/srtp.h>

#define BW_SAMPLE_RATE_HZ 48000
#define BW_CHANNELS 2
#define BW_MAX_FRAME_SAMPLES 2880
#define BW_RTP_HEADER_BYTES 12
#define BW_MAX_RTP_BYTES 1472 /* of one packet we send: what fits Ethernet's 1500 with IPv4 and UDP headers */

/* A counter has one writer, so a plain load and store do; any thread reads it. */
typedef _Atomic uint64_t bw_counter;

static inline void bw_count(bw_counter *counter, uint64_t amount) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

static inline uint64_t bw_read_counter(bw_counter *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- source.c: sender thread, but for what core.h says of others */

/* Fills `frames` stereo 48 kHz frames; returns how many came from the source, the rest is silence. */
uint32_t bw_source_read(bw_source *source, float *output, uint32_t frames);
/* True once there will never be more. */
bool bw_source_has_ended(const bw_source *source);
/* True when a short read is nobody's fault: the source has ended, or has not begun. */
bool bw_source_is_idle(const bw_source *source);

/* ---- protect.c: SRTP of what we send */

typedef struct bw_protector bw_protector;

/* NULL: an unknown profile, or no memory. */
bw_protector *bw_protector_new(uint32_t profile, const uint8_t *key);
void bw_protector_free(bw_protector *protector);
/* Encrypts and signs a packet with a 12-byte header in place. index: roll-over counter and sequence number. */
bool bw_protect(bw_protector *protector, uint8_t *packet, int *length, uint64_t index);

/* ---- srtp.c */

/* A libsrtp2 session for one direction. ssrc 0: any (RTCP). NULL on failure. */
srtp_t bw_srtp_session(uint32_t profile, const uint8_t *key, uint32_t ssrc, bool outgoing);

/* ---- rtp.c: what one frame becomes for one peer */

/* One encoded frame, kept a while for redundancy and retransmission. */
typedef struct {
    uint32_t number; /* frame times since the start */
    uint16_t length; /* 0: nothing was sent in this frame time */
    uint8_t marker;  /* first packet of a talkspurt (RFC 3551, 4.1) */
    uint8_t payload[BW_MAX_FRAME_BYTES];
} bw_frame;

#define BW_FRAME_HISTORY 64 /* a power of two */

typedef struct {
    bw_frame frames[BW_FRAME_HISTORY]; /* by number modulo BW_FRAME_HISTORY */
    uint32_t frame_samples;
} bw_frame_history;

/* NULL when it is not there any more, or nothing was sent. */
const bw_frame *bw_frame_history_find(const bw_frame_history *history, uint32_t number);

typedef struct {
    uint64_t index; /* roll-over counter and sequence number */
    uint32_t frame_number;
    uint8_t redundancy;
    uint8_t resends_left;
} bw_sent_packet;

/* The sender's half of a peer. */
typedef struct {
    uint32_t peer;
    uint32_t active_index; /* its place in the sender's list */
    bw_protector *protector;
    uint32_t ssrc;
    uint64_t index; /* of the next packet: roll-over counter and sequence number */
    uint32_t timestamp_offset;
    uint8_t payload_type;
    uint8_t red_payload_type;
    uint8_t redundancy;
    uint8_t resend_budget; /* for this frame time: NACKs must not multiply our traffic */
    int descriptor;        /* -1: no path yet, or none any more */
    socklen_t address_length;
    struct sockaddr_storage address;
    bw_sent_packet sent[BW_FRAME_HISTORY]; /* by sequence modulo BW_FRAME_HISTORY */
} bw_outgoing;

/* Writes header and payload, not yet protected. Returns the length in bytes. */
uint32_t bw_rtp_write(const bw_outgoing *outgoing, const bw_frame_history *history, const bw_frame *frame,
                      uint16_t sequence, uint8_t redundancy, uint8_t *packet);

/* ---- incoming.c: the network thread's half of a peer */

typedef struct bw_incoming bw_incoming;

/* Of the stream that was heard last; written by the network thread, read by any. */
typedef struct {
    _Atomic uint32_t ssrc;
    bw_counter first_sequence, highest_sequence, packets_received;
    bw_counter jitter_ticks_16; /* times 16 */
} bw_reception;

/* ---- commands, from the loop thread */

typedef enum {
    BW_COMMAND_ADD, /* pointer: bw_outgoing or bw_incoming */
    BW_COMMAND_REMOVE,
    BW_COMMAND_SET_PATH, /* address, descriptor */
    BW_COMMAND_CLEAR_PATH,
    BW_COMMAND_SET_REDUNDANCY, /* value */
    BW_COMMAND_RESEND,         /* value: sequence number */
    BW_COMMAND_SET_BITRATE,    /* value */
    BW_COMMAND_SET_EXPECTED_LOSS,
    BW_COMMAND_SET_COMPLEXITY,
    BW_COMMAND_MAP, /* socket, address */
    BW_COMMAND_UNMAP,
    BW_COMMAND_ADD_SSRC, /* value: SSRC, pointer: srtp_t */
} bw_command_kind;

typedef struct {
    bw_command_kind kind;
    uint32_t peer;
    uint32_t value;
    int descriptor;
    void *pointer;
    bw_address address;
} bw_command;

#define BW_NOTICE_SRTP_UNUSED 100

/* What a thread tells the loop besides datagrams. Never dropped: the rings hold more than can be under way. */
typedef struct {
    uint32_t kind; /* BW_EVENT_PEER_REMOVED (pointer: the half to free), BW_EVENT_SOURCE_ENDED, BW_EVENT_NEW_SSRC
                      (value), or BW_NOTICE_SRTP_UNUSED (pointer: to be freed) */
    uint32_t peer;
    uint32_t value;
    void *pointer;
} bw_notice;

/* ---- the threads */

typedef struct {
    pthread_t thread;
    bw_ring commands; /* loop → sender */
    bw_ring notices;  /* sender → loop */
    OpusEncoder *encoder;
    bw_source *source;
    bool source_ended;
    bool talking; /* the last frame time sent something */
    uint32_t last_number;
    uint32_t expected_loss_percent;
    bw_outgoing **by_peer; /* NULL: not a peer of ours */
    bw_outgoing **active;  /* the same, dense */
    uint32_t active_count;
    float *pcm;
    bw_frame_history history;
    struct bw_batch *batch;
    _Atomic int64_t start_ns;
    _Atomic uint32_t *lateness_us; /* of the last ticks of 10 s, a ring */
    uint32_t lateness_capacity;
    _Atomic uint32_t lateness_count;
} bw_sender;

typedef struct {
    uint32_t peer; /* BW_NO_PEER: free */
    uint32_t socket;
    bw_address address;
} bw_route;

typedef struct {
    pthread_t thread;
    bw_ring commands;  /* loop → network */
    bw_ring notices;   /* network → loop */
    bw_ring datagrams; /* network → loop, of known peers */
    bw_ring strangers; /* network → loop, STUN from unknown addresses; apart, so that a flood starves nobody */
    bw_wake wake;      /* commands wait */
    bw_route *routes;  /* hash table, linear probing */
    uint32_t route_mask;
    uint32_t route_count;
    bw_incoming **by_peer; /* NULL: sends nothing to us */
    struct bw_inbox *batch;
} bw_network;

/* One for each peer number, always there, so that any thread may read the counters. */
typedef struct {
    bw_counter packets_sent, bytes_sent, octets_sent, send_drops, packets_resent; /* sender */
    bw_counter packets_received, bytes_received, srtp_errors;                     /* network */
    /* loop */
    bw_reception reception; /* network */
    bool added;             /* the halves are out */
    bool removing;          /* both were called back */
    uint8_t halves;         /* that are still out */
} bw_slot;

struct bw_engine {
    bw_engine_config config;
    bw_slot *slots;
    bw_playout *playout;
    bw_sender sender;
    bw_network network;
    _Atomic int sockets[BW_MAX_SOCKETS]; /* descriptors */
    _Atomic uint32_t socket_count;
    bw_wake events;               /* the loop has something to take */
    _Atomic bool events_signaled; /* and was told */
    _Atomic bool running;
    bool threads_started;
    bw_counter frames_sent, frames_skipped, late_frames, packets_sent, bytes_sent, send_drops, encode_errors,
        source_underruns;                                                                        /* sender */
    bw_counter packets_received, bytes_received, datagrams_dropped, srtp_errors, events_dropped; /* network */
    _Atomic bool realtime_priority;
    _Atomic uint32_t active_peers; /* written by the loop */
};

/* ---- addresses.c: any thread */

/* Returns the length of the socket address. */
socklen_t bw_address_to_sockaddr(const bw_address *address, struct sockaddr_storage *out);
/* Returns false for a family that is neither IPv4 nor IPv6. IPv4-mapped IPv6 addresses are not converted to IPv4. */
bool bw_address_from_sockaddr(const struct sockaddr_storage *in, bw_address *out);
bool bw_address_equal(const bw_address *a, const bw_address *b);

/* ---- events.c: sender, network and loop thread */

/* Wakes the loop thread: one write for any number of events until the loop reads them. */
void bw_events_signal(bw_engine *engine);
/* Writes a notice to the calling thread's own ring and wakes the loop thread. */
void bw_events_post(bw_engine *engine, bw_ring *notices, bw_notice notice);

/* sender.c */
int bw_sender_init(bw_engine *engine, bw_source *source);
void bw_sender_destroy(bw_engine *engine);
void *bw_sender_run(void *engine);
void bw_outgoing_free(bw_outgoing *outgoing);

/* network.c */
int bw_network_init(bw_engine *engine);
void bw_network_destroy(bw_engine *engine);
void *bw_network_run(void *engine);

#endif
