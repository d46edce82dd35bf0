#include "stretch.h"

#include "lanes.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846f
#define CHANNELS 2
#define HISTORY BW_STRETCH_MAX_SHIFT
#define CAPACITY (HISTORY + 2 * BW_STRETCH_LOOK_AHEAD + BW_STRETCH_MAX_WRITE + BW_STRETCH_MAX_SHIFT)
#define MIN_SHIFT 120           /* Frames: 2.5 ms, one period of 400 Hz. */
#define COARSE 4                /* The search runs at 12 kHz first, then around the best shift at 48 kHz. */
#define SILENCE_POWER 1e-6f     /* Mean square, -60 dBFS: below this, any cut is inaudible. */
#define LENGTH_PREFERENCE 0.02f /* A longer cut of the same quality saves a second one. */

#define WINDOW BW_STRETCH_CROSSFADE
#define COARSE_WINDOW (WINDOW / COARSE)
#define COARSE_SHIFTS (BW_STRETCH_MAX_SHIFT / COARSE)

/* Joining in phase: */
#define MAX_PERIOD 720 /* Frames: 15 ms, so that the history holds two periods. */
#define JOIN_WINDOW 240
#define PHASE_WINDOW 480 /* Longer, because the first sound after a loss is the least reliable. */
#define COARSE_PERIOD (MAX_PERIOD / COARSE)
#define COARSE_PHASE_WINDOW (PHASE_WINDOW / COARSE)
#define COARSE_ERROR 0.05f /* Of a score at 12 kHz. */
#define JOIN_CORRELATION 0.5f
#define MOVE_PENALTY 0.2f /* Per MAX_PERIOD. */
#define PERIODIC_CORRELATION 0.96f

typedef struct {
    uint32_t shift; /* 0: none */
    float correlation;
} cut;

bool bw_stretch_init(bw_stretch *stretch) {
    stretch->frames = malloc(sizeof(float) * CHANNELS * CAPACITY);
    if (stretch->frames == NULL)
        return false;
    bw_stretch_reset(stretch);
    return true;
}

void bw_stretch_destroy(bw_stretch *stretch) {
    free(stretch->frames);
    stretch->frames = NULL;
}

void bw_stretch_reset(bw_stretch *stretch) {
    memset(stretch->frames, 0, sizeof(float) * CHANNELS * HISTORY);
    stretch->start = stretch->end = HISTORY;
}

static float *at(const bw_stretch *stretch, uint32_t frame) { return stretch->frames + (size_t)CHANNELS * frame; }

uint32_t bw_stretch_waiting(const bw_stretch *stretch) { return stretch->end - stretch->start; }

const float *bw_stretch_peek(const bw_stretch *stretch) { return at(stretch, stretch->start); }

/* Makes room for `frames` at the end by discarding sound older than the history. */
static void make_room(bw_stretch *stretch, uint32_t frames) {
    if (stretch->end + frames <= CAPACITY)
        return;
    uint32_t old = stretch->start - HISTORY;
    memmove(stretch->frames, at(stretch, old), sizeof(float) * CHANNELS * (stretch->end - old));
    stretch->start -= old;
    stretch->end -= old;
}

float *bw_stretch_begin_write(bw_stretch *stretch) {
    make_room(stretch, BW_STRETCH_MAX_WRITE + MAX_PERIOD);
    return at(stretch, stretch->end);
}

void bw_stretch_end_write(bw_stretch *stretch, uint32_t frames) { stretch->end += frames; }

void bw_stretch_pop(bw_stretch *stretch, uint32_t frames) { stretch->start += frames; }

/* ------------------------------------------------------------------ finding a cut */

static const float *move(const float *from, int direction, uint32_t frames) {
    return from + (ptrdiff_t)direction * CHANNELS * (ptrdiff_t)frames;
}

/* Correlates both channels together, so that a shift that fits only one does not win. */
static float correlate(const float *a, float a_energy, const float *b, uint32_t frames) {
    lanes even = {0}, odd = {0}, even_energy = {0}, odd_energy = {0};
    for (uint32_t i = 0; i < CHANNELS * frames; i += 8) {
        lanes b_even = lanes_load(b + i), b_odd = lanes_load(b + i + 4);
        even += lanes_load(a + i) * b_even;
        odd += lanes_load(a + i + 4) * b_odd;
        even_energy += b_even * b_even;
        odd_energy += b_odd * b_odd;
    }
    float power = a_energy * lanes_total(even_energy + odd_energy);
    return power > 0.0f ? lanes_total(even + odd) / sqrtf(power) : 0.0f;
}

static void decimate(const float *in, float *out, uint32_t frames) {
    for (uint32_t i = 0; i < frames; i++, in += CHANNELS * COARSE)
        for (uint32_t channel = 0; channel < CHANNELS; channel++)
            *out++ = in[channel] + in[channel + CHANNELS] + in[channel + 2 * CHANNELS] + in[channel + 3 * CHANNELS];
}

/* Returns the best shift at 12 kHz. Direction 1 searches ahead, -1 back. */
static uint32_t search_coarse(const float *now, int direction, uint32_t max_shift, float length_preference) {
    float buffer[CHANNELS * (COARSE_SHIFTS + COARSE_WINDOW)];
    uint32_t shifts = max_shift / COARSE;
    decimate(direction > 0 ? now : move(now, -1, COARSE * shifts), buffer, shifts + COARSE_WINDOW);
    const float *reference = direction > 0 ? buffer : move(buffer, 1, shifts);
    float reference_energy = lanes_energy(reference, CHANNELS * COARSE_WINDOW), best_score = -2.0f;
    uint32_t best = MIN_SHIFT / COARSE;
    for (uint32_t shift = MIN_SHIFT / COARSE; shift <= shifts; shift++) {
        float score = correlate(reference, reference_energy, move(reference, direction, shift), COARSE_WINDOW) +
                      length_preference * (float)shift / COARSE_SHIFTS;
        if (score > best_score) {
            best_score = score;
            best = shift;
        }
    }
    return best * COARSE;
}

static cut search_fine(const float *now, int direction, uint32_t around, uint32_t max_shift) {
    cut best = {0, -2.0f};
    float now_energy = lanes_energy(now, CHANNELS * WINDOW);
    uint32_t first = around > MIN_SHIFT + COARSE ? around - COARSE : MIN_SHIFT;
    for (uint32_t shift = first; shift <= around + COARSE && shift <= max_shift; shift++) {
        float correlation = correlate(now, now_energy, move(now, direction, shift), WINDOW);
        if (correlation > best.correlation)
            best = (cut){shift, correlation};
    }
    return best;
}

static bool is_silent(const float *frames) {
    return lanes_energy(frames, CHANNELS * WINDOW) < SILENCE_POWER * CHANNELS * WINDOW;
}

static cut find_cut(const float *now, int direction, uint32_t max_shift, float min_correlation) {
    if (max_shift < MIN_SHIFT)
        return (cut){0, 0.0f};
    if (is_silent(now) && is_silent(move(now, direction, max_shift)))
        return (cut){max_shift, 0.0f};
    uint32_t around = search_coarse(now, direction, max_shift, LENGTH_PREFERENCE);
    cut found = search_fine(now, direction, around, max_shift);
    return found.correlation >= min_correlation ? found : (cut){0, 0.0f};
}

/* ------------------------------------------------------------------ making the cut */

/* Raised cosines, scaled to constant power whether the two sides are similar or uncorrelated. */
static void crossfade(float *out, const float *from, const float *to, uint32_t frames, float correlation) {
    float alike = fmaxf(correlation, 0.0f);
    for (uint32_t i = 0; i < frames; i++) {
        float rise = 0.5f - 0.5f * cosf(PI * ((float)i + 0.5f) / (float)frames);
        float fall = 1.0f - rise;
        float scale = 1.0f / sqrtf(rise * rise + fall * fall + 2.0f * alike * rise * fall);
        for (uint32_t channel = 0; channel < CHANNELS; channel++, out++, from++, to++)
            *out = scale * (fall * *from + rise * *to);
    }
}

/* Crossfades, then moves the rest directly behind the crossfade. */
static void splice(bw_stretch *stretch, int direction, cut cut) {
    float blended[CHANNELS * WINDOW];
    float *now = at(stretch, stretch->start);
    const float *other = move(now, direction, cut.shift);
    const float *rest = move(other, 1, WINDOW);
    float *end = at(stretch, stretch->end);
    crossfade(blended, now, other, WINDOW, cut.correlation);
    memmove(now + (size_t)CHANNELS * WINDOW, rest, sizeof(float) * (size_t)(end - rest));
    memcpy(now, blended, sizeof blended);
    stretch->end = direction > 0 ? stretch->end - cut.shift : stretch->end + cut.shift;
}

static uint32_t round_down(uint32_t frames) { return frames / COARSE * COARSE; }

uint32_t bw_stretch_remove(bw_stretch *stretch, uint32_t max_frames, float min_correlation) {
    uint32_t waiting = bw_stretch_waiting(stretch);
    uint32_t reach = waiting > WINDOW ? waiting - WINDOW : 0;
    uint32_t limit = max_frames < BW_STRETCH_MAX_SHIFT ? max_frames : BW_STRETCH_MAX_SHIFT;
    cut cut = find_cut(at(stretch, stretch->start), 1, round_down(limit < reach ? limit : reach), min_correlation);
    if (cut.shift > 0)
        splice(stretch, 1, cut);
    return cut.shift;
}

uint32_t bw_stretch_insert(bw_stretch *stretch, uint32_t max_frames, float min_correlation) {
    uint32_t waiting = bw_stretch_waiting(stretch);
    if (waiting < WINDOW || waiting >= 2 * BW_STRETCH_LOOK_AHEAD)
        return 0;
    make_room(stretch, BW_STRETCH_MAX_SHIFT);
    uint32_t limit = max_frames < BW_STRETCH_MAX_SHIFT ? max_frames : BW_STRETCH_MAX_SHIFT;
    cut cut = find_cut(at(stretch, stretch->start), -1, round_down(limit), min_correlation);
    if (cut.shift > 0)
        splice(stretch, -1, cut);
    return cut.shift;
}

/* ------------------------------------------------------------------ joining concealed and decoded sound */

/* Repeats the last period. */
static void extrapolate(const float *end, uint32_t period, float *out, uint32_t frames) {
    const float *last = move(end, -1, period);
    for (uint32_t i = 0; i < frames; i++, out += CHANNELS)
        memcpy(out, move(last, 1, i % period), sizeof(float) * CHANNELS);
}

/* Returns the period of the last waiting sound: the shortest that is nearly the best. */
static cut find_period(const float *end, float length_preference) {
    const float *last = move(end, -1, WINDOW);
    return search_fine(last, -1, search_coarse(last, -1, MAX_PERIOD, length_preference), MAX_PERIOD);
}

bool bw_stretch_extrapolate(const bw_stretch *stretch, float *output, uint32_t frames) {
    const float *end = at(stretch, stretch->end);
    cut period = find_period(end, LENGTH_PREFERENCE);
    if (period.correlation < PERIODIC_CORRELATION || is_silent(move(end, -1, WINDOW)))
        return false;
    extrapolate(end, period.shift, output, frames);
    return true;
}

/* Prefers small moves: the same place one period later is the same sound. */
static float phase_score(float correlation, uint32_t shift, uint32_t period) {
    uint32_t moved = shift < period - shift ? shift : period - shift;
    return correlation - MOVE_PENALTY * (float)moved / MAX_PERIOD;
}

/* Scores shifts at 12 kHz; returns the best score. */
static float score_phases(const float *continued, const float *new_sound, uint32_t period, float *scores,
                          uint32_t count) {
    float before[CHANNELS * (COARSE_PERIOD + COARSE_PHASE_WINDOW)], after[CHANNELS * COARSE_PHASE_WINDOW];
    decimate(continued, before, count - 1 + COARSE_PHASE_WINDOW);
    decimate(new_sound, after, COARSE_PHASE_WINDOW);
    float after_energy = lanes_energy(after, CHANNELS * COARSE_PHASE_WINDOW), best = -2.0f;
    for (uint32_t shift = 0; shift < count; shift++) {
        float correlation = correlate(after, after_energy, move(before, 1, shift), COARSE_PHASE_WINDOW);
        scores[shift] = phase_score(correlation, COARSE * shift, period);
        best = fmaxf(best, scores[shift]);
    }
    return best;
}

/* Searches at 48 kHz around one shift of the coarse search. */
static cut search_phase(const float *continued, const float *new_sound, uint32_t period, uint32_t around) {
    cut best = {0, -2.0f};
    float new_energy = lanes_energy(new_sound, CHANNELS * PHASE_WINDOW), best_score = -2.0f;
    for (uint32_t i = 0; i < 2 * COARSE; i++) {
        uint32_t shift = (around + period - COARSE + 1 + i) % period;
        float correlation = correlate(new_sound, new_energy, move(continued, 1, shift), PHASE_WINDOW);
        float score = phase_score(correlation, shift, period);
        if (score > best_score) {
            best_score = score;
            best = (cut){shift, correlation};
        }
    }
    return best;
}

/* Returns where in one period the new sound fits best. At 12 kHz, several shifts may be equally good. */
static cut find_phase(const float *continued, const float *new_sound, uint32_t period) {
    float scores[COARSE_PERIOD];
    uint32_t count = (period + COARSE - 1) / COARSE;
    float least = score_phases(continued, new_sound, period, scores, count) - COARSE_ERROR, best_score = -2.0f;
    cut best = {0, -2.0f};
    for (uint32_t i = 0; i < count; i++) {
        if (scores[i] < least || scores[i] < scores[(i + count - 1) % count] || scores[i] < scores[(i + 1) % count])
            continue;
        cut found = search_phase(continued, new_sound, period, COARSE * i);
        float score = phase_score(found.correlation, found.shift, period);
        if (score > best_score) {
            best_score = score;
            best = found;
        }
    }
    return best;
}

/* Delays the new sound and continues the previous one until then. */
static int32_t join_later(bw_stretch *stretch, const float *continued, uint32_t frames, cut phase) {
    float *now = at(stretch, stretch->end);
    float *later = now + (size_t)CHANNELS * phase.shift;
    memmove(later, now, sizeof(float) * CHANNELS * frames);
    memcpy(now, continued, sizeof(float) * CHANNELS * phase.shift);
    crossfade(later, move(continued, 1, phase.shift), later, JOIN_WINDOW, phase.correlation);
    stretch->end += frames + phase.shift;
    return (int32_t)phase.shift;
}

/* Skips the first frames of the new sound. */
static int32_t join_sooner(bw_stretch *stretch, const float *continued, uint32_t frames, cut phase) {
    float *now = at(stretch, stretch->end);
    memmove(now, move(now, 1, phase.shift), sizeof(float) * CHANNELS * (frames - phase.shift));
    crossfade(now, continued, now, JOIN_WINDOW, phase.correlation);
    stretch->end += frames - phase.shift;
    return -(int32_t)phase.shift;
}

int32_t bw_stretch_end_write_in_phase(bw_stretch *stretch, uint32_t frames, uint32_t max_sooner) {
    float continued[CHANNELS * (MAX_PERIOD + PHASE_WINDOW)];
    const float *end = at(stretch, stretch->end);
    cut period = find_period(end, -LENGTH_PREFERENCE), phase = {0, -1.0f};
    if (frames >= PHASE_WINDOW && period.correlation >= JOIN_CORRELATION) {
        extrapolate(end, period.shift, continued, period.shift + PHASE_WINDOW);
        phase = find_phase(continued, end, period.shift);
    }
    if (phase.correlation < JOIN_CORRELATION) {
        bw_stretch_end_write(stretch, frames);
        return 0;
    }
    uint32_t sooner = period.shift - phase.shift;
    if (sooner < phase.shift && sooner <= max_sooner && sooner + JOIN_WINDOW <= frames)
        return join_sooner(stretch, continued, frames, (cut){sooner, phase.correlation});
    return join_later(stretch, continued, frames, phase);
}
