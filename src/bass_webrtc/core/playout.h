/* Reception and playback of peers' audio. As in core.h: only declarations and numeric constants; core.h names the
 * threads. */
#ifndef BW_PLAYOUT_H
#define BW_PLAYOUT_H

#include <stdint.h>

typedef struct {
    uint64_t packets_discarded;  /* unusable: other payload type, malformed, or no room in the queue */
    uint64_t duplicate_packets;  /* packets already played or queued */
    uint64_t late_packets;       /* packets that arrived after their playout time */
    uint64_t fec_packets_used;   /* lost frames decoded from Opus in-band FEC */
    uint64_t red_packets_used;   /* lost frames decoded from a RED copy (RFC 2198) */
    uint64_t decode_errors;      /* packets that libopus rejected */
    uint64_t underruns;          /* times the queue was empty when audio was due */
    uint64_t concealment_events; /* runs of lost or late audio */
    /* Per channel. total = emitted + concealed + inserted - removed + comfort noise - what is queued. */
    uint64_t concealed_samples;                 /* synthesized, or silent, because audio was due and missing */
    uint64_t silent_concealed_samples;          /* those of them that are silence */
    uint64_t inserted_samples_for_deceleration; /* added by stretching: playout was slower */
    uint64_t removed_samples_for_acceleration;  /* decoded and left out: playout was faster */
    int64_t join_delay_samples;                 /* inserted minus removed where sound joins concealment in phase */
    uint64_t total_samples_received;            /* all samples played since the stream began */
    uint64_t jitter_buffer_emitted_count;       /* decoded from packets, including copies of lost ones */
    uint64_t enhanced_samples;                  /* speech that libopus enhanced while decoding it (OSCE) */
    double jitter_buffer_delay_s;               /* sum over emitted samples of the time from arrival to decoding */
    double jitter_buffer_ms;                    /* current delay: how early a packet on the fastest path arrives */
    double jitter_buffer_target_ms;             /* target of the delay */
    double drift_ppm;        /* the remote clock's drift against the playing clock; 0 in the first minute */
    double audio_level_dbfs; /* RMS of both channels before gain; -127 for silence */
    uint32_t is_buffering;   /* 1 while waiting for enough packets to start or resume */
    uint32_t is_enhanced;    /* 1: the last packet was enhanced */
    int64_t played_ns;       /* monotonic time at which RTP time 0 would have been played; 0: not known yet */
} bw_receiver_stats;

/* ------------------------------------------------------------------ playout: peers' audio, mixed or separate */

#define BW_PLAYOUT_MIX 0 /* the peer plays in the mix (default) */
#define BW_PLAYOUT_OWN 1 /* the peer plays on its own stream */

typedef struct bw_playout bw_playout;

typedef struct {
    uint8_t payload_type;     /* of Opus */
    uint8_t red_payload_type; /* RFC 2198; 0: not negotiated */
    uint32_t start_ms;        /* initial target of the jitter buffer, until the network has been measured */
    uint32_t min_ms;
    uint32_t max_ms;  /* limit of the buffered audio, beyond what one call takes */
    uint32_t in_call; /* block of the thread that plays the peer as a caller (core.h), in frames; 0: no caller */
} bw_receiver_config;

typedef struct {
    uint64_t callbacks;       /* of both stream procedures */
    uint64_t callback_max_ns; /* duration of the longest callback */
    uint64_t blocked;         /* blocks of a peer left silent because another thread was playing it */
    uint64_t clipped_samples; /* samples of the mix changed by the soft clipper */
} bw_playout_stats;

/* Any thread. The caller owns the playout; new returns NULL when out of memory. Free it only when no stream plays
 * and no network thread inserts. */
bw_playout *bw_playout_new(uint32_t max_peers);
void bw_playout_free(bw_playout *playout);

/* Loop thread, both. Add a peer before the network thread knows it, and remove it after the network thread has
 * released it (BW_EVENT_PEER_REMOVED). config is copied. remove waits at most for the block that is being played. */
int bw_playout_add(bw_playout *playout, uint32_t peer, const bw_receiver_config *config);
int bw_playout_remove(bw_playout *playout, uint32_t peer);
/* Any thread. Returns zeros and an error for a slot without a peer. */
int bw_playout_get_receiver_stats(bw_playout *playout, uint32_t peer, bw_receiver_stats *stats);

/* Any thread, all three. Settings last until the peer is removed and take effect within 10 ms without a click. */
int bw_playout_set_route(bw_playout *playout, uint32_t peer, uint32_t route); /* BW_PLAYOUT_* */
int bw_playout_set_gain(bw_playout *playout, uint32_t peer, float gain);      /* 0 .. 16; default 1 */
int bw_playout_set_muted(bw_playout *playout, uint32_t peer, uint32_t muted);
void bw_playout_get_stats(bw_playout *playout, bw_playout_stats *stats);

/* When libopus may enhance speech (OSCE, 1.5 and newer, where it has the models). */
#define BW_ENHANCEMENT_OFF 0  /* never (default) */
#define BW_ENHANCEMENT_AUTO 1 /* for as many publishers as can be decoded in a quarter of a block's time */
#define BW_ENHANCEMENT_ON 2   /* always */

/* Loop thread, before the first peer is added. Takes milliseconds, except for BW_ENHANCEMENT_OFF. Returns
 * BW_ERROR_OPUS and never enhances when libopus does not have the models. */
int bw_playout_set_enhancement(bw_playout *playout, uint32_t mode);

/* Network thread. Inserts an authentic RTP packet (copied). While nothing plays, the oldest packets are dropped. */
void bw_playout_insert(bw_playout *playout, uint32_t peer, const uint8_t *data, uint32_t length, int64_t arrival_ns);

/* Playing thread, both. Fill the block with interleaved 48 kHz stereo; never wait, allocate or lock. Only one thread
 * at a time may play the mix, and one each peer; a second one gets silence. now_ns: monotonic time, or 0 to read
 * the clock. read_peer needs the route BW_PLAYOUT_OWN, or a caller, whose own stream has no gain and does not take it
 * out of the mix. */
void bw_playout_read_mix(bw_playout *playout, float *output, uint32_t frames, int64_t now_ns);
void bw_playout_read_peer(bw_playout *playout, uint32_t peer, float *output, uint32_t frames, int64_t now_ns);

/* Any thread. STREAMPROCs for BASS_StreamCreate(48000, 2, BASS_SAMPLE_FLOAT, proc, user). user is the playout for
 * the mix and bw_playout_peer_user for a peer's own stream; both are owned by the playout and last as long as it. */
void *bw_playout_mix_proc(void);
void *bw_playout_peer_proc(void);
void *bw_playout_peer_user(bw_playout *playout, uint32_t peer);

#endif
