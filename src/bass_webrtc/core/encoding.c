#include "encoding.h"

#define SPEECH_BITRATE_BPS 48000 /* below this, Opus may choose its speech modes, which have in-band FEC */
#define DTX_FRAME_BYTES 2        /* opus_encode returns at most this for a frame that need not be sent */

/* Of an encoder that began anew: by then it chooses what one that has run for long does. */
#define WARM_UP_FRAMES 8

/*
 * In-band FEC exists only in Opus's speech modes, and libopus switches to them when FEC is enabled and loss is
 * reported: music at 128 kbit/s would drop to telephone quality. So FEC is enabled only where speech modes are
 * acceptable.
 */
static void configure_loss(bw_encoding *encoding) {
    bool speech = encoding->is_voip || encoding->bitrate_bps < SPEECH_BITRATE_BPS;
    opus_encoder_ctl(encoding->encoder, OPUS_SET_INBAND_FEC(encoding->may_use_fec && speech));
    opus_encoder_ctl(encoding->encoder, OPUS_SET_PACKET_LOSS_PERC((opus_int32)encoding->expected_loss_percent));
}

void bw_encoding_set_bitrate(bw_encoding *encoding, uint32_t bitrate_bps) {
    opus_encoder_ctl(encoding->encoder, OPUS_SET_BITRATE((opus_int32)bitrate_bps));
    encoding->bitrate_bps = bitrate_bps;
    configure_loss(encoding);
}

void bw_encoding_set_expected_loss(bw_encoding *encoding, uint32_t percent) {
    encoding->expected_loss_percent = percent;
    configure_loss(encoding);
}

void bw_encoding_set_complexity(bw_encoding *encoding, uint32_t complexity) {
    opus_encoder_ctl(encoding->encoder, OPUS_SET_COMPLEXITY((opus_int32)complexity));
}

bool bw_encoding_is_warm(const bw_encoding *encoding) { return encoding->run >= WARM_UP_FRAMES; }

bool bw_encoding_encode(bw_encoding *encoding, const float *pcm, uint32_t number, bw_frame_kind kind) {
    bw_frame *frame = &encoding->history.frames[number % BW_FRAME_HISTORY];
    if ((kind == BW_PLAIN_FRAME) != (encoding->kind == BW_PLAIN_FRAME))
        opus_encoder_ctl(encoding->encoder, OPUS_SET_PREDICTION_DISABLED(kind != BW_PLAIN_FRAME));
    int bytes = opus_encode_float(encoding->encoder, pcm, (int)encoding->history.frame_samples, frame->payload,
                                  sizeof frame->payload);
    bool sends = bytes > (encoding->has_dtx ? DTX_FRAME_BYTES : 0);
    encoding->run++;
    frame->number = number;
    frame->length = sends ? (uint16_t)bytes : 0;
    frame->marker = sends && !encoding->talking;
    frame->is_joint = kind == BW_JOINT && encoding->kind == BW_BEFORE_JOINT && bw_encoding_is_warm(encoding);
    encoding->kind = kind;
    encoding->talking = sends;
    return bytes >= 0;
}

void bw_encoding_pause(bw_encoding *encoding) {
    if (encoding->run > 0)
        opus_encoder_ctl(encoding->encoder, OPUS_RESET_STATE);
    encoding->run = 0;
    encoding->talking = false;
}

bw_encoding *bw_encoding_new(const bw_channel_config *config, uint32_t index, uint32_t frame_samples) {
    static const int applications[] = {OPUS_APPLICATION_AUDIO, OPUS_APPLICATION_VOIP,
                                       OPUS_APPLICATION_RESTRICTED_LOWDELAY};
    bw_encoding *encoding = calloc(1, sizeof *encoding);
    if (encoding == NULL)
        return NULL;
    int status = OPUS_OK;
    encoding->encoder = opus_encoder_create(BW_SAMPLE_RATE_HZ, BW_CHANNELS, applications[config->application], &status);
    if (status != OPUS_OK) {
        free(encoding);
        return NULL;
    }
    encoding->history.frame_samples = frame_samples;
    encoding->may_use_fec = config->in_band_fec && config->encodings == 1;
    encoding->is_voip = config->application == BW_APPLICATION_VOIP;
    encoding->has_dtx = config->dtx;
    if (config->encodings > 1)
        opus_encoder_ctl(encoding->encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_MUSIC)); /* no speech modes */
    opus_encoder_ctl(encoding->encoder, OPUS_SET_DTX(config->dtx ? 1 : 0));
    bw_encoding_set_complexity(encoding, config->complexity);
    bw_encoding_set_bitrate(encoding, config->bitrates_bps[index]);
    return encoding;
}

void bw_encoding_free(bw_encoding *encoding) {
    if (encoding == NULL)
        return;
    opus_encoder_destroy(encoding->encoder);
    free(encoding);
}
