/*
 * Decides whose speech libopus may enhance (OSCE), so that no block is late because of it. It neither measures nor
 * applies anything:
 *
 *   playout.c ── start, length and cost of pulls ──► what is left of the budget ─┐
 *   opus_receiver.c ── cost of enhanced decoding ──► a high average of it ───────┼─► publishers that hold a grant
 *   opus_receiver.c ── the next packet: voice, length ───────────────────────────┴─► whether to enhance this packet
 *
 * One object serves all publishers of a playout, whichever threads play them. Two guards work together:
 *
 * - A grant lets a publisher be enhanced while it speaks and 3 s longer, so that its timbre does not change back and
 *   forth. There are only as many as the budget carries if all of them decode a block in the same pull, and one of them
 *   another packet: to cut, or the in-band copy of a lost one. New ones come one per quarter of a second. Grants are
 *   counted anew in each window of 2 s, so those of publishers that fell silent, left or are not played expire by
 *   themselves.
 * - What the rest of the budget in this pull does not carry is decoded or concealed plain, grant or not. Concealment,
 *   the most expensive part, has only this guard, because few publishers lose packets at the same time.
 *
 * Any thread may call it. Two threads at a time may miscount by one, which the second guard absorbs. Nothing is
 * allocated or locked, and the clock is an argument.
 */
#ifndef BW_ENHANCEMENT_H
#define BW_ENHANCEMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    BW_ENHANCED_DECODING,
    BW_ENHANCED_CONCEALMENT, /* deep PLC */
    BW_ENHANCEMENT_KINDS,
} bw_enhancement_kind;

typedef struct {
    _Atomic uint32_t mode; /* BW_ENHANCEMENT_* */

    /* The pull, or the pulls of several streams in one update. */
    _Atomic int64_t pull_from_ns;
    _Atomic int64_t block_ns;
    _Atomic int64_t spent_ns;    /* in this pull ... */
    _Atomic int64_t enhanced_ns; /* ... and the part of it that is enhanced decoding */

    _Atomic float base_share; /* of a block: what pulls cost without enhanced decoding, a high average */
    /* For each kind of work: what 20 ms of audio cost, a high average, and whether there was any in this window. */
    _Atomic uint32_t cost_ns[BW_ENHANCEMENT_KINDS];
    _Atomic bool has_run[BW_ENHANCEMENT_KINDS];
    _Atomic uint32_t packet_ns; /* length of the longest packet of speech in this window */

    _Atomic int64_t window_from_ns;
    _Atomic uint32_t window;       /* its number */
    _Atomic uint32_t previous;     /* grants in the previous window */
    _Atomic uint32_t current;      /* grants counted in this window so far */
    _Atomic int64_t granted_at_ns; /* the newest grant */
} bw_enhancement;

/* Of one publisher; used by the thread that plays it. Zeros: none. */
typedef struct {
    uint32_t window;        /* in which it was counted */
    uint32_t quiet_samples; /* since the last voice */
} bw_enhancement_grant;

void bw_enhancement_init(bw_enhancement *enhancement);
void bw_enhancement_set_mode(bw_enhancement *enhancement, uint32_t mode);
/* Whether the durations of pulls and of decoding are needed. */
bool bw_enhancement_has_budget(bw_enhancement *enhancement);

/* Before each pull of a stream. Pulls closer than half a block belong to one update and share its budget. */
void bw_enhancement_begin_pull(bw_enhancement *enhancement, int64_t now_ns, uint32_t frames);
/* After each pull of a stream. took_ns: processor time, with all decoding. */
void bw_enhancement_played(bw_enhancement *enhancement, int64_t took_ns);

/* Whether to enhance this packet of speech, the copy in it, or this concealment. Only voice obtains a grant. samples:
 * per channel at 48 kHz. */
bool bw_enhancement_allows(bw_enhancement *enhancement, bw_enhancement_grant *grant, bw_enhancement_kind kind,
                           bool has_voice, uint32_t samples);
/* After it has been enhanced. took_ns: processor time. */
void bw_enhancement_did(bw_enhancement *enhancement, bw_enhancement_kind kind, uint32_t samples, int64_t took_ns);

#endif
