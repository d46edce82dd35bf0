/* One Opus encoding of a channel: an encoder, and its latest frames for every packet made of them. */
#ifndef BW_ENCODING_H
#define BW_ENCODING_H

#include "internal.h"

/*
 * A joint is a frame at which a listener may change from one encoding of a channel to another without a click. A decoder
 * carries on from frame to frame: the energy of each band, which the next frame predicts; the filter that makes pitch
 * stand out; the overlap of two frames, which cancels only if both were filtered alike. So all encodings make two frames
 * in a row without prediction, and the second one is the joint. Speech modes of Opus carry more than that; a channel with
 * several encodings does without them.
 */
typedef enum {
    BW_PLAIN_FRAME,
    BW_BEFORE_JOINT,
    BW_JOINT,
} bw_frame_kind;

typedef struct {
    OpusEncoder *encoder;
    uint32_t bitrate_bps;
    uint32_t expected_loss_percent;
    bool may_use_fec;   /* of the channel's configuration */
    bool is_voip;       /* its application */
    bool has_dtx;       /* DTX is enabled */
    bool talking;       /* the last frame time had a packet */
    uint32_t run;       /* frames encoded since nobody listened */
    bw_frame_kind kind; /* of the last frame */
    bw_frame_history history;
} bw_encoding;

/* Loop thread, both. index: of the encoding in the configuration. Returns NULL when out of memory or if libopus refuses
 * the configuration. */
bw_encoding *bw_encoding_new(const bw_channel_config *config, uint32_t index, uint32_t frame_samples);
void bw_encoding_free(bw_encoding *encoding);

/* Channel's thread, all that follow. */
void bw_encoding_set_bitrate(bw_encoding *encoding, uint32_t bitrate_bps);
void bw_encoding_set_expected_loss(bw_encoding *encoding, uint32_t percent);
void bw_encoding_set_complexity(bw_encoding *encoding, uint32_t complexity);
/* Whether the encoder has settled, so that a joint makes sense. */
bool bw_encoding_is_warm(const bw_encoding *encoding);
/* Encodes one frame of interleaved stereo into the history. Returns false if libopus failed; then nothing is sent in this
 * frame time. */
bool bw_encoding_encode(bw_encoding *encoding, const float *pcm, uint32_t number, bw_frame_kind kind);
/* Nobody listens: the next frame begins a new stream of the encoder. */
void bw_encoding_pause(bw_encoding *encoding);

#endif
