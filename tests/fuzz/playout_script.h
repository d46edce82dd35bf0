/*
 * Steps of the playout's fuzzer, in addition to those in packet_script.h; each is followed by a peer's number.
 *
 *   PLAYOUT_ADD       min / 2 ms, max / 2 ms (1 each)
 *   PLAYOUT_READ_*    frames / 30 (1)                                  plays up to 150 ms
 *   PLAYOUT_GAIN      gain * 8, signed (1); 127 is NaN
 *   PLAYOUT_ROUTE     route (1)
 *   PLAYOUT_MUTE      muted (1)
 */
#ifndef BW_PLAYOUT_SCRIPT_H
#define BW_PLAYOUT_SCRIPT_H

#include "packet_script.h"

#define PLAYOUT_PEERS 3

#define PLAYOUT_PACKET 0
#define PLAYOUT_READ_MIX 1
#define PLAYOUT_READ_PEER 2
#define PLAYOUT_RAW 3
#define PLAYOUT_WAIT 4
#define PLAYOUT_ADD 5
#define PLAYOUT_REMOVE 6
#define PLAYOUT_GAIN 7
#define PLAYOUT_ROUTE 8
#define PLAYOUT_MUTE 9
#define PLAYOUT_STEPS 10

#endif
