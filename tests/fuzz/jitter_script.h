/*
 * What the jitter buffer's fuzzer reads: a script of packets, pulls and pauses. Each step is one byte that says what, and
 * what belongs to it:
 *
 *   SCRIPT_RAW      length (2)                                         bytes, inserted as they are
 *   SCRIPT_PACKET   flags, sequence step (1, signed), length (2)       payload behind a well-formed header
 *   SCRIPT_PULL     frames / 30 (1)                                    up to 150 ms are played
 *   SCRIPT_WAIT     ms (1)                                             squared: up to a minute passes
 */
#ifndef BW_JITTER_SCRIPT_H
#define BW_JITTER_SCRIPT_H

#define SCRIPT_RAW 0
#define SCRIPT_PACKET 1
#define SCRIPT_PULL 2
#define SCRIPT_WAIT 3
#define SCRIPT_STEPS 4

#define SCRIPT_RED 1          /* flags: the payload is RED */
#define SCRIPT_OTHER_SSRC 2   /* of another source */
#define SCRIPT_TIME_JUMP 4    /* the timestamp goes astray */
#define SCRIPT_FRAMES_SHIFT 4 /* flags >> 4: the timestamp moves by this many half frames of 10 ms */

#endif
