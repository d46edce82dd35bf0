/*
 * Writes the fuzzers' initial corpus, packets like those of known senders: write_seeds RTP_FOLDER JITTER_FOLDER
 * PLAYOUT_FOLDER STUN_FOLDER SRTP_FOLDER RTCP_FOLDER.
 */
#include "jitter_script.h"
#include "playout_script.h"
#include "srtp_script.h"
#include "stun_message.h"
#include "virtual_network.h"

#define STREAM_FRAMES 20

typedef struct {
    uint8_t bytes[200000];
    uint32_t length;
} seed;

static void save(const char *folder, const char *name, const void *bytes, size_t length) {
    char path[1000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK_EQ(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static void add(seed *seed, const void *bytes, uint32_t length) {
    memcpy(seed->bytes + seed->length, bytes, length);
    seed->length += length;
}

static void add_packet(seed *seed, uint8_t flags, uint8_t step, const uint8_t *payload, uint32_t length) {
    const uint8_t head[] = {SCRIPT_PACKET, flags, step, (uint8_t)(length >> 8), (uint8_t)length};
    add(seed, head, sizeof head);
    add(seed, payload, length);
}

static void add_pull(seed *seed, uint32_t frames) {
    add(seed, (const uint8_t[]){SCRIPT_PULL, (uint8_t)(frames / 30)}, 2);
}

/* Packets of one encoder, modified by the flags and the loss. */
static void write_stream(const char *folder, const char *name, int application, int bitrate, uint32_t samples,
                         int loss_every, uint8_t flags) {
    static seed seed;
    uint8_t payload[1500];
    float pcm[2 * 2880];
    int error;
    seed.length = 0;
    OpusEncoder *encoder = opus_encoder_create(48000, 2, application, &error);
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(bitrate));
    opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(1));
    opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(20));
    opus_encoder_ctl(encoder, OPUS_SET_DTX(1));
    for (uint32_t i = 0; i < STREAM_FRAMES; i++) {
        tone_write_voice(pcm, samples, 2, (uint64_t)i * samples);
        uint32_t length = (uint32_t)opus_encode_float(encoder, pcm, (int)samples, payload + 1, 1400);
        payload[0] = PAYLOAD_TYPE; /* also serves as the RED header of the primary block */
        uint8_t step = loss_every && i % (uint32_t)loss_every == 0 ? 2 : 1;
        uint8_t all_flags = (uint8_t)(flags | (samples / 240) * step << SCRIPT_FRAMES_SHIFT);
        bool is_red = flags & SCRIPT_RED;
        add_packet(&seed, all_flags, step, payload + !is_red, length + is_red);
        add_pull(&seed, samples);
    }
    opus_encoder_destroy(encoder);
    save(folder, name, seed.bytes, seed.length);
}

static void write_network(const char *folder, const char *name, uint32_t red_level) {
    static simulation sim;
    static seed seed;
    memset(&sim, 0, sizeof sim);
    seed.length = 0;
    sim.scenario = with_defaults((scenario){.red_level = red_level});
    encode_loop(&sim);
    for (uint32_t i = 0; i < 12; i++) {
        uint8_t packet[1500];
        uint32_t length = write_packet(&sim, i, packet);
        add(&seed, (const uint8_t[]){SCRIPT_RAW, (uint8_t)(length >> 8), (uint8_t)length}, 3);
        add(&seed, packet, length);
        add_pull(&seed, 960);
    }
    save(folder, name, seed.bytes, seed.length);
}

static void write_rtp(const char *folder) {
    static simulation sim;
    uint8_t packet[1500];
    sim.scenario = with_defaults((scenario){.red_level = 0});
    encode_loop(&sim);
    save(folder, "plain", packet, write_packet(&sim, 5, packet));
    sim.scenario.red_level = 2;
    save(folder, "red", packet, write_packet(&sim, 5, packet));
    const uint8_t one_byte[] = {0xB1, 0x6F, 0, 1, 0,    0,    0, 1, 0,    0,    0,    2,    0, 0, 0, 3,
                                0xBE, 0xDE, 0, 2, 0x10, 0x77, 0, 0, 0x31, 0x61, 0x62, 0x00, 8, 0, 2};
    const uint8_t two_byte[] = {0x90, 0x6F, 0, 1, 0,    0,    0, 1, 0,    0, 0, 2, 0x10, 0x00, 0, 2,
                                7,    0,    9, 2, 0x61, 0x62, 0, 0, 0xFF, 6, 1, 2, 3,    4,    5, 6};
    save(folder, "one_byte_extension", one_byte, sizeof one_byte);
    save(folder, "two_byte_extension", two_byte, sizeof two_byte);
}

/* Two peers; the second is added, gets a gain and its own stream, and is removed while it sends. */
static void write_playout(const char *folder, const char *name, int application, int bitrate) {
    static seed seed;
    uint8_t payload[1500];
    float pcm[2 * 960];
    int error;
    seed.length = 0;
    OpusEncoder *encoder = opus_encoder_create(48000, 2, application, &error);
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(bitrate));
    add(&seed, (const uint8_t[]){PLAYOUT_ADD, 1, 10, 100}, 4);
    for (uint32_t i = 0; i < STREAM_FRAMES; i++) {
        tone_write_voice(pcm, 960, 2, (uint64_t)i * 960);
        uint32_t length = (uint32_t)opus_encode_float(encoder, pcm, 960, payload, 1400);
        for (uint8_t peer = 0; peer < 2; peer++) {
            const uint8_t flags = 960 / 240 << SCRIPT_FRAMES_SHIFT;
            const uint8_t head[] = {PLAYOUT_PACKET, peer, flags, 1, (uint8_t)(length >> 8), (uint8_t)length};
            add(&seed, head, sizeof head);
            add(&seed, payload, length);
        }
        const uint8_t changes[][3] = {{PLAYOUT_GAIN, 1, 32}, {PLAYOUT_MUTE, 0, 1}, {PLAYOUT_ROUTE, 1, 1},
                                      {PLAYOUT_GAIN, 0, 4},  {PLAYOUT_MUTE, 0, 0}, {PLAYOUT_ROUTE, 1, 0},
                                      {PLAYOUT_WAIT, 0, 3},  {PLAYOUT_GAIN, 0, 96}};
        if (i % 2 == 1 && i / 2 < sizeof changes / sizeof changes[0])
            add(&seed, changes[i / 2], sizeof changes[0]);
        add(&seed, (const uint8_t[]){PLAYOUT_READ_MIX, 0, 960 / 30, PLAYOUT_READ_PEER, 1, 960 / 30}, 6);
    }
    add(&seed, (const uint8_t[]){PLAYOUT_REMOVE, 1, PLAYOUT_READ_MIX, 0, 960 / 30}, 5);
    opus_encoder_destroy(encoder);
    save(folder, name, seed.bytes, seed.length);
}

/* The first byte selects how fuzz_stun.c signs the message. */
static void write_stun(const char *folder, const char *name, uint8_t signature, uint32_t kind, const char *username) {
    static seed seed;
    stun_message message = begin_stun(kind, 1);
    if (username != NULL)
        add_attribute(&message, USERNAME, username, (uint32_t)strlen(username));
    add_attribute(&message, PRIORITY, "\x6e\0\1\xff", 4);
    seed.length = 0;
    add(&seed, &signature, 1);
    add(&seed, message.bytes, message.length);
    save(folder, name, seed.bytes, seed.length);
}

/* A stream and its reports, with a late packet, a repeated one, a changed one and one that is cut off. */
static void write_srtp(const char *folder, const char *name, uint8_t profile) {
    static const uint8_t flags_and_steps[][2] = {{0, 1},
                                                 {0, 2},
                                                 {0, (uint8_t)-1},
                                                 {0, 2},
                                                 {0, 0},
                                                 {0, 1},
                                                 {SRTP_LONG_STEP, 1},
                                                 {0, 1},
                                                 {SRTP_DAMAGED, 0},
                                                 {SRTP_CUT, 1},
                                                 {16, 1},
                                                 {0, 1}};
    static const uint8_t rtp[] = {0xB1, SCRIPT_PAYLOAD_TYPE,
                                  0,    0,
                                  0,    0,
                                  0,    1,
                                  0,    0,
                                  0,    0,
                                  0,    0,
                                  0,    7,
                                  0xBE, 0xDE,
                                  0,    1,
                                  0x10, 9,
                                  0,    0,
                                  1,    2,
                                  3,    4,
                                  0,    0,
                                  3};
    static const uint8_t rtcp[] = {0x81, 201, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4};
    static seed seed;
    seed.length = 0;
    add(&seed, &profile, 1);
    for (size_t i = 0; i < sizeof flags_and_steps / sizeof flags_and_steps[0]; i++) {
        const uint8_t *step = flags_and_steps[i];
        const uint8_t more[] = {5, 1};
        add(&seed, (const uint8_t[]){SRTP_SIGNED_RTP, step[0], step[1], 0, sizeof rtp}, 5);
        add(&seed, rtp, sizeof rtp);
        add(&seed, more, step[0] & SRTP_DAMAGED ? 2 : step[0] & SRTP_CUT ? 1 : 0);
        add(&seed, (const uint8_t[]){SRTP_SIGNED_RTCP, step[0], step[1], 0, sizeof rtcp}, 5);
        add(&seed, rtcp, sizeof rtcp);
        add(&seed, more, step[0] & SRTP_DAMAGED ? 2 : step[0] & SRTP_CUT ? 1 : 0);
    }
    add(&seed, (const uint8_t[]){SRTP_RAW_RTP, 0, sizeof rtp}, 3);
    add(&seed, rtp, sizeof rtp);
    save(folder, name, seed.bytes, seed.length);
}

static void write_rtcp(const char *folder) {
    const uint8_t report[] = {0x81, 201, 0, 7, 0, 0, 0,   9,   0x41, 0x41, 0x41, 0x41, 0, 0, 0,    0,   0, 0,
                              0,    7,   0, 0, 1, 2, 1,   2,   3,    4,    0,    0,    1, 0, 0x81, 202, 0, 4,
                              0,    0,   0, 9, 1, 6, 'p', 'l', 'a',  'y',  'e',  'r',  0, 0, 0,    0};
    save(folder, "report", report, 32);
    save(folder, "compound", report, sizeof report);
}

int main(int count, char **arguments) {
    CHECK_EQ(count, 7);
    write_rtp(arguments[1]);
    write_stream(arguments[2], "voice", OPUS_APPLICATION_VOIP, 24000, 960, 7, 0);
    write_stream(arguments[2], "voice_60_ms", OPUS_APPLICATION_VOIP, 24000, 2880, 5, 0);
    write_stream(arguments[2], "music", OPUS_APPLICATION_AUDIO, 96000, 960, 0, 0);
    write_stream(arguments[2], "low_delay", OPUS_APPLICATION_RESTRICTED_LOWDELAY, 64000, 480, 9, 0);
    write_stream(arguments[2], "red_of_one", OPUS_APPLICATION_AUDIO, 64000, 960, 4, SCRIPT_RED);
    write_network(arguments[2], "raw", 0);
    write_network(arguments[2], "raw_red", 2);
    write_playout(arguments[3], "voices", OPUS_APPLICATION_VOIP, 16000);
    write_playout(arguments[3], "music", OPUS_APPLICATION_AUDIO, 48000);
    write_stun(arguments[4], "unsigned_request", 0, REQUEST, "ours:theirs");
    write_stun(arguments[4], "request", 1, REQUEST, "ours:theirs");
    write_stun(arguments[4], "response", 2, SUCCESS, NULL);
    write_srtp(arguments[5], "gcm", 1);
    write_srtp(arguments[5], "cm", 0);
    write_rtcp(arguments[6]);
    return 0;
}
