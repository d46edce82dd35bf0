/*
 * What is received and how it is played. Written as core.h is: declarations and number constants only.
 */
#ifndef BW_PLAYOUT_H
#define BW_PLAYOUT_H

#include <stdint.h>

typedef struct {
    uint64_t packets_discarded;                 /* of no use: another payload type, malformed, or more than fits */
    uint64_t duplicate_packets;                 /* of which one copy was played or waits already */
    uint64_t late_packets;                      /* came when their time had passed */
    uint64_t fec_packets_used;                  /* lost frames that were decoded from Opus's in-band copy */
    uint64_t red_packets_used;                  /* lost frames that were decoded from a redundant copy (RFC 2198) */
    uint64_t decode_errors;                     /* packets that libopus refused */
    uint64_t underruns;                         /* how often nothing was there to be played */
    uint64_t concealment_events;                /* lost or late passages */
    uint64_t concealed_samples;                 /* per channel: all that was made up for them; silence included */
    uint64_t inserted_samples_for_deceleration; /* per channel: time stretched, because more delay is wanted */
    uint64_t removed_samples_for_acceleration;  /* per channel: time cut: less delay is wanted, or a loss shorter */
    uint64_t total_samples_received;            /* per channel: all that was played */
    uint64_t jitter_buffer_emitted_count;       /* per channel: samples that came out of packets */
    double jitter_buffer_delay_s;               /* the sum over those of the time from arrival to decoding */
    double jitter_buffer_ms;                    /* delay now: what a packet on the fastest path has to spare */
    double jitter_buffer_target_ms;             /* the same, wanted */
    double drift_ppm;                           /* the remote clock against the one that plays, as it is corrected */
    double audio_level_dbfs;                    /* RMS of both channels before gain; -127 for silence */
    uint32_t is_buffering;                      /* 1 while it waits for packets to begin, or to begin again */
} bw_receiver_stats;

/* ------------------------------------------------------------------ playout: what peers send, mixed or one by one */

#define BW_PLAYOUT_MIX 0 /* a peer plays in the mix: the default */
#define BW_PLAYOUT_OWN 1 /* a peer plays on a stream of its own */

typedef struct bw_playout bw_playout;

typedef struct {
    uint8_t payload_type;     /* of Opus */
    uint8_t red_payload_type; /* RFC 2198; 0: not negotiated */
    uint32_t start_ms;        /* the jitter buffer's first target, until the network is known */
    uint32_t min_ms;
    uint32_t max_ms; /* more than this is never kept, beyond what one call takes */
} bw_receiver_config;

typedef struct {
    uint64_t callbacks;       /* of both stream procedures */
    uint64_t callback_max_ns; /* the longest of them */
    uint64_t blocked;         /* blocks of a peer that were left silent, because another thread was just playing it */
    uint64_t clipped_samples; /* of the mix: those that the soft clip bent */
} bw_playout_stats;

/* Any thread. NULL: no memory. Free it when no stream plays and no network thread inserts any more. */
bw_playout *bw_playout_new(uint32_t max_peers);
void bw_playout_free(bw_playout *playout);

/* loop, all of these. A peer is added before the network thread gets to know it, and removed after it let go
 * (BW_EVENT_PEER_REMOVED). remove waits for the block that is just being played, no longer. */
int bw_playout_add(bw_playout *playout, uint32_t peer, const bw_receiver_config *config);
int bw_playout_remove(bw_playout *playout, uint32_t peer);
/* any. Zeros for a peer that is not there. */
int bw_playout_get_receiver_stats(bw_playout *playout, uint32_t peer, bw_receiver_stats *stats);

/* any. They hold until the peer is removed, take effect within 10 ms and make no click. */
int bw_playout_set_route(bw_playout *playout, uint32_t peer, uint32_t route); /* BW_PLAYOUT_* */
int bw_playout_set_gain(bw_playout *playout, uint32_t peer, float gain);      /* 0 .. 16; 1 at first */
int bw_playout_set_muted(bw_playout *playout, uint32_t peer, uint32_t muted);
void bw_playout_get_stats(bw_playout *playout, bw_playout_stats *stats);

/* Network thread: an authentic RTP packet. When nobody plays, the oldest go first. */
void bw_playout_insert(bw_playout *playout, uint32_t peer, const uint8_t *data, uint32_t length, int64_t arrival_ns);

/* The thread that plays: fills the block, 48 kHz stereo interleaved; never waits, allocates or locks. One thread at a
 * time plays the mix, and one each peer; a second one gets silence. now_ns: CLOCK_MONOTONIC, 0 to have it read.
 * read_peer: route BW_PLAYOUT_OWN only. */
void bw_playout_read_mix(bw_playout *playout, float *output, uint32_t frames, int64_t now_ns);
void bw_playout_read_peer(bw_playout *playout, uint32_t peer, float *output, uint32_t frames, int64_t now_ns);

/* STREAMPROCs for BASS_StreamCreate(48000, 2, BASS_SAMPLE_FLOAT, proc, user). user: the playout for the mix, and
 * bw_playout_peer_user for a peer's own stream; both last as long as the playout. */
void *bw_playout_mix_proc(void);
void *bw_playout_peer_proc(void);
void *bw_playout_peer_user(bw_playout *playout, uint32_t peer);

#endif
