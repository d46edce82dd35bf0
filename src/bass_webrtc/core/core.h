/*
 * The audio path, as Python sees it. The cffi declarations are read from this file, so it holds
 * declarations and number constants only.
 *
 *   send     source ─► read ─► Opus encode ─► RTP header ─► SRTP protect ─► UDP ─► N peers   sender thread
 *                             once per frame  │     once per peer
 *   receive  UDP ─► demultiplex ─► SRTP unprotect ─► packet ring                             network thread
 *            packet ring ─► jitter buffer ─► decode ─► resample ─► mix                       the thread that plays
 *   control  Python's loop thread ─► command rings ─► both threads ─► event rings ─► Python's loop thread
 *
 * Threads. "loop" below is the one Python thread that owns the engine's control plane; "any" is any thread.
 * Once started, the sender and the network thread take no lock of ours, log nothing and touch no file; the sender and
 * the thread that plays allocate nothing. The network thread unprotects with libsrtp2, which takes a mutex and allocates
 * for each packet where it is built on NSS, as Debian does; nobody waits for that thread. Nothing here takes the
 * interpreter's lock. The engine must outlive every call into it.
 *
 * Units stand in the names. Addresses are plain bytes, so no sockaddr layout crosses the border.
 */
#ifndef BW_CORE_H
#define BW_CORE_H

#include "playout.h"

#include <stdint.h>

#define BW_OK 0
#define BW_ERROR_ARGUMENT -1 /* a value is out of its range */
#define BW_ERROR_MEMORY -2   /* no memory, or no thread to be had */
#define BW_ERROR_OPUS -3     /* libopus refused */
#define BW_ERROR_SRTP -4     /* libsrtp2 refused: not authentic, replayed, or a bad key */
#define BW_ERROR_BUSY -5     /* the peer slot is in use, or a command ring is full */
#define BW_ERROR_SYSTEM -6   /* a system call failed; errno says which */

#define BW_NO_PEER 0xFFFFFFFF
#define BW_MAX_DATAGRAM 2048 /* bytes of the longest datagram that is passed on; a longer one is dropped, counted */
#define BW_MAX_SOCKETS 64
#define BW_MAX_FRAME_BYTES 1275 /* of one Opus frame (RFC 6716, 3.2.1) */

/* ------------------------------------------------------------------ engine: two threads, peers, queues */

#define BW_APPLICATION_AUDIO 0
#define BW_APPLICATION_VOIP 1
#define BW_APPLICATION_LOWDELAY 2

typedef struct bw_engine bw_engine;
typedef struct bw_source bw_source;
typedef struct bw_srtcp bw_srtcp;

typedef struct {
    uint32_t max_peers;     /* slots 0 .. max_peers-1 */
    uint32_t frame_samples; /* per channel at 48 kHz: 480, 960, 1920 or 2880 */
    uint32_t bitrate_bps;   /* 6000 .. 510000 */
    uint32_t complexity;    /* 0 .. 10 */
    uint32_t application;   /* BW_APPLICATION_* */
    uint32_t in_band_fec;   /* 0 or 1 */
    uint32_t dtx;           /* 0 or 1 */
} bw_engine_config;

typedef struct {
    uint8_t family;    /* 4 or 6 */
    uint8_t ip[16];    /* network order; IPv4 in the first four */
    uint16_t port;     /* host order */
    uint32_t scope_id; /* IPv6 link-local zone, else 0 */
} bw_address;

/* Any thread. NULL and *status on failure. The source may be NULL (nothing is sent); it is not owned. */
bw_engine *bw_engine_new(const bw_engine_config *config, bw_source *source, int *status);
int bw_engine_start(bw_engine *engine);
/* Joins both threads; safe to call twice. */
void bw_engine_stop(bw_engine *engine);
/* Stops first. No stream of ours may be playing any more. */
void bw_engine_free(bw_engine *engine);

/* loop: a bound, non-blocking UDP socket joins; it is not owned and must outlive the engine's threads.
 * Returns its index, or an error. */
int bw_engine_add_socket(bw_engine *engine, int descriptor);

/* loop: encoder settings take effect with the next frame. */
int bw_engine_set_bitrate(bw_engine *engine, uint32_t bitrate_bps);
int bw_engine_set_expected_loss(bw_engine *engine, uint32_t percent);
int bw_engine_set_complexity(bw_engine *engine, uint32_t complexity);

typedef struct {
    uint64_t frames_sent;    /* Opus frames encoded or, in DTX, left out: one per frame time */
    uint64_t frames_skipped; /* frame times that passed while the process did not run for over half a second */
    uint64_t late_frames;    /* frames whose last packet left more than one frame time late */
    uint64_t packets_sent;   /* of all peers */
    uint64_t bytes_sent;     /* UDP payload bytes of all peers */
    uint64_t send_drops;     /* packets that the system did not take (EAGAIN and the like) */
    uint64_t encode_errors;
    uint64_t source_underruns; /* frames that were filled up with silence while the source had not ended */
    uint64_t packets_received; /* authentic RTP packets */
    uint64_t bytes_received;
    uint64_t datagrams_dropped; /* empty, too long, junk, or from a stranger */
    uint64_t srtp_errors;       /* packets that were not authentic, or replayed */
    uint64_t events_dropped;    /* datagrams for Python that found the event ring full */
    uint32_t realtime_priority; /* 1 when the sender thread got it */
    uint32_t source_ended;      /* 1 once the source has ended */
    uint32_t active_peers;      /* those whose keys are there */
} bw_engine_stats;

/* any */
void bw_engine_get_stats(bw_engine *engine, bw_engine_stats *stats);
/* any: how late the last packet of each tick left, in microseconds, the newest ticks of the last 10 s, in no
 * order. Returns how many were written. */
uint32_t bw_engine_get_lateness(bw_engine *engine, uint32_t *lateness_us, uint32_t capacity);
/* any: CLOCK_MONOTONIC in nanoseconds of media time 0. RTP time of a peer at time t is
 * timestamp_offset + (t - start_ns) * 48000 / 1e9. 0 before start. */
int64_t bw_engine_start_ns(bw_engine *engine);

/* ------------------------------------------------------------------ events: from the threads to the loop */

#define BW_EVENT_DATAGRAM 1     /* STUN, DTLS or SRTCP: peer (or BW_NO_PEER: STUN only), socket, source, data */
#define BW_EVENT_PEER_REMOVED 2 /* both threads let go of this slot; it may be used again */
#define BW_EVENT_SOURCE_ENDED 3
#define BW_EVENT_NEW_SSRC 4 /* RTP with an SSRC that was not announced: value; see bw_peer_add_ssrc */

typedef struct {
    uint32_t kind; /* BW_EVENT_* */
    uint32_t peer;
    uint32_t socket;
    uint32_t length; /* of data */
    uint32_t value;
    int64_t time_ns; /* CLOCK_MONOTONIC at arrival */
    bw_address source;
    uint8_t data[2048];
} bw_event;

/* any: readable when events wait. Owned by the engine. */
int bw_engine_event_fd(bw_engine *engine);
/* loop: takes up to capacity events; known peers' before strangers'. Returns how many. When it returns less than
 * capacity, the descriptor is quiet again until the next event. */
uint32_t bw_engine_next_events(bw_engine *engine, bw_event *events, uint32_t capacity);

/* ------------------------------------------------------------------ peers */

#define BW_SRTP_AES128_CM_SHA1_80 1 /* the numbers of the DTLS-SRTP registry (RFC 5764, RFC 7714) */
#define BW_SRTP_AEAD_AES_128_GCM 7
#define BW_MAX_SSRCS 4 /* incoming RTP streams per peer that are tracked at once */

typedef struct {
    uint32_t srtp_profile;
    uint8_t local_key[30]; /* master key, then master salt (14 bytes, or 12 with GCM) */
    uint8_t remote_key[30];
    /* what we send; ssrc 0: nothing */
    uint32_t ssrc;
    uint32_t sequence;         /* of the first packet, 0 .. 0x7FFF */
    uint32_t timestamp_offset; /* RTP time of media time 0 */
    uint8_t payload_type;      /* of Opus towards this peer */
    uint8_t red_payload_type;  /* RFC 2198; 0: not negotiated */
    /* what we receive; receive 0: RTP of this peer is dropped */
    uint32_t receive;
    uint8_t receive_payload_type;     /* of Opus from this peer */
    uint8_t receive_red_payload_type; /* 0: not negotiated */
    uint32_t receive_ssrcs[4];        /* announced in the SDP; 0: none */
    uint32_t jitter_start_ms;         /* jitter buffer's first target */
    uint32_t jitter_min_ms;
    uint32_t jitter_max_ms;
} bw_peer_config;

/* All of these: loop. */
/* Datagrams from this address on this socket belong to this peer (a slot number). Before bw_peer_add, too. */
int bw_peer_map_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address);
int bw_peer_unmap_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address);
/* Keys are there: SRTP flows both ways as far as a path is set. */
int bw_peer_add(bw_engine *engine, uint32_t peer, const bw_peer_config *config);
/* Where the sender sends: socket index and address. */
int bw_peer_set_path(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address);
/* The same, on a bound UDP socket that is not one of the engine's: nothing is read from it here. It must stay open
 * until another path is set or the peer was removed, and two frame times longer. */
int bw_peer_set_descriptor(bw_engine *engine, uint32_t peer, int descriptor, const bw_address *address);
/* Stop sending (consent expired, connection paused); bw_peer_set_path starts again. */
int bw_peer_clear_path(bw_engine *engine, uint32_t peer);
/* Redundant copies of the last `level` frames ride along (RFC 2198): 0, 1 or 2. */
int bw_peer_set_redundancy(bw_engine *engine, uint32_t peer, uint32_t level);
/* Send this packet once more, if it is still in the history (RFC 4585 generic NACK). */
int bw_peer_resend(bw_engine *engine, uint32_t peer, uint32_t sequence);
/* Makes a place for an SSRC that a BW_EVENT_NEW_SSRC named; remote_key as in bw_peer_config. */
int bw_peer_add_ssrc(bw_engine *engine, uint32_t peer, uint32_t ssrc, uint32_t srtp_profile, const uint8_t *remote_key);
/* Keys and streams go; BW_EVENT_PEER_REMOVED says when the slot may be used again. Unmap its addresses first. */
int bw_peer_remove(bw_engine *engine, uint32_t peer);

typedef struct {
    uint64_t packets_sent;
    uint64_t bytes_sent;  /* UDP payload */
    uint64_t octets_sent; /* RTP payload, as an RTCP sender report counts (RFC 3550, 6.4.1) */
    uint64_t send_drops;
    uint64_t packets_resent;
    uint64_t packets_received;
    uint64_t bytes_received;
    uint64_t srtp_errors;
} bw_peer_stats;

/* any. Zeros for a slot that is not in use. */
int bw_peer_get_stats(bw_engine *engine, uint32_t peer, bw_peer_stats *stats);

/* What an RTCP report block says of the stream that was heard last (RFC 3550, 6.4.1). */
typedef struct {
    uint32_t ssrc;             /* 0: nothing was heard yet */
    uint64_t first_sequence;   /* of the first packet */
    uint64_t highest_sequence; /* with the wraps above it */
    uint64_t packets_received; /* with duplicates and late ones */
    uint32_t jitter_ticks;     /* interarrival jitter, 48 kHz */
} bw_peer_reception;

/* any */
int bw_peer_get_reception(bw_engine *engine, uint32_t peer, bw_peer_reception *reception);

/* any: what peers with receive = 1 send. Lives as long as the engine; its functions stand in playout.h. */
bw_playout *bw_engine_playout(bw_engine *engine);

/* ------------------------------------------------------------------ sources */

#define BW_PCM_CAPACITY_MS 500 /* what a PCM source holds */

/* Any thread. A sine per channel; 0 Hz is silence. */
bw_source *bw_source_new_tone(double left_hz, double right_hz, double level_dbfs);
/* Any thread. Interleaved float PCM, any rate and 1 .. 8 channels, from bw_source_write. */
bw_source *bw_source_new_pcm(uint32_t sample_rate_hz, uint32_t channels);
/* Any thread. get_data is BASS_ChannelGetData of the BASS that owns the handle. live: a recording channel, which
 * delivers at its device's clock. */
bw_source *bw_source_new_bass(void *get_data, uint32_t handle, uint32_t sample_rate_hz, uint32_t channels,
                              uint32_t live);
/* One writer thread at a time. Takes what fits; returns the frames taken. */
uint32_t bw_source_write(bw_source *source, const float *samples, uint32_t frames);
/* any: frames that bw_source_write would take now. */
uint32_t bw_source_space(bw_source *source);
/* The writer: what was written still plays, then the source has ended. */
void bw_source_end(bw_source *source);
/* The caller, when no engine uses the source any more. */
void bw_source_free(bw_source *source);

/* ------------------------------------------------------------------ SRTCP, for Python's RTCP */

/* loop, all four. Keys as in bw_peer_config. */
bw_srtcp *bw_srtcp_new(uint32_t srtp_profile, const uint8_t *local_key, const uint8_t *remote_key);
void bw_srtcp_free(bw_srtcp *srtcp);
/* In place; capacity is at least length + 32. Returns the new length or an error. */
int bw_srtcp_protect(bw_srtcp *srtcp, uint8_t *packet, uint32_t length, uint32_t capacity);
int bw_srtcp_unprotect(bw_srtcp *srtcp, uint8_t *packet, uint32_t length);

#endif
