/*
 * Declarations shared by the core's files and not visible to Python.
 *
 * Each object is owned by one thread. The loop thread creates a peer's sender-side state (bw_outgoing) and network-side
 * state (bw_incoming) and passes them to the two threads through command rings; from then on each belongs to its thread
 * alone. bw_peer_remove makes both threads return them, and the loop thread frees them. Each counter is an atomic with
 * one writer; any thread may read it.
 */
#ifndef BW_INTERNAL_H
#define BW_INTERNAL_H

#ifdef __linux__
#define _GNU_SOURCE /* for sendmmsg and recvmmsg; every file includes this header first */
#endif

#include "core.h"
#include "hmac.h"
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
#define BW_MAX_RTP_BYTES 1472 /* of one packet we send: Ethernet's 1500 bytes minus the IPv4 and UDP headers */

/* Has one writer, so a relaxed load and store are enough to add to it. Any thread may read it. */
typedef _Atomic uint64_t bw_counter;

static inline void bw_count(bw_counter *counter, uint64_t amount) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

static inline uint64_t bw_read_counter(bw_counter *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- source.c: sender thread, except where core.h names another */

/* Fills `frames` stereo frames at 48 kHz. Returns how many the source delivered; the rest is silence. */
uint32_t bw_source_read(bw_source *source, float *output, uint32_t frames);
/* Returns true once the source will deliver nothing more. */
bool bw_source_has_ended(const bw_source *source);
/* How often it has ended, and BASS's error code of the last time. */
uint32_t bw_source_ends(const bw_source *source);
int32_t bw_source_error(const bw_source *source);
/* Returns true when a short read is not an underrun: the source has ended or has not started. */
bool bw_source_is_idle(const bw_source *source);

/* ---- protect.c: SRTP of outgoing packets */

typedef struct bw_protector bw_protector;

/* Returns NULL for an unknown profile or when out of memory. */
bw_protector *bw_protector_new(uint32_t profile, const uint8_t *key);
void bw_protector_free(bw_protector *protector);
/* Encrypts and authenticates a packet with a 12-byte header in place. index: roll-over counter << 16 | sequence
 * number. */
bool bw_protect(bw_protector *protector, uint8_t *packet, int *length, uint64_t index);

/* ---- srtp.c */

/* Creates a libsrtp2 session for all SSRCs of one direction. Returns NULL on failure. */
srtp_t bw_srtp_session(uint32_t profile, const uint8_t *key, bool outgoing);

/* ---- rtp.c: RTP packets of one frame for one peer */

/* One encoded frame, kept for redundancy and retransmission. */
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

/* Returns NULL when the frame is no longer in the history or was not sent. */
const bw_frame *bw_frame_history_find(const bw_frame_history *history, uint32_t number);

typedef struct {
    uint64_t index; /* roll-over counter << 16 | sequence number */
    uint32_t frame_number;
    uint8_t redundancy;
    uint8_t resends_left;
} bw_sent_packet;

/* Sender-side state of a peer. */
typedef struct {
    uint32_t peer;
    uint32_t active_index; /* position in bw_sender.active */
    bw_protector *protector;
    uint32_t ssrc;
    uint64_t index; /* of the next packet: roll-over counter << 16 | sequence number */
    uint32_t timestamp_offset;
    uint8_t payload_type;
    uint8_t red_payload_type;
    uint8_t redundancy;
    uint8_t resend_budget; /* left in this frame time, so that NACKs cannot multiply outgoing traffic */
    int descriptor;        /* -1: no path is set */
    socklen_t address_length;
    struct sockaddr_storage address;
    bw_sent_packet sent[BW_FRAME_HISTORY]; /* by sequence modulo BW_FRAME_HISTORY */
} bw_outgoing;

/* Writes header and payload without SRTP protection. Returns the length in bytes. */
uint32_t bw_rtp_write(const bw_outgoing *outgoing, const bw_frame_history *history, const bw_frame *frame,
                      uint16_t sequence, uint8_t redundancy, uint8_t *packet);

/* ---- incoming.c: network-side state of a peer */

typedef struct bw_incoming bw_incoming;

/* Reception of the most recently received stream. Written by the network thread, read by any thread. */
typedef struct {
    _Atomic uint32_t ssrc;
    bw_counter first_sequence, highest_sequence, packets_received;
    bw_counter jitter_ticks_16; /* jitter in RTP ticks, times 16 */
} bw_reception;

/* ---- ice.c: which peer sent a STUN message; network thread */

typedef struct bw_ice bw_ice;

typedef struct {
    uint32_t ufrag_bytes;
    uint8_t ufrag[BW_MAX_UFRAG_BYTES]; /* ours */
    bw_hmac_key local;                 /* made from our password, which signs requests to us */
    bw_hmac_key remote;                /* made from the peer's, which signs responses to us */
} bw_ice_keys;

/* ---- commands from the loop thread */

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
    BW_COMMAND_SET_SOURCE, /* pointer: bw_source or NULL; value: error code */
    BW_COMMAND_MAP,        /* socket, address */
    BW_COMMAND_UNMAP,
    BW_COMMAND_ADD_ICE, /* ice */
    BW_COMMAND_REMOVE_ICE,
    BW_COMMAND_REMOVE_SOCKET, /* value: index, descriptor */
} bw_command_kind;

typedef struct {
    bw_command_kind kind;
    uint32_t peer;
    uint32_t value;
    int descriptor;
    void *pointer;
    bw_address address;
    bw_ice_keys ice;
} bw_command;

/* A message from a thread to the loop, other than a datagram. Never dropped: the rings have room for all that can be
 * outstanding. */
typedef struct {
    /* BW_EVENT_PEER_REMOVED (pointer: state to free), BW_EVENT_SOURCE_ENDED (value), BW_EVENT_SOURCE_REPLACED,
     * BW_EVENT_LIMITED (value) or BW_EVENT_SOCKET_REMOVED (value) */
    uint32_t kind;
    uint32_t peer;
    uint32_t value;
    void *pointer;
} bw_notice;

/* ---- threads */

typedef struct {
    pthread_t thread;
    bw_ring commands; /* loop → sender */
    bw_ring notices;  /* sender → loop */
    OpusEncoder *encoder;
    bw_source *source;
    uint32_t ends_seen;              /* bw_source_ends of the source */
    bool replacing;                  /* loop only: BW_EVENT_SOURCE_REPLACED is due */
    _Atomic bool end_notice_pending; /* set by the sender thread, cleared by the loop */
    _Atomic bool source_ended;       /* written by the sender thread, like the next two */
    _Atomic int32_t source_error;
    bw_counter source_ends;
    bool talking; /* the last frame time sent a packet */
    uint32_t last_number;
    uint32_t expected_loss_percent;
    bw_outgoing **by_peer; /* by slot; NULL: no such peer */
    bw_outgoing **active;  /* the same peers, densely packed */
    uint32_t active_count;
    float *pcm;
    bw_frame_history history;
    struct bw_batch *batch;
    _Atomic int64_t start_ns;
    _Atomic uint32_t *lateness_us; /* ring of the ticks of the last 10 s */
    uint32_t lateness_capacity;
    _Atomic uint32_t lateness_count;
} bw_sender;

typedef struct {
    uint32_t peer; /* BW_NO_PEER: the entry is free */
    uint32_t socket;
    bw_address address;
} bw_route;

/* A received datagram. */
typedef struct {
    uint32_t socket; /* index */
    bw_address source;
    uint8_t *data;
    uint32_t length;
    int64_t time_ns; /* bw_now_ns at arrival */
} bw_datagram;

typedef struct {
    int64_t full_ns[BW_QUOTAS]; /* when each token bucket will be full */
    uint32_t occupant;          /* how many peers were removed from this slot */
} bw_peer_quotas;

typedef struct {
    pthread_t thread;
    bw_ring commands;  /* loop → network */
    bw_ring notices;   /* network → loop */
    bw_ring datagrams; /* network → loop */
    bw_wake wake;      /* signaled when commands are waiting */
    bw_route *routes;  /* hash table with linear probing */
    uint32_t route_mask;
    uint32_t route_count;
    bw_ice *ice;
    bw_peer_quotas *quotas;            /* by slot */
    int64_t next_limit_notice_ns;      /* not before */
    _Atomic bool limit_notice_pending; /* set by the network thread, cleared by the loop */
    bw_incoming **by_peer;             /* by slot; NULL: the peer has no SRTP keys yet */
    struct bw_inbox *batch;
} bw_network;

/* State of one peer slot. All slots always exist, so any thread may read the counters. The named thread writes. */
typedef struct {
    bw_counter packets_sent, bytes_sent, octets_sent, send_drops, packets_resent; /* sender */
    bw_counter packets_received, bytes_received, srtp_errors, datagrams_limited;  /* network */
    bw_counter packets_not_negotiated, sequence_restarts;                         /* network */
    bw_reception reception;                                                       /* network */
    _Atomic uint32_t queued;  /* datagrams in the ring; the network thread adds, the loop subtracts */
    bool added;               /* loop only, like the three below: bw_peer_add succeeded */
    bool removing;            /* bw_peer_remove was called; BW_EVENT_PEER_REMOVED is due */
    uint8_t pending_removals; /* threads that have not returned their state yet */
    uint32_t occupant;        /* as in bw_peer_quotas; a datagram with a lower number is from a removed peer */
} bw_slot;

struct bw_engine {
    bw_engine_config config;
    bw_slot *slots;
    bw_playout *playout;
    bw_sender sender;
    bw_network network;
    _Atomic int sockets[BW_MAX_SOCKETS]; /* file descriptors; -1: removed */
    _Atomic uint32_t socket_count;
    uint8_t socket_removals[BW_MAX_SOCKETS]; /* loop only: which threads have not released a removed socket yet */
    bw_wake events;                          /* readable when the loop has events to take */
    _Atomic bool events_signaled;            /* events is signaled and the loop has not cleared it */
    _Atomic bool running;
    bool threads_started;
    bw_counter frames_sent, frames_skipped, late_frames, packets_sent, bytes_sent, send_drops, encode_errors,
        source_underruns; /* sender */
    bw_counter packets_received, bytes_received, datagrams_dropped, datagrams_limited, srtp_errors,
        events_dropped; /* network */
    _Atomic bool realtime_priority;
    _Atomic uint32_t active_peers; /* written by the loop */
};

/* ---- addresses.c: any thread */

/* Returns the length of the socket address. */
socklen_t bw_address_to_sockaddr(const bw_address *address, struct sockaddr_storage *out);
/* Returns false for a family that is neither IPv4 nor IPv6. IPv4-mapped IPv6 addresses are not converted to IPv4. */
bool bw_address_from_sockaddr(const struct sockaddr_storage *in, bw_address *out);
bool bw_address_equal(const bw_address *a, const bw_address *b);
uint32_t bw_address_hash(uint32_t socket, const bw_address *address);

/* ---- events.c: sender, network and loop thread */

/* Wakes the loop thread: one write for any number of events until the loop reads them. */
void bw_events_signal(bw_engine *engine);
/* Writes a notice to the calling thread's own ring and wakes the loop thread. */
void bw_events_post(bw_engine *engine, bw_ring *notices, bw_notice notice);

/* ---- forward.c: network thread */

/* Passes a datagram to the loop thread, unless the peer has used up its quota (BW_QUOTA_*) or too many are waiting. */
void bw_forward(bw_engine *engine, uint32_t peer, uint32_t quota, const bw_datagram *datagram);

/* ---- sender.c: init, destroy and bw_outgoing_free on the loop thread, run as the sender thread */
int bw_sender_init(bw_engine *engine, bw_source *source);
void bw_sender_destroy(bw_engine *engine);
void *bw_sender_run(void *engine);
void bw_outgoing_free(bw_outgoing *outgoing);

/* ---- network.c: init and destroy on the loop thread, run as the network thread */
int bw_network_init(bw_engine *engine);
void bw_network_destroy(bw_engine *engine);
void *bw_network_run(void *engine);

#endif
