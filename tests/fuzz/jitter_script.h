/*
 * Steps of the jitter buffer's fuzzer, in addition to those in packet_script.h.
 *
 *   SCRIPT_PULL     frames / 30 (1)                                    plays up to 150 ms
 */
#ifndef BW_JITTER_SCRIPT_H
#define BW_JITTER_SCRIPT_H

#include "packet_script.h"

#define SCRIPT_RAW 0
#define SCRIPT_PACKET 1
#define SCRIPT_PULL 2
#define SCRIPT_WAIT 3
#define SCRIPT_STEPS 4

#endif
