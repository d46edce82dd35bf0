/*
 * The interface of the audio path for Python. cffi reads its declarations from this file, so it contains only
 * declarations and numeric constants.
 *
 *   send     source ─► read ─► Opus encode ─► RTP header ─► SRTP protect ─► UDP ─► N peers   a thread per channel
 *                             once per frame  │     once per peer, with many peers on several threads
 *   receive  UDP ─► demultiplex ─► SRTP unprotect ─► packet ring                             network thread
 *            packet ring ─► jitter buffer ─► decode ─► resample ─► mix                       playing thread
 *   control  Python's loop thread ─► command rings ─► these threads ─► event rings ─► Python's loop thread
 *
 * Threads. "Loop thread" is the one Python thread that owns the engine's control plane. The "playing thread" is
 * whichever thread reads the playout: BASS's mixing thread or a caller of bw_playout_read_*. "Any thread" means any
 * number at once. Once started, the sending threads and the network thread take no lock of this project, log nothing and
 * access no file; the sending threads and the playing thread allocate no memory, the network thread only for the first
 * packet of an SSRC. Nothing here takes the Python interpreter's lock. The engine must outlive every call into it.
 *
 * Functions that return int return BW_OK (or the documented value) or a negative BW_ERROR_*. Units are part of the
 * names. Monotonic time is that of Python's time.perf_counter (bw_now_ns in platform.h). Addresses are plain bytes, so no
 * sockaddr layout crosses this interface. A descriptor is a socket's fileno() in Python, on Windows too.
 */
#ifndef BW_CORE_H
#define BW_CORE_H

#include "playout.h"

#include <stdint.h>

#define BW_OK 0
#define BW_ERROR_ARGUMENT -1 /* a value is out of range */
#define BW_ERROR_MEMORY -2   /* out of memory, or the thread could not be created */
#define BW_ERROR_OPUS -3     /* libopus returned an error */
#define BW_ERROR_SRTP -4     /* an unknown SRTP profile, out of memory for its keys, or no SRTCP index is left */
#define BW_ERROR_BUSY -5     /* the peer slot is in use, or a command ring is full */
#define BW_ERROR_SYSTEM -6   /* a system call failed; see errno */

#define BW_NO_PEER 0xFFFFFFFF
#define BW_MAX_DATAGRAM 2048 /* bytes of the longest datagram that is accepted; a longer one is dropped and counted */
#define BW_MAX_SOCKETS 64
#define BW_MAX_UFRAG_BYTES 32   /* of a local ICE user name fragment */
#define BW_ICE_GENERATIONS 2    /* local ufrags of one peer: two during an ICE restart */
#define BW_MAX_FRAME_BYTES 1275 /* of one Opus frame (RFC 6716, 3.2.1) */
#define BW_MAX_CHANNELS 128     /* with one for each caller */
#define BW_MAX_CALLS 64
#define BW_MAX_ENCODINGS 4 /* of a channel */
#define BW_MAX_FAN_OUTS 16 /* of a channel */

/* ------------------------------------------------------------------ engine: threads, peers, queues */

#define BW_APPLICATION_AUDIO 0
#define BW_APPLICATION_VOIP 1
#define BW_APPLICATION_LOWDELAY 2

typedef struct bw_engine bw_engine;
typedef struct bw_source bw_source;
typedef struct bw_srtcp bw_srtcp;

typedef struct {
    uint32_t max_peers;       /* slots 0 .. max_peers-1 */
    uint32_t frame_samples;   /* samples per channel at 48 kHz: 480, 960, 1920 or 2880 */
    uint32_t fan_out_threads; /* 1 .. BW_MAX_FAN_OUTS: how many threads of one channel may send */
} bw_engine_config;

typedef struct {
    uint8_t family;    /* 4 or 6 */
    uint8_t ip[16];    /* network byte order; IPv4 uses the first four bytes */
    uint16_t port;     /* host byte order */
    uint32_t scope_id; /* zone of an IPv6 link-local address, otherwise 0 */
} bw_address;

/* Any thread. Creates a stopped engine without channels; the caller owns it. Returns NULL and sets *status on failure. */
bw_engine *bw_engine_new(const bw_engine_config *config, int *status);
int bw_engine_start(bw_engine *engine);
/* Any thread. Stops and joins all threads. May be called twice. */
void bw_engine_stop(bw_engine *engine);
/* Any thread. Stops the engine first. No stream that reads its playout may be playing. */
void bw_engine_free(bw_engine *engine);

/* Loop thread, both. Adds a bound, non-blocking UDP socket, also while the engine runs; it is borrowed and must stay open
 * until it is removed, or outlive the engine's threads. Returns the socket's index, or BW_ERROR_BUSY if there are
 * BW_MAX_SOCKETS already. */
int bw_engine_add_socket(bw_engine *engine, int descriptor);
/* Stops reading a socket, and sending to peers whose path is on it. It may be closed after BW_EVENT_SOCKET_REMOVED;
 * then its index can be given to another one. Unmap its addresses first. Returns
 * BW_ERROR_BUSY while a channel is being removed, or when too many commands wait. */
int bw_engine_remove_socket(bw_engine *engine, uint32_t socket);

typedef struct {
    uint64_t frames_sent;    /* Opus frames encoded, or omitted by DTX: one per frame time */
    uint64_t frames_skipped; /* frame times lost while the process was stopped for more than half a second */
    uint64_t late_frames;    /* frames whose last packet was sent more than one frame time late */
    uint64_t packets_sent;   /* to all peers */
    uint64_t bytes_sent;     /* UDP payload bytes to all peers */
    uint64_t send_drops;     /* packets that the system did not accept (for example EAGAIN) */
    uint64_t encode_errors;
    uint64_t source_underruns; /* frames padded with silence although the source had not ended */
    uint64_t packets_received; /* authentic RTP packets of a negotiated payload type */
    uint64_t bytes_received;
    uint64_t datagrams_dropped; /* empty, too long, not a known protocol, from an unknown address, or STUN that is not
                                   authentic */
    uint64_t datagrams_limited; /* dropped because their peer had used up its quota (BW_QUOTA_*) */
    uint64_t srtp_errors;       /* RTP and RTCP not authentic, replayed, or of one SSRC more than BW_MAX_SSRCS */
    uint64_t events_dropped;    /* datagrams for Python that were dropped because the event ring was full */
    uint32_t realtime_priority; /* 1 when the thread of channel 0 got real-time priority */
    uint32_t source_ended;      /* of channel 0, like the next two: 1 while its source has ended */
    int32_t source_error;       /* BASS's error code of the last end; 0 before */
    uint64_t source_ends;       /* how often the source has ended */
    uint32_t active_peers;      /* peers with SRTP keys */
} bw_engine_stats;

/* Any thread. */
void bw_engine_get_stats(bw_engine *engine, bw_engine_stats *stats);
/* Any thread. Returns the monotonic time in nanoseconds of media time 0 of all channels, or 0 before the start. A peer's
 * RTP time at time t is timestamp_offset + (t - start_ns) * 48000 / 1e9. */
int64_t bw_engine_start_ns(bw_engine *engine);
/* ------------------------------------------------------------------ channels: a source, its encodings, its listeners */

typedef struct {
    uint32_t encodings;                      /* 1 .. BW_MAX_ENCODINGS */
    uint32_t bitrates_bps[BW_MAX_ENCODINGS]; /* 6000 .. 510000 each */
    uint32_t complexity;                     /* 0 .. 10 */
    uint32_t application;                    /* BW_APPLICATION_* */
    uint32_t in_band_fec;                    /* 0 or 1 */
    uint32_t dtx;                            /* 0 or 1 */
} bw_channel_config;

/* Loop thread, all functions in this section that are not marked otherwise; the first channel may be added before there
 * is a loop. Adds a channel, with a thread that starts with the engine or, when it runs, at once. source may be NULL
 * (silence); it is borrowed and must exist until it was replaced or the channel removed. Returns the channel's number or
 * an error: BW_ERROR_BUSY if there are BW_MAX_CHANNELS. */
int bw_channel_add(bw_engine *engine, const bw_channel_config *config, bw_source *source);
/* Stops a channel without peers (BW_ERROR_BUSY: it has some). Its number can be given to another one, and its source be
 * freed, after BW_EVENT_CHANNEL_REMOVED. */
int bw_channel_remove(bw_engine *engine, uint32_t channel);

/* New encoder settings apply from the next frame. */
int bw_channel_set_bitrate(bw_engine *engine, uint32_t channel, uint32_t encoding, uint32_t bitrate_bps);
int bw_channel_set_expected_loss(bw_engine *engine, uint32_t channel, uint32_t encoding, uint32_t percent);
int bw_channel_set_complexity(bw_engine *engine, uint32_t channel, uint32_t complexity);

#define BW_MAX_FADE_MS 60000

/* Reads another source from the next frame on; borrowed like that of bw_channel_add. The former one fades out meanwhile
 * for fade_ms, at least 5 ms, unless it has ended. NULL: there is only silence, and if the former source had not ended,
 * it has ended now with this error code of BASS. Returns BW_ERROR_BUSY before BW_EVENT_SOURCE_REPLACED of the last call;
 * the former source must exist until that event. */
int bw_channel_set_source(bw_engine *engine, uint32_t channel, bw_source *source, uint32_t fade_ms, int32_t error);

/* As in bw_engine_stats, of one channel. */
typedef struct {
    uint64_t frames_sent;
    uint64_t frames_skipped;
    uint64_t late_frames;
    uint64_t packets_sent;
    uint64_t bytes_sent;
    uint64_t send_drops;
    uint64_t encode_errors;
    uint64_t source_underruns;
    uint32_t source_ended;
    int32_t source_error;
    uint64_t source_ends;
    uint32_t
        listeners[BW_MAX_ENCODINGS]; /* of each encoding; a peer that changes from one to another counts for both */
} bw_channel_stats;

/* Any thread. Returns zeros for a number that was never used. */
int bw_channel_get_stats(bw_engine *engine, uint32_t channel, bw_channel_stats *stats);
/* Any thread. Writes how late the last packet of each frame was sent, in microseconds, for up to capacity frames of the
 * last 10 s, in no particular order. Returns how many were written. */
uint32_t bw_channel_get_lateness(bw_engine *engine, uint32_t channel, uint32_t *lateness_us, uint32_t capacity);

/* ------------------------------------------------------------------ calls: peers that hear each other */

#define BW_CALL_WAITING 0  /* hears channel 0, or one for those who wait, and is not heard */
#define BW_CALL_ON_AIR 1   /* hears channel 0 with the others on air; heard by them and by the listeners of channel 0 */
#define BW_CALL_PRIVATE 2  /* hears the producers, and is heard by them alone */
#define BW_CALL_ENDED 3    /* silence in both directions */
#define BW_CALL_PRODUCER 4 /* heard by callers in private or with talkback; hears those of them who are not on air */

typedef struct {
    uint32_t state;
    float gain;        /* 0 .. 4, of what everybody hears */
    float return_gain; /* 0 .. 4, of what the caller hears */
    uint32_t muted;    /* 1: not on air, whatever the state */
    uint32_t talkback; /* 1: hears the producers */
} bw_call_settings;

/* Loop thread. Makes a peer a caller, before bw_peer_add, and adds the channel of what it hears, whose number it
 * returns; bw_peer_remove removes both. The thread of channel 0 reads a caller's audio, whatever the program plays; the
 * mix includes those on air. BW_ERROR_BUSY if there are BW_MAX_CALLS;
 * BW_ERROR_ARGUMENT before the start, or for a caller. */
int bw_call_add(bw_engine *engine, uint32_t peer, const bw_channel_config *config, const bw_call_settings *settings);
/* Any thread. Changes take 10 ms, without a click. */
int bw_call_set(bw_engine *engine, uint32_t peer, const bw_call_settings *settings);
#define BW_CHANNEL_PLAIN 0    /* for its listeners */
#define BW_CHANNEL_TALKBACK 1 /* callers hear it as they hear a producer */
#define BW_CHANNEL_HOLD 2     /* callers who wait hear it instead of channel 0 */
#define BW_CHANNEL_USES 3

/* Loop thread. Sets what callers hear a channel as, besides its listeners; not of channel 0. BW_ERROR_BUSY while another
 * channel has this use. */
int bw_channel_set_use(bw_engine *engine, uint32_t channel, uint32_t use);

typedef struct {
    uint64_t mix_max_ns;     /* the longest time that the callers took in one frame */
    uint64_t frames_dropped; /* not sent to a caller, because the thread of its channel could not follow */
    float programme_dbfs;    /* RMS of channel 0 with the callers on air; -127 for silence */
} bw_calls_stats;

/* Any thread. */
void bw_calls_get_stats(bw_engine *engine, bw_calls_stats *stats);

/* ------------------------------------------------------------------ events: from the threads to the loop thread */

#define BW_EVENT_DATAGRAM 1        /* authentic STUN from any address, or DTLS from a mapped one */
#define BW_EVENT_PEER_REMOVED 2    /* all threads have released this slot; it can be reused */
#define BW_EVENT_SOURCE_ENDED 3    /* channel, value: BASS's error code; one event for ends before it is taken */
#define BW_EVENT_RTCP 4            /* authentic RTCP of a peer, decrypted */
#define BW_EVENT_LIMITED 5         /* a peer used up a quota (value: BW_QUOTA_*); at most one such event per second */
#define BW_EVENT_SOCKET_REMOVED 6  /* all threads have released this socket (value: index); it can be closed */
#define BW_EVENT_SOURCE_REPLACED 7 /* channel: its thread no longer uses the former source */
#define BW_EVENT_CHANNEL_REMOVED 8 /* channel: its thread has ended */
#define BW_EVENT_PROBE_SENT 9      /* the last copy of bw_peer_probe was sent (value: how many could not be sent) */
#define BW_EVENT_REPLAY 10         /* a check was dropped: it had been answered on a settled address before */

/* What each peer may send to the loop thread is limited, separately for: */
#define BW_QUOTA_STUN 0
#define BW_QUOTA_REPEATED_STUN 1 /* retransmitted by the peer, or recorded and sent again by anyone */
#define BW_QUOTA_DTLS 2
#define BW_QUOTA_RTCP 3
#define BW_QUOTAS 4

typedef struct {
    uint32_t kind; /* BW_EVENT_* */
    uint32_t peer;
    uint32_t channel;
    uint32_t socket;
    uint32_t length; /* bytes in data */
    uint32_t value;  /* depends on kind */
    int64_t time_ns; /* monotonic time of arrival */
    bw_address source;
    uint8_t data[2048];
} bw_event;

/* Any thread. Returns a descriptor that is readable while events are waiting. The engine owns it. */
int bw_engine_event_fd(bw_engine *engine);
/* Loop thread. Takes up to capacity events, datagrams last. Returns how many. When it returns fewer than capacity, the
 * descriptor is no longer readable until the next event. */
uint32_t bw_engine_next_events(bw_engine *engine, bw_event *events, uint32_t capacity);

/* ------------------------------------------------------------------ peers */

#define BW_SRTP_AES128_CM_SHA1_80 1 /* numbers from the DTLS-SRTP registry (RFC 5764, RFC 7714) */
#define BW_SRTP_AEAD_AES_128_GCM 7
#define BW_MAX_SSRCS 64 /* of a peer, while it is connected; RTP and RTCP each */

typedef struct {
    uint32_t srtp_profile;
    uint8_t local_key[30]; /* master key, then master salt (14 bytes; 12 with GCM) */
    uint8_t remote_key[30];
    /* sending; ssrc 0: nothing is sent */
    uint32_t ssrc;
    uint32_t sequence;         /* of the first packet, 0 .. 0x7FFF */
    uint32_t timestamp_offset; /* RTP time of media time 0 */
    uint8_t payload_type;      /* of Opus sent to this peer */
    uint8_t red_payload_type;  /* RFC 2198; 0: not negotiated */
    uint32_t channel;
    uint32_t encoding; /* of the channel */
    /* receiving; receive 0: RTP from this peer is dropped */
    uint32_t receive;
    uint8_t receive_payload_type;     /* of Opus received from this peer */
    uint8_t receive_red_payload_type; /* 0: not negotiated */
    uint32_t jitter_start_ms;         /* initial target of the jitter buffer */
    uint32_t jitter_min_ms;
    uint32_t jitter_max_ms;
} bw_peer_config;

/* Loop thread, all functions in this section that are not marked otherwise. `peer` is a slot number. */
/* Assigns datagrams from this address on this socket to this peer. May be called before bw_peer_add. */
int bw_peer_map_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address);
int bw_peer_unmap_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address);
/* From now on the network thread itself answers checks of this peer from this address, which is mapped to it: each with
 * success, whether it nominates or not. Those that need an error response (RFC 8489, 6.3.1; RFC 8445, 7.3.1.1) still
 * become events, as do all others. Ends with any further call of these four functions for the address. One address of a
 * peer is settled at a time. */
int bw_peer_settle_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address);
int bw_peer_unsettle_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address);
/* Returns the monotonic time in nanoseconds at which the last check arrived that the network thread has answered on the
 * address that was settled last; repeated ones do not count. 0: none yet. */
int64_t bw_peer_checked_ns(bw_engine *engine, uint32_t peer);
/* Accepts STUN that is signed with these passwords (RFC 8445, 7.2.2 and 7.3): binding requests to this local ufrag from
 * any address, and binding responses from an address that is mapped to this peer or recently sent such a request.
 * Copied; removed with the peer. A third ufrag replaces the oldest. */
int bw_peer_add_ice(bw_engine *engine, uint32_t peer, const char *ufrag, const char *local_password,
                    const char *remote_password);
int bw_peer_remove_ice(bw_engine *engine, uint32_t peer, const char *ufrag);
/* Sets the peer's SRTP keys (copied from config). RTCP, and media if config says so, is received from then on, from
 * any SSRC whose packets are authentic; media is sent once a path is set. */
int bw_peer_add(bw_engine *engine, uint32_t peer, const bw_peer_config *config);
/* Sets where the peer's packets are sent to: socket index and address. */
int bw_peer_set_path(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address);
/* The same with a bound UDP socket that does not belong to the engine and is not read by it. It is borrowed: it must
 * stay open until another path is set or the peer has been removed, plus two frame times. */
int bw_peer_set_descriptor(bw_engine *engine, uint32_t peer, int descriptor, const bw_address *address);
/* Stops sending (consent expired, connection paused). bw_peer_set_path resumes. */
int bw_peer_clear_path(bw_engine *engine, uint32_t peer);
/* Sends another encoding of its channel, in the same RTP stream, from a frame on at which nothing is heard of the change:
 * within 24 frames. */
int bw_peer_set_encoding(bw_engine *engine, uint32_t peer, uint32_t encoding);
/* Sends another channel, in the same RTP stream. Packets of the former one cannot be sent again any more. */
int bw_peer_set_channel(bw_engine *engine, uint32_t peer, uint32_t channel, uint32_t encoding);
/* Adds redundant copies of the last `level` frames (0, 1 or 2) to each packet (RFC 2198). */
int bw_peer_set_redundancy(bw_engine *engine, uint32_t peer, uint32_t level);
/* Sends this packet again if it is still in the history (generic NACK, RFC 4585, 6.2.1). Returns BW_ERROR_BUSY while
 * half of the fan-out's command ring is in use: requests of peers must not displace other commands. */
int bw_peer_resend(bw_engine *engine, uint32_t peer, uint32_t sequence);
/* Sends copies of the peer's last packets, which its replay protection drops (RFC 3711, 3.3.2): a load that cannot displace
 * audio, because each copy directly follows an audio packet. The next `frames` packets share them, the later ones more.
 * BW_EVENT_PROBE_SENT follows the last one; copies may be 0. Returns BW_ERROR_BUSY before that event of the last call. */
int bw_peer_probe(bw_engine *engine, uint32_t peer, uint32_t copies, uint32_t frames);
/* Removes keys and streams. The slot can be reused after BW_EVENT_PEER_REMOVED. Unmap the peer's addresses first. */
int bw_peer_remove(bw_engine *engine, uint32_t peer);

typedef struct {
    uint64_t packets_sent;
    uint64_t bytes_sent;  /* UDP payload bytes */
    uint64_t octets_sent; /* RTP payload bytes, as counted in an RTCP sender report (RFC 3550, 6.4.1) */
    uint64_t send_drops;
    uint64_t packets_resent;
    uint64_t packets_received;
    uint64_t bytes_received;
    uint64_t srtp_errors;
    uint64_t datagrams_limited;
    uint64_t packets_not_negotiated; /* authentic RTP of another payload type; not in packets_received */
    uint64_t sequence_restarts;      /* of the peer's RTP, under the same SSRC and keys: refused as replays */
    uint32_t encoding;               /* that is sent */
} bw_peer_stats;

/* Any thread. Returns zeros for an unused slot. */
int bw_peer_get_stats(bw_engine *engine, uint32_t peer, bw_peer_stats *stats);

/* Reception of the most recently received stream, for an RTCP report block (RFC 3550, 6.4.1). */
typedef struct {
    uint32_t ssrc;             /* meaningless before the first packet, like the rest; 0 is a valid SSRC */
    uint64_t first_sequence;   /* of the first packet */
    uint64_t highest_sequence; /* extended by the number of wraps */
    uint64_t packets_received; /* including duplicates and late packets; 0: nothing received yet */
    uint32_t jitter_ticks;     /* interarrival jitter in 48 kHz ticks */
} bw_peer_reception;

/* Any thread. */
int bw_peer_get_reception(bw_engine *engine, uint32_t peer, bw_peer_reception *reception);

/* Which receiver reports are kept. */
typedef struct {
    uint32_t ssrc;         /* of the stream that they are about */
    uint32_t seen;         /* number of RTCP events of this peer so far; without effect if there are more */
    int64_t unix_epoch_ns; /* as in bw_report_config */
    int64_t late_ns;       /* shortest round trip that the loop thread must see */
} bw_kept_config;

/* Loop thread. From now on the network thread keeps the peer's receiver reports that show no loss, no late round trip
 * and more packets than the one before, until anything else arrives: that and all RTCP after it are events again. */
int bw_peer_keep_reports(bw_engine *engine, uint32_t peer, const bw_kept_config *config);

/* The reports that were kept, and the last one's content (RFC 3550, 6.4.1). */
typedef struct {
    uint32_t count;    /* 0: none; the rest is meaningless then */
    uint32_t reporter; /* SSRC of the receiver */
    int32_t packets_lost;
    uint32_t highest_sequence;
    uint32_t jitter; /* in RTP ticks */
    uint32_t last_sr;
    uint32_t delay_since_last_sr;
    int64_t time_ns; /* monotonic time of arrival */
} bw_kept_reports;

/* Any thread. Returns BW_ERROR_BUSY when the network thread was interrupted while it wrote them; try again later. */
int bw_peer_get_kept_reports(bw_engine *engine, uint32_t peer, bw_kept_reports *kept);

/* Any thread. Returns the playout of peers with receive = 1. The engine owns it; see playout.h. */
bw_playout *bw_engine_playout(bw_engine *engine);

/* ------------------------------------------------------------------ sources */

#define BW_PCM_CAPACITY_MS 500 /* buffer length of a PCM source */

/* Any thread, all constructors. The caller owns the source. One sine per channel; 0 Hz is silence. */
bw_source *bw_source_new_tone(double left_hz, double right_hz, double level_dbfs);
/* Interleaved float PCM passed to bw_source_write, 8 to 192 kHz, 1 .. 8 channels. */
bw_source *bw_source_new_pcm(uint32_t sample_rate_hz, uint32_t channels);
/* A BASS channel. get_data, get_error: BASS_ChannelGetData and BASS_ErrorGetCode of the BASS library that owns the
 * handle. live: the handle is a recording channel, which delivers at its device's clock. The handle is borrowed. */
bw_source *bw_source_new_bass(void *get_data, void *get_error, uint32_t handle, uint32_t sample_rate_hz,
                              uint32_t channels, uint32_t live);
/* One writer thread at a time. Copies as many frames as fit; returns how many. */
uint32_t bw_source_write(bw_source *source, const float *samples, uint32_t frames);
/* Any thread. Returns the frames that bw_source_write would accept now. */
uint32_t bw_source_space(bw_source *source);
#define BW_SOURCE_ENDED 45 /* BASS_ERROR_ENDED: the error code of an end without an error */

/* Writer thread. The source ends after the frames already written have been played. Frames written later are played,
 * too. */
void bw_source_end(bw_source *source);
/* Any thread, once no engine uses the source. */
void bw_source_free(bw_source *source);

/* ------------------------------------------------------------------ SRTCP of the RTCP that Python sends */

/* Loop thread, all three. Key: as in bw_peer_config; copied. The caller owns the object; new returns NULL on
 * failure. */
bw_srtcp *bw_srtcp_new(uint32_t srtp_profile, const uint8_t *local_key);
void bw_srtcp_free(bw_srtcp *srtcp);
/* Works in place and returns the new length in bytes. Needs a capacity of at least length + 32. */
int bw_srtcp_protect(bw_srtcp *srtcp, uint8_t *packet, uint32_t length, uint32_t capacity);

/* ------------------------------------------------------------------ RTCP reports that the network thread sends */

#define BW_MAX_DESCRIPTION_BYTES 64

typedef struct {
    uint32_t srtp_profile;
    uint8_t local_key[30];     /* as in bw_peer_config */
    uint32_t ssrc;             /* of the stream to this peer */
    uint32_t timestamp_offset; /* as in bw_peer_config */
    int64_t unix_epoch_ns;     /* Unix time minus monotonic time */
    uint64_t seed;             /* random: spreads the reports of the peers */
    uint32_t description_bytes;
    uint8_t description[BW_MAX_DESCRIPTION_BYTES]; /* the SDES packet that follows each report */
} bw_report_config;

/* Loop thread, both. From now on the network thread sends sender reports to this peer, which has been added: at random
 * intervals of about 5 s (RFC 3550, 6.3), to the address of bw_peer_set_path, while there is one. */
int bw_peer_start_reports(bw_engine *engine, uint32_t peer, const bw_report_config *config);
/* As bw_srtcp_protect, for other RTCP to this peer: both share the SRTCP indexes. */
int bw_peer_protect_rtcp(bw_engine *engine, uint32_t peer, uint8_t *packet, uint32_t length, uint32_t capacity);

/* ------------------------------------------------------------------ recording: copies of the packets of a peer or channel */

#define BW_TAP_MAX_BYTES 1500 /* of a packet; longer ones are dropped and counted */

typedef struct bw_tap bw_tap;

/* An Opus packet from a peer, after RED and SRTP, or to the listeners of a channel. */
typedef struct {
    int64_t time_ns; /* monotonic: a peer's packet arrived; a channel's frame is due by the engine's start */
    int64_t
        timestamp;    /* of the first sample: RTP time of the peer, unwrapped; of a channel: since the engine's start */
    int64_t sequence; /* of a peer: unwrapped; of a channel: number of the frame */
    uint32_t stream;  /* changes with the peer's SSRC or timeline; numbers of different streams do not compare */
    uint32_t samples; /* duration, per channel at 48 kHz */
    uint32_t is_copy; /* 1: a RED copy of a packet that had not arrived by then (RFC 2198) */
    uint32_t bytes;
    uint8_t payload[BW_TAP_MAX_BYTES];
} bw_tap_packet;

/* Any thread. packets: capacity, 1 .. 65536. The caller owns the tap; NULL: out of memory. */
bw_tap *bw_tap_new(uint32_t packets);
/* Loop thread, both. Until the tap is closed or its peer or channel removed, it gets the packets of a peer that has been
 * added, or the frames of a channel's first encoding, which is encoded for that even without listeners. A peer or channel
 * can have several taps. A tap can be added once. It is borrowed until it is released. */
int bw_peer_add_tap(bw_engine *engine, uint32_t peer, bw_tap *tap);
int bw_channel_add_tap(bw_engine *engine, uint32_t channel, bw_tap *tap);
/* One reader thread. Takes up to capacity packets. Returns how many. */
uint32_t bw_tap_read(bw_tap *tap, bw_tap_packet *packets, uint32_t capacity);
/* Any thread, all that follow. Returns how many packets were dropped: the tap was full, or they were too long. */
uint64_t bw_tap_dropped(bw_tap *tap);
/* Ends the tap with the next packet of its peer or channel. */
void bw_tap_close(bw_tap *tap);
/* Returns 1 once the engine no longer uses the tap: it was closed, or its peer or channel removed. */
int bw_tap_is_released(bw_tap *tap);
/* The tap was never added, was released, or its engine was freed. */
void bw_tap_free(bw_tap *tap);

/* ------------------------------------------------------------------ threads */

/* Any thread: names the calling thread for top and debuggers. Longer names than 15 characters are cut off. */
void bw_name_thread(const char *name);

/* Lets forked children of this process exit without the destructors of libraries: in that of BASS, they would wait for
 * ever for threads that only their parent has. Linux only. Any thread. */
void bw_exit_simply_in_children(void);

/* ------------------------------------------------------------------ libraries */

typedef struct {
    const char *opus; /* name and version, as the library tells it */
    const char *openssl;
    uint32_t deep_plc; /* 1: libopus conceals loss with a neural network at decoder complexity 5 and above */
    uint32_t osce;     /* 1: libopus enhances speech with a neural network at decoder complexity 6 and above */
} bw_libraries;

/* Any thread but the audio path's: it allocates and takes milliseconds. The strings are constant. */
void bw_get_libraries(bw_libraries *libraries);

#endif
