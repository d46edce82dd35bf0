/*
 * An audio source: a tone, PCM written by the program, a BASS channel, or a bridge, converted to 48 kHz stereo float.
 *
 *   tone ──────────────────────────────────────────────────────────────────► output
 *   PCM ring, BASS_ChannelGetData ─► stereo ─► staging ─► resampler ─► output    (48 kHz not live: no resampler)
 *                                                  └─► level ─► drift ─► ppm ┘   (live only)
 *
 * A live source (a recording channel, a bridge) runs at another clock: all available audio is read, and the resampler
 * keeps the staging buffer at its target level. A bridge is a PCM ring from a thread with one clock to one with another.
 *
 * The end is a state: a source that has ended is asked once per frame whether it has audio again (a channel rewound or
 * refilled by the program, PCM written after an end), until BASS says that the channel does not exist any more.
 */
#include "internal.h"

#include "drift.h"
#include "resampler.h"

#include <math.h>
#include <string.h>

#define CHUNK_FRAMES 2048      /* per call of BASS_ChannelGetData */
#define STAGING_MS 500         /* above this, something is wrong: the oldest audio is dropped */
#define LIVE_MARGIN_MS 40      /* on top of one frame: covers the device's block size and thread lateness */
#define BRIDGE_MARGIN_MS 15    /* the same for a bridge, on top of half a block of its writer */
#define BRIDGE_EXCESS_MS 120   /* above its margin, a bridge was not read for a while: the oldest audio is dropped */
#define LIVE_MARGIN_STEP_MS 20 /* added after each underrun, to adapt to a busy machine */
#define LIVE_MARGIN_MAX_MS 200
#define NARROW_AFTER_MS 120000 /* without an underrun, the last step is taken back */
#define PEAK_LIMIT 4.0f        /* +12 dBFS: louder samples are not valid audio */
#define TWO_PI 6.283185307179586

#define BASS_DATA_FLOAT 0x40000000u
#define BASS_FAILED 0xFFFFFFFFu
#define BASS_ERROR_HANDLE 5

#ifdef _WIN32
#define BASS_CALL __stdcall
#else
#define BASS_CALL
#endif

typedef uint32_t(BASS_CALL *bass_get_data)(uint32_t handle, void *buffer, uint32_t length);
typedef int(BASS_CALL *bass_get_error)(void);

typedef enum { SOURCE_TONE, SOURCE_PCM, SOURCE_BASS } source_kind;

struct bw_source {
    source_kind kind;
    uint32_t rate_hz;
    uint32_t channels;
    bool ended;    /* sender only, like the next three: no audio since the last end */
    bool begun;    /* the first samples have arrived */
    uint32_t ends; /* how often it has ended */
    int32_t error; /* BASS's error code of the last end */

    double phase[BW_CHANNELS]; /* tone only, with the next two */
    double step[BW_CHANNELS];
    float amplitude;

    float *ring; /* PCM: writer → sender, interleaved frames */
    uint32_t ring_frames;
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t read;
    _Atomic uint64_t end_at; /* 1 + the frames written before the last bw_source_end; 0: none */
    uint64_t end_reached;    /* sender only: the last value of end_at that was reached */

    bass_get_data get_data; /* BASS only, with the rest */
    bass_get_error get_error;
    uint32_t handle;
    bool freed; /* the channel does not exist any more, and its number may be given to another one */
    bool live;
    bool filling;          /* live, like the next three: waiting until the buffer reaches its target level */
    double margin_ms;      /* the target: one block of the reader, and what covers jitter */
    double block_ms;       /* of the reader, last time; 0: not read yet */
    uint32_t excess_limit; /* frames above the margin that may be staged */
    double widened_ms;     /* how much underruns have added to the margin */
    double calm_ms;        /* since the last one */
    bw_drift drift;

    bw_resampler *resampler; /* NULL: no conversion needed */
    float *chunk;            /* CHUNK_FRAMES frames with the source's channels */
    float *staging;          /* stereo, at the source's rate */
    uint32_t staging_capacity;
    uint32_t staged;
};

/* ---- downmix */

/* BASS's channel order: left, right, centre, LFE, rear left, rear right, side left, side right; 4 and 5 channels
 * have no LFE. */
static const float DOWNMIX[8][8][2] = {
    {{1, 1}},
    {{1, 0}, {0, 1}},
    {{1, 0}, {0, 1}, {.7071f, .7071f}},
    {{1, 0}, {0, 1}, {.7071f, 0}, {0, .7071f}},
    {{1, 0}, {0, 1}, {.7071f, .7071f}, {.7071f, 0}, {0, .7071f}},
    {{1, 0}, {0, 1}, {.7071f, .7071f}, {0, 0}, {.7071f, 0}, {0, .7071f}},
    {{1, 0}, {0, 1}, {.7071f, .7071f}, {0, 0}, {.7071f, 0}, {0, .7071f}, {.5f, .5f}},
    {{1, 0}, {0, 1}, {.7071f, .7071f}, {0, 0}, {.7071f, 0}, {0, .7071f}, {.7071f, 0}, {0, .7071f}},
};

static float downmix_scale(uint32_t channels) {
    float sum = 0;
    for (uint32_t i = 0; i < channels; i++)
        sum += DOWNMIX[channels - 1][i][0];
    return 1.0f / sum;
}

/* Replaces NaN by silence and limits absurd levels, so that one bad sample does not corrupt the encoder's state. */
static float sanitize(float sample) {
    if (isnan(sample))
        return 0.0f;
    return sample > PEAK_LIMIT ? PEAK_LIMIT : sample < -PEAK_LIMIT ? -PEAK_LIMIT : sample;
}

static void to_stereo(const float *input, uint32_t channels, float *output, uint32_t frames) {
    float scale = downmix_scale(channels);
    for (uint32_t i = 0; i < frames; i++, input += channels, output += BW_CHANNELS) {
        float left = 0, right = 0;
        for (uint32_t c = 0; c < channels; c++) {
            float sample = sanitize(input[c]);
            left += DOWNMIX[channels - 1][c][0] * sample;
            right += DOWNMIX[channels - 1][c][1] * sample;
        }
        output[0] = left * scale;
        output[1] = right * scale;
    }
}

/* ---- end */

static void note_end(bw_source *source, int32_t error) {
    if (source->ended)
        return;
    source->ended = true;
    source->error = error;
    source->ends++;
}

/* ---- tone */

static uint32_t read_tone(bw_source *source, float *output, uint32_t frames) {
    for (uint32_t c = 0; c < BW_CHANNELS; c++) {
        double phase = source->phase[c];
        for (uint32_t i = 0; i < frames; i++) {
            output[i * BW_CHANNELS + c] = source->amplitude * (float)sin(phase);
            phase += source->step[c];
            phase -= phase >= TWO_PI ? TWO_PI : 0;
        }
        source->phase[c] = phase;
    }
    return frames;
}

/* ---- PCM ring: the sending thread reads what one writer thread writes */

/* Splits a run of frames at the end of the ring. Returns the address of the first part and its length. */
static float *ring_span(const bw_source *source, uint64_t position, uint32_t frames, uint32_t *first) {
    uint32_t at = (uint32_t)(position % source->ring_frames);
    *first = frames < source->ring_frames - at ? frames : source->ring_frames - at;
    return source->ring + (size_t)at * source->channels;
}

static void copy_to_ring(bw_source *source, uint64_t position, const float *in, uint32_t frames) {
    uint32_t first;
    size_t frame_bytes = source->channels * sizeof(float);
    float *slot = ring_span(source, position, frames, &first);
    memcpy(slot, in, first * frame_bytes);
    memcpy(source->ring, in + (size_t)first * source->channels, (frames - first) * frame_bytes);
}

static void copy_from_ring(const bw_source *source, uint64_t position, float *out, uint32_t frames) {
    uint32_t first;
    size_t frame_bytes = source->channels * sizeof(float);
    const float *slot = ring_span(source, position, frames, &first);
    memcpy(out, slot, first * frame_bytes);
    memcpy(out + (size_t)first * source->channels, source->ring, (frames - first) * frame_bytes);
}

uint32_t bw_source_space(bw_source *source) {
    if (source->kind != SOURCE_PCM)
        return 0;
    uint64_t held = atomic_load_explicit(&source->written, memory_order_relaxed) -
                    atomic_load_explicit(&source->read, memory_order_acquire);
    return source->ring_frames - (uint32_t)held;
}

uint32_t bw_source_write(bw_source *source, const float *samples, uint32_t frames) {
    uint32_t space = bw_source_space(source);
    uint32_t taken = frames < space ? frames : space;
    uint64_t written = atomic_load_explicit(&source->written, memory_order_relaxed);
    if (taken == 0)
        return 0;
    copy_to_ring(source, written, samples, taken);
    atomic_store_explicit(&source->written, written + taken, memory_order_release);
    return taken;
}

void bw_source_end(bw_source *source) {
    uint64_t written = atomic_load_explicit(&source->written, memory_order_relaxed);
    atomic_store_explicit(&source->end_at, written + 1, memory_order_release);
}

/* Returns no frames at an end, so that those written after it are read in the next frame time. */
static uint32_t pull_ring(bw_source *source, uint32_t frames) {
    uint64_t end_at = atomic_load_explicit(&source->end_at, memory_order_acquire);
    uint64_t read = atomic_load_explicit(&source->read, memory_order_relaxed);
    uint64_t held = atomic_load_explicit(&source->written, memory_order_acquire) - read;
    bool is_ending = end_at != source->end_reached;
    uint64_t left = end_at > read ? end_at - 1 - read : 0;
    if (is_ending && left < held)
        held = left;
    if (is_ending && held == 0) {
        source->end_reached = end_at;
        note_end(source, BW_SOURCE_ENDED);
    }
    uint32_t got = held < frames ? (uint32_t)held : frames;
    copy_from_ring(source, read, source->chunk, got);
    atomic_store_explicit(&source->read, read + got, memory_order_release);
    return got;
}

/* ---- BASS */

/*
 * BASS returns BASS_ERROR_ENDED after the last sample, until the program rewinds or refills the channel, and
 * BASS_ERROR_HANDLE when the channel has been freed. BASS_ErrorGetCode reads a variable of the calling thread.
 */
static uint32_t pull_bass(bw_source *source, uint32_t frames) {
    uint32_t frame_bytes = source->channels * (uint32_t)sizeof(float);
    if (source->freed)
        return 0;
    uint32_t got = source->get_data(source->handle, source->chunk, frames * frame_bytes | BASS_DATA_FLOAT);
    if (got != BASS_FAILED)
        return got / frame_bytes;
    int32_t error = source->get_error();
    source->freed = error == BASS_ERROR_HANDLE;
    note_end(source, error);
    return 0;
}

/* ---- conversion */

/* Moves up to CHUNK_FRAMES of the source to the staging buffer. */
static uint32_t stage_chunk(bw_source *source, uint32_t frames) {
    uint32_t wanted = frames < CHUNK_FRAMES ? frames : CHUNK_FRAMES;
    uint32_t got = source->kind == SOURCE_PCM ? pull_ring(source, wanted) : pull_bass(source, wanted);
    to_stereo(source->chunk, source->channels, source->staging + (size_t)source->staged * BW_CHANNELS, got);
    source->staged += got;
    if (got > 0) {
        source->ended = false;
        source->begun |= !source->live; /* A live source starts once its buffer has filled. */
    }
    return got;
}

static void unstage(bw_source *source, uint32_t frames) {
    source->staged -= frames;
    memmove(source->staging, source->staging + (size_t)frames * BW_CHANNELS,
            (size_t)source->staged * BW_CHANNELS * sizeof(float));
}

static uint32_t convert(bw_source *source, float *output, uint32_t frames) {
    uint32_t consumed = source->staged < frames ? source->staged : frames;
    uint32_t produced = consumed;
    if (source->resampler != NULL)
        produced = bw_resampler_process(source->resampler, source->staging, source->staged, &consumed, output, frames);
    else
        memcpy(output, source->staging, (size_t)consumed * BW_CHANNELS * sizeof(float));
    unstage(source, consumed);
    return produced;
}

static uint32_t read_on_demand(bw_source *source, float *output, uint32_t frames) {
    uint32_t wanted = source->resampler ? bw_resampler_input_for(source->resampler, frames) : frames;
    while (source->staged < wanted && stage_chunk(source, wanted - source->staged) > 0) {
    }
    return convert(source, output, frames);
}

/* ---- live sources */

static void stage_available(bw_source *source) {
    uint32_t margin = (uint32_t)(source->margin_ms * source->rate_hz / 1000);
    uint32_t room = source->staging_capacity - 2 * CHUNK_FRAMES;
    uint32_t most = margin + source->excess_limit < room ? margin + source->excess_limit : room;
    while (stage_chunk(source, CHUNK_FRAMES) == CHUNK_FRAMES && source->staged <= room) {
    }
    if (source->staged > most) {
        unstage(source, source->staged - margin);
        bw_drift_restart(&source->drift);
    }
}

static void widen_margin(bw_source *source) {
    double wider_ms = source->margin_ms + LIVE_MARGIN_STEP_MS, most_ms = source->block_ms + LIVE_MARGIN_MAX_MS;
    wider_ms = wider_ms < most_ms ? wider_ms : most_ms;
    source->widened_ms += wider_ms - source->margin_ms;
    source->margin_ms = wider_ms;
    source->calm_ms = 0;
    bw_drift_set_target(&source->drift, source->margin_ms);
    source->filling = true;
}

/* Takes back one step of what an underrun has added, after minutes without another one. */
static void narrow_margin(bw_source *source) {
    source->calm_ms += source->block_ms;
    if (source->widened_ms <= 0 || source->calm_ms < NARROW_AFTER_MS)
        return;
    double step_ms = source->widened_ms < LIVE_MARGIN_STEP_MS ? source->widened_ms : LIVE_MARGIN_STEP_MS;
    source->widened_ms -= step_ms;
    source->margin_ms -= step_ms;
    source->calm_ms = 0;
    bw_drift_set_target(&source->drift, source->margin_ms);
}

/* Programs fill a buffer first, and then read the blocks of its updates. */
static void set_block(bw_source *source, double block_ms) {
    source->margin_ms += block_ms - source->block_ms;
    if (source->block_ms == 0)
        bw_drift_init(&source->drift, source->margin_ms);
    else
        bw_drift_set_target(&source->drift, source->margin_ms);
    source->block_ms = block_ms;
}

static uint32_t read_live(bw_source *source, float *output, uint32_t frames) {
    double block_ms = frames * 1000.0 / BW_SAMPLE_RATE_HZ;
    if (source->block_ms != block_ms)
        set_block(source, block_ms);
    stage_available(source);
    if (source->ended) { /* What is left is played; if the device delivers again, the buffer fills first. */
        source->filling = true;
        source->begun = false;
        return convert(source, output, frames);
    }
    double level_ms = source->staged * 1000.0 / source->rate_hz;
    if (source->filling) {
        if (level_ms < source->margin_ms)
            return 0;
        source->filling = false;
        source->begun = true;
        /* This much silence is enough. */
        unstage(source, (uint32_t)((level_ms - source->margin_ms) * source->rate_hz / 1000));
        level_ms = source->margin_ms;
        bw_drift_restart(&source->drift);
    }
    bw_resampler_set_ppm(source->resampler, bw_drift_update(&source->drift, level_ms, block_ms / 1000));
    uint32_t produced = convert(source, output, frames);
    if (produced < frames)
        widen_margin(source);
    else
        narrow_margin(source);
    return produced;
}

/* ---- reading, on the sending thread */

uint32_t bw_source_read(bw_source *source, float *output, uint32_t frames) {
    uint32_t got = 0;
    if (source->kind == SOURCE_TONE)
        got = read_tone(source, output, frames);
    else if (source->live)
        got = read_live(source, output, frames);
    else
        got = read_on_demand(source, output, frames);
    memset(output + (size_t)got * BW_CHANNELS, 0, (size_t)(frames - got) * BW_CHANNELS * sizeof(float));
    return got;
}

bool bw_source_has_ended(const bw_source *source) { return source->ended; }

bool bw_source_is_idle(const bw_source *source) { return source->ended || !source->begun; }

uint32_t bw_source_ends(const bw_source *source) { return source->ends; }

int32_t bw_source_error(const bw_source *source) { return source->error; }

/* ---- life */

static bw_source *allocate_source(source_kind kind, uint32_t rate_hz, uint32_t channels) {
    bw_source *source = bw_allocate_aligned(sizeof *source);
    if (source == NULL)
        return NULL;
    memset(source, 0, sizeof *source);
    source->kind = kind;
    source->rate_hz = rate_hz;
    source->channels = channels;
    return source;
}

static bw_source *new_converting(source_kind kind, uint32_t rate_hz, uint32_t channels, bool live,
                                 uint32_t staging_ms) {
    if (rate_hz < 8000 || rate_hz > 192000 || channels < 1 || channels > 8)
        return NULL;
    bw_source *source = allocate_source(kind, rate_hz, channels);
    if (source == NULL)
        return NULL;
    source->live = source->filling = live;
    source->margin_ms = LIVE_MARGIN_MS;
    source->staging_capacity = rate_hz * staging_ms / 1000 + 2 * CHUNK_FRAMES;
    source->excess_limit = source->staging_capacity;
    source->staging = calloc((size_t)source->staging_capacity * BW_CHANNELS, sizeof(float));
    source->chunk = calloc((size_t)CHUNK_FRAMES * channels, sizeof(float));
    bool converts = live || rate_hz != BW_SAMPLE_RATE_HZ;
    if (converts)
        source->resampler = bw_resampler_new(rate_hz, BW_SAMPLE_RATE_HZ, BW_CHANNELS);
    if (source->staging != NULL && source->chunk != NULL && (!converts || source->resampler != NULL))
        return source;
    bw_source_free(source);
    return NULL;
}

bw_source *bw_source_new_tone(double left_hz, double right_hz, double level_dbfs) {
    double hz[BW_CHANNELS] = {left_hz, right_hz};
    bw_source *source = allocate_source(SOURCE_TONE, BW_SAMPLE_RATE_HZ, BW_CHANNELS);
    if (source == NULL)
        return NULL;
    for (int c = 0; c < BW_CHANNELS; c++)
        source->step[c] = hz[c] * TWO_PI / BW_SAMPLE_RATE_HZ;
    source->amplitude = (float)pow(10, level_dbfs / 20);
    source->begun = true;
    return source;
}

static bw_source *new_ring(uint32_t sample_rate_hz, uint32_t channels, uint32_t capacity_ms) {
    bw_source *source = new_converting(SOURCE_PCM, sample_rate_hz, channels, false, capacity_ms);
    if (source == NULL)
        return NULL;
    source->ring_frames = sample_rate_hz * capacity_ms / 1000;
    source->ring = calloc((size_t)source->ring_frames * channels, sizeof(float));
    if (source->ring != NULL)
        return source;
    bw_source_free(source);
    return NULL;
}

bw_source *bw_source_new_pcm(uint32_t sample_rate_hz, uint32_t channels) {
    return new_ring(sample_rate_hz, channels, BW_PCM_CAPACITY_MS);
}

bw_source *bw_source_new_bridge(const bw_resampler *filter, uint32_t block_frames, uint32_t capacity_ms) {
    bw_source *source = new_ring(BW_SAMPLE_RATE_HZ, BW_CHANNELS, capacity_ms);
    if (source == NULL)
        return NULL;
    source->resampler = bw_resampler_new_like(filter);
    if (source->resampler == NULL) {
        bw_source_free(source);
        return NULL;
    }
    source->live = source->filling = true;
    source->margin_ms = BRIDGE_MARGIN_MS + block_frames * 1000.0 / BW_SAMPLE_RATE_HZ / 2;
    source->excess_limit = BRIDGE_EXCESS_MS * BW_SAMPLE_RATE_HZ / 1000;
    return source;
}

void bw_source_discard(bw_source *source) {
    atomic_store_explicit(&source->read, atomic_load_explicit(&source->written, memory_order_acquire),
                          memory_order_release);
    source->staged = 0;
    source->filling = true;
    source->begun = false;
}

bw_source *bw_source_new_bass(void *get_data, void *get_error, uint32_t handle, uint32_t sample_rate_hz,
                              uint32_t channels, uint32_t live) {
    bw_source *source = new_converting(SOURCE_BASS, sample_rate_hz, channels, live != 0, STAGING_MS);
    if (source == NULL)
        return NULL;
    source->get_data = (bass_get_data)get_data;
    source->get_error = (bass_get_error)get_error;
    source->handle = handle;
    return source;
}

void bw_source_free(bw_source *source) {
    if (source == NULL)
        return;
    bw_resampler_free(source->resampler);
    free(source->ring);
    free(source->chunk);
    free(source->staging);
    bw_free_aligned(source);
}
