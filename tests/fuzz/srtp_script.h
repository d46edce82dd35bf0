/*
 * Steps of SRTP's fuzzer. The first byte of a script chooses the profile; each step is one byte for its kind, followed by
 *
 *   SRTP_RAW_*       length (2)                          and the bytes of a datagram
 *   SRTP_SIGNED_*    flags, step of the index (1, signed), length (2), and the bytes of a packet before it is protected
 */
#ifndef BW_SRTP_SCRIPT_H
#define BW_SRTP_SCRIPT_H

#include "packet_script.h"

#define SRTP_RAW_RTP 0
#define SRTP_RAW_RTCP 1
#define SRTP_SIGNED_RTP 2
#define SRTP_SIGNED_RTCP 3
#define SRTP_STEPS 4

#define SRTP_DAMAGED 1    /* flags: two more bytes follow, where and how it is changed after it was protected */
#define SRTP_CUT 2        /* one more byte follows, how much is cut off */
#define SRTP_LONG_STEP 4  /* the step counts 500 */
#define SRTP_SSRC_SHIFT 4 /* flags >> 4: SSRC */

#endif
