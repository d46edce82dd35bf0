/*
 * RTCP receiver reports that show no trouble: the network thread keeps them from the loop thread.
 *
 *   RTCP, decrypted ─► plain reports about our stream, no loss, not late, more packets ─► kept: latest and number
 *                  └─► anything else ─► the loop thread, which gets all RTCP from then on, until it asks again
 *
 * A player without loss reports about every 5 s for hours, and each report says the same. The loop thread decides what
 * loss and late round trips mean; it asks for this once it needs no more reports. Python reads the kept ones for its statistics.
 */
#ifndef BW_RTCP_REPORTS_H
#define BW_RTCP_REPORTS_H

#include "core.h"

#include <stdatomic.h>
#include <stdbool.h>

/* A report block (RFC 3550, 6.4.1). */
typedef struct {
    uint32_t reporter; /* SSRC of the receiver */
    uint8_t fraction_lost;
    int32_t packets_lost;
    uint32_t highest_sequence;
    uint32_t jitter;
    uint32_t last_sr;
    uint32_t delay_since_last_sr;
} bw_report_block;

/* Reads the first block about this SSRC. Returns false without one, for a malformed packet, and for one that contains
 * anything but receiver reports, source descriptions and extended reports (RFC 3611), which nobody here reads. Any
 * thread; linear in the length. */
bool bw_report_parse(bw_report_block *block, const uint8_t *data, uint32_t length, uint32_t ssrc);

/* Zeros are the initial state. */
typedef struct {
    bool is_keeping;           /* network thread, like the next three */
    bw_kept_config config;     /* SSRC 0: none yet */
    uint32_t forwarded;        /* RTCP datagrams that the loop thread got */
    uint32_t highest_sequence; /* of the last report */
    /* The kept reports: written by the network thread, read by any. The version is odd while they are written. */
    _Atomic uint32_t version;
    _Atomic uint32_t kept, reporter, highest, jitter, last_sr, delay_since_last_sr;
    _Atomic int32_t packets_lost;
    _Atomic int64_t time_ns;
} bw_reports;

/* Network thread, all three. Starts to keep reports, unless the loop thread has not seen all RTCP yet. */
void bw_reports_begin(bw_reports *reports, const bw_kept_config *config);
/* Returns true when it has kept the datagram. Otherwise the loop thread must get it: call bw_reports_forwarded if it
 * does. */
bool bw_reports_keep(bw_reports *reports, const uint8_t *data, uint32_t length, int64_t now_ns);
void bw_reports_forwarded(bw_reports *reports);

/* Any thread. Returns false when they are being written for a long time: the network thread was interrupted. */
bool bw_reports_read(bw_reports *reports, bw_kept_reports *kept);

/* Any thread, while no other uses them. */
void bw_reports_reset(bw_reports *reports);

#endif
