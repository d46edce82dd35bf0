/*
 * Declarations shared by the core's files and not visible to Python.
 *
 * Each object is owned by one thread. The loop thread creates a peer's sender-side state (bw_outgoing) and network-side
 * state (bw_incoming) and passes them to a fan-out and the network thread through command rings; from then on each
 * belongs to its thread alone. bw_peer_remove makes both return them, and the loop thread frees them. Any thread may read
 * the counters, which are atomics.
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
#include "resampler.h"
#include "ring.h"
#include "rtcp_reports.h"
#include "sender_reports.h"
#include "srtp.h"

#include <opus/opus.h>
#include <pthread.h>

#define BW_SAMPLE_RATE_HZ 48000
#define BW_CHANNELS 2
#define BW_MAX_FRAME_SAMPLES 2880
#define BW_RTP_HEADER_BYTES 12
#define BW_MAX_RTP_BYTES 1344 /* of one packet we send, protected: leaves room for headers of tunnels in 1500 bytes */

/* Has one writer, so a relaxed load and store are enough to add to it. Any thread may read it. */
typedef _Atomic uint64_t bw_counter;

static inline void bw_count(bw_counter *counter, uint64_t amount) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

/* The same for a counter with several writers. */
static inline void bw_add(bw_counter *counter, uint64_t amount) {
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static inline uint64_t bw_read_counter(bw_counter *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- source.c: thread of the channel, except where core.h names another */

/* Fills `frames` stereo frames at 48 kHz. Returns how many the source delivered; the rest is silence. */
uint32_t bw_source_read(bw_source *source, float *output, uint32_t frames);
/* Returns true once the source will deliver nothing more. */
bool bw_source_has_ended(const bw_source *source);
/* How often it has ended, and BASS's error code of the last time. */
uint32_t bw_source_ends(const bw_source *source);
int32_t bw_source_error(const bw_source *source);
/* Returns true when a short read is not an underrun: the source has ended or has not started. */
bool bw_source_is_idle(const bw_source *source);

/* Loop thread. A source from a thread that writes stereo blocks of block_frames at 48 kHz (bw_source_write) to a thread
 * that reads with another clock. What does not fit into capacity_ms is dropped. filter: of 48 kHz; its table is shared.
 * Returns NULL when out of memory. */
bw_source *bw_source_new_bridge(const bw_resampler *filter, uint32_t block_frames, uint32_t capacity_ms);
/* Reading thread. Forgets what was written so far. */
void bw_source_discard(bw_source *source);

/* ---- rtp.c: RTP packets of one frame for one peer */

/* One encoded frame, kept for redundancy and retransmission. */
typedef struct {
    uint32_t number;  /* frame times since the start */
    uint16_t length;  /* 0: nothing was sent in this frame time */
    uint8_t marker;   /* first packet of a talkspurt (RFC 3551, 4.1) */
    uint8_t is_joint; /* a decoder of another encoding can go on with this frame */
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
    uint8_t encoding;
} bw_sent_packet;

/* Where packets go. */
typedef struct {
    int descriptor; /* -1: nowhere */
    bw_address address;
} bw_path;

/* Sender-side state of a peer. */
typedef struct {
    uint32_t peer;
    uint32_t active_index; /* position in bw_fan_out.active */
    bw_srtp_keys srtp;
    uint32_t ssrc;
    uint64_t index; /* of the next packet: roll-over counter << 16 | sequence number */
    uint32_t timestamp_offset;
    uint8_t payload_type;
    uint8_t red_payload_type;
    uint8_t redundancy;
    uint8_t encoding;
    uint8_t wanted_encoding; /* the peer changes to it at the next joint */
    uint16_t probe_copies;   /* left to send */
    uint16_t probe_frames;   /* in so many frames; 0: there is no probe */
    uint8_t resend_budget;   /* left in this frame time, so that NACKs cannot multiply outgoing traffic */
    int descriptor;          /* -1: no path is set */
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

/* ---- commands from the loop to the network thread; to the others: channel.h and fan_out.h */

typedef enum {
    BW_COMMAND_ADD, /* pointer: bw_incoming */
    BW_COMMAND_REMOVE,
    BW_COMMAND_MAP, /* value: socket; address */
    BW_COMMAND_UNMAP,
    BW_COMMAND_SETTLE, /* socket, address; number */
    BW_COMMAND_UNSETTLE,
    BW_COMMAND_ADD_ICE, /* ice */
    BW_COMMAND_REMOVE_ICE,
    BW_COMMAND_START_REPORTS, /* pointer: the slot's reporter */
    BW_COMMAND_SET_PATH,      /* of the reports; value: socket; address */
    BW_COMMAND_CLEAR_PATH,
    BW_COMMAND_KEEP_REPORTS,  /* kept */
    BW_COMMAND_REMOVE_SOCKET, /* value: index */
    BW_COMMAND_ADD_TAP,       /* pointer: bw_tap */
} bw_command_kind;

typedef struct {
    bw_command_kind kind;
    uint32_t peer;
    uint32_t value;
    uint32_t number;
    void *pointer;
    bw_address address;
    bw_ice_keys ice;
    bw_kept_config kept;
} bw_command;

#define BW_NOTICE_PEER_TAKEN 1000 /* of a fan-out, for the loop only: pointer is the bw_outgoing, which moves on */

#define BW_NOTICE_CALL_REMOVED 1001 /* of channel 0, for the loop only: the caller's channel may end */

/* A message from a thread to the loop, other than a datagram. Never dropped: the rings have room for all that can be
 * outstanding. */
typedef struct {
    /* BW_NOTICE_PEER_TAKEN, BW_EVENT_PEER_REMOVED (pointer: state to free), BW_EVENT_SOURCE_ENDED (value),
     * BW_EVENT_SOURCE_REPLACED, BW_EVENT_CHANNEL_REMOVED, BW_EVENT_LIMITED (value) or BW_EVENT_SOCKET_REMOVED (value) */
    uint32_t kind;
    uint32_t peer;
    uint32_t channel;
    uint32_t value;
    void *pointer;
} bw_notice;

/* ---- threads */

typedef struct {
    uint32_t peer; /* BW_NO_PEER: the entry is free */
    uint32_t socket;
    bool is_settled; /* the peer's checks from there are answered without the loop thread */
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
    uint32_t reporters;                /* peers whose reports are sent here */
    int64_t next_reports_ns;           /* when their times are looked at again */
    _Atomic bool limit_notice_pending; /* set by the network thread, cleared by the loop */
    bw_incoming **by_peer;             /* by slot; NULL: the peer has no SRTP keys yet */
    struct bw_inbox *batch;
} bw_network;

/* Counters of a channel, and of all channels together. */
typedef struct {
    bw_counter frames_sent, frames_skipped, late_frames, packets_sent, bytes_sent, send_drops, encode_errors,
        source_underruns;
} bw_sending_counters;

#define BW_NO_TICK 0xFFFFFFFF

/* What any thread may read of a channel. Those of all channels always exist. */
typedef struct {
    bw_sending_counters counters;                 /* channel's thread and fan-outs */
    _Atomic uint32_t listeners[BW_MAX_ENCODINGS]; /* fan-outs; a peer that changes its encoding counts for both */
    _Atomic uint32_t waiting;                     /* fan-outs: peers that change their encoding */
    _Atomic bool source_ended;                    /* channel's thread, like the next two */
    _Atomic int32_t source_error;
    bw_counter source_ends;
    _Atomic bool end_notice_pending;       /* set by the channel's thread, cleared by the loop */
    _Atomic int64_t start_ns;              /* of frame time 0; set by the loop, which also allocates the next */
    _Atomic uint32_t *_Atomic lateness_us; /* by frame time; BW_NO_TICK: skipped, or not yet */
} bw_channel_state;

/* State of one peer slot. All slots always exist, so any thread may read the counters. The named thread writes. */
typedef struct {
    bw_counter packets_sent, bytes_sent, octets_sent, send_drops, packets_resent; /* sender */
    bw_counter packets_received, bytes_received, srtp_errors, datagrams_limited;  /* network */
    bw_counter packets_not_negotiated, sequence_restarts;                         /* network */
    bw_reception reception;                                                       /* network */
    _Atomic int64_t checked_ns;      /* network: last check that it answered on the settled address; 0: none */
    _Atomic uint32_t settled_number; /* network: which address it is, by the order of the commands */
    uint32_t settlements;            /* loop only: how often an address was settled */
    bw_reporter *reporter;           /* loop: owns it; NULL: Python sends this peer's reports */
    bw_reporter *reporting;          /* network: the same, from its command to the peer's removal */
    bool has_report_path;            /* network, like the next two */
    uint32_t report_socket;
    bw_address report_address;
    bw_reports reports;         /* network */
    bw_tap *taps;               /* network: first of the list */
    _Atomic uint32_t queued;    /* datagrams in the ring; the network thread adds, the loop subtracts */
    _Atomic uint32_t encoding;  /* that is sent; fan-out */
    struct bw_fan_out *fan_out; /* loop only, like all below; NULL: the peer is sent nothing */
    bool moving;                /* BW_NOTICE_PEER_TAKEN is due; then fan_out gets the peer as the next three say */
    bool probing;               /* BW_EVENT_PROBE_SENT is due */
    uint8_t redundancy;
    uint8_t wanted_encoding;
    bw_path path;
    bool added;               /* bw_peer_add succeeded */
    bool removing;            /* bw_peer_remove was called; BW_EVENT_PEER_REMOVED is due */
    uint8_t pending_removals; /* threads that have not returned their state yet */
    uint32_t occupant;        /* as in bw_peer_quotas; a datagram with a lower number is from a removed peer */
} bw_slot;

struct bw_engine {
    bw_engine_config config;
    bw_slot *slots;
    bw_playout *playout;
    struct bw_calls *calls;
    bw_network network;
    bw_channel_state channel_states[BW_MAX_CHANNELS];
    struct bw_channel *channels[BW_MAX_CHANNELS]; /* loop only; NULL: there is none */
    uint32_t lateness_capacity;                   /* ticks of the last 10 s */
    _Atomic int64_t start_ns;                     /* of frame time 0 of all channels; 0 before the start */
    _Atomic int sockets[BW_MAX_SOCKETS];          /* file descriptors; -1: removed */
    _Atomic uint32_t socket_count;
    uint32_t socket_removals[BW_MAX_SOCKETS]; /* loop only: how many threads have not released a removed socket yet */
    bw_wake events;                           /* readable when the loop has events to take */
    _Atomic bool events_signaled;             /* events is signaled and the loop has not cleared it */
    _Atomic bool running;
    bool threads_started;
    bw_sending_counters counters; /* channels' threads and fan-outs */
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

/* ---- events.c: any thread of the engine, and the loop thread */

/* Wakes the loop thread: one write for any number of events until the loop reads them. */
void bw_events_signal(bw_engine *engine);
/* Writes a notice to the calling thread's own ring and wakes the loop thread. */
void bw_events_post(bw_engine *engine, bw_ring *notices, bw_notice notice);

/* ---- forward.c: network thread */

/* Uses up a part of the peer's quota (BW_QUOTA_*). Returns false when nothing is left. */
bool bw_use_quota(bw_engine *engine, uint32_t peer, uint32_t quota, int64_t now_ns);
/* Passes a datagram to the loop thread as an event of this kind. Returns false when it is dropped: the peer has used up
 * its quota, or too many are waiting. */
bool bw_forward(bw_engine *engine, uint32_t peer, uint32_t kind, uint32_t quota, const bw_datagram *datagram);

/* ---- engine.c: loop thread, both */

/* Returns BW_ERROR_BUSY only while the threads do not run. */
int bw_command_network(bw_engine *engine, bw_command command);
/* Takes notices of one ring. Returns how many of them are events for Python. */
uint32_t bw_events_take(bw_engine *engine, bw_ring *ring, bw_event *events, uint32_t capacity);

/* ---- peers.c: loop thread. They return whether Python must be told that the peer's slot is free. */

/* A thread has returned its state of a removed peer. */
bool bw_peer_returned(bw_engine *engine, uint32_t peer, void *state, bool from_network);
/* The same without a state. */
bool bw_peer_released(bw_engine *engine, uint32_t peer);
/* A fan-out has returned its state of a peer that moves to another one. */
bool bw_peer_taken(bw_engine *engine, uint32_t peer, bw_outgoing *outgoing);

/* ---- network.c: init and destroy on the loop thread, run as the network thread */
int bw_network_init(bw_engine *engine);
void bw_network_destroy(bw_engine *engine);
void *bw_network_run(void *engine);

#endif
