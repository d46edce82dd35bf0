/* RTCP sender reports to one player, sent by the network thread (RFC 3550, 6.3 and 6.4.1). */
#ifndef BW_SENDER_REPORTS_H
#define BW_SENDER_REPORTS_H

#include "core.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct bw_reporter bw_reporter;

/* Loop thread, both. Returns NULL when out of memory or for an invalid key. */
bw_reporter *bw_reporter_new(const bw_report_config *config, int64_t now_ns);
void bw_reporter_free(bw_reporter *reporter);

/* Loop thread: as bw_srtcp_protect, with the same indexes as the reports. Waits while the network thread protects one:
 * microseconds, or as long as the system interrupts it. */
int bw_reporter_protect(bw_reporter *reporter, uint8_t *packet, uint32_t length, uint32_t capacity);

/* What a report says about the stream, at the time of now_ns. */
typedef struct {
    int64_t now_ns;
    int64_t start_ns; /* of media time 0 */
    uint64_t packets;
    uint64_t octets;
} bw_sent;

/* Network thread, both. Returns whether a report is due. */
bool bw_reporter_is_due(bw_reporter *reporter, int64_t now_ns);
/* Writes the report, as SRTCP. Needs a capacity of BW_REPORT_BYTES. Returns the length; 0 if it has to wait, because the
 * loop thread is protecting something. */
uint32_t bw_reporter_write(bw_reporter *reporter, const bw_sent *sent, uint8_t *packet);

#define BW_REPORT_BYTES 160

#endif
