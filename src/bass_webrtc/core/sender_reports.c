#include "sender_reports.h"

#include "byte_order.h"
#include "ntp_time.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000
#define INTERVAL_NS (5 * (int64_t)SECOND_NS) /* minimum interval: two members at our rates (RFC 3550, 6.3.1) */
#define COMPENSATION 1.21828                 /* e - 3/2, for timer reconsideration */
#define TICKS_PER_S 48000
#define SENDER_REPORT_BYTES 28
#define RECEIVER_REPORT_BYTES 8

struct bw_reporter {
    bw_srtcp *srtcp;
    _Atomic bool is_protecting; /* one of the two threads uses it */
    bw_report_config config;
    uint64_t random;
    bool is_first;
    int64_t previous_ns;
    int64_t next_ns;
    uint64_t sent_before[2]; /* packets at the last report and the one before it */
};

/* ---- time */

/* xorshift64: only spreads the reports. */
static double random_between(bw_reporter *reporter, double low, double high) {
    reporter->random ^= reporter->random << 13;
    reporter->random ^= reporter->random >> 7;
    reporter->random ^= reporter->random << 17;
    return low + (high - low) * (double)(reporter->random >> 11) / (double)(1ull << 53);
}

static int64_t random_interval_ns(bw_reporter *reporter) {
    int64_t interval_ns = reporter->is_first ? INTERVAL_NS / 2 : INTERVAL_NS;
    return (int64_t)((double)interval_ns * random_between(reporter, 0.5, 1.5) / COMPENSATION);
}

bool bw_reporter_is_due(bw_reporter *reporter, int64_t now_ns) {
    if (now_ns < reporter->next_ns)
        return false;
    /* Timer reconsideration: the interval is drawn again (RFC 3550, 6.3.6). */
    reporter->next_ns = reporter->previous_ns + random_interval_ns(reporter);
    return now_ns >= reporter->next_ns;
}

/* ---- packets */

static void write_header(uint8_t *packet, uint8_t kind, uint32_t bytes, uint32_t ssrc) {
    const uint8_t header[] = {0x80, kind, 0, (uint8_t)(bytes / 4 - 1)};
    memcpy(packet, header, sizeof header);
    bw_write_u32(packet + 4, ssrc);
}

static uint32_t rtp_time(const bw_report_config *config, const bw_sent *sent) {
    int64_t elapsed_ns = sent->now_ns - sent->start_ns;
    int64_t ticks = elapsed_ns / SECOND_NS * TICKS_PER_S + elapsed_ns % SECOND_NS * TICKS_PER_S / SECOND_NS;
    return config->timestamp_offset + (uint32_t)ticks;
}

/* A sender report, or a receiver report if nothing was sent since the report before the last one (RFC 3550, 6.4). */
static uint32_t write_report(bw_reporter *reporter, const bw_sent *sent, uint8_t *packet) {
    const bw_report_config *config = &reporter->config;
    if (sent->packets == reporter->sent_before[1]) {
        write_header(packet, 201, RECEIVER_REPORT_BYTES, config->ssrc);
        return RECEIVER_REPORT_BYTES;
    }
    write_header(packet, 200, SENDER_REPORT_BYTES, config->ssrc);
    uint64_t ntp = bw_ntp_time(config->unix_epoch_ns + sent->now_ns);
    bw_write_u32(packet + 8, (uint32_t)(ntp >> 32));
    bw_write_u32(packet + 12, (uint32_t)ntp);
    bw_write_u32(packet + 16, rtp_time(config, sent));
    bw_write_u32(packet + 20, (uint32_t)sent->packets);
    bw_write_u32(packet + 24, (uint32_t)sent->octets);
    return SENDER_REPORT_BYTES;
}

uint32_t bw_reporter_write(bw_reporter *reporter, const bw_sent *sent, uint8_t *packet) {
    if (atomic_exchange_explicit(&reporter->is_protecting, true, memory_order_acquire))
        return 0;
    uint32_t length = write_report(reporter, sent, packet);
    memcpy(packet + length, reporter->config.description, reporter->config.description_bytes);
    length += reporter->config.description_bytes;
    int protected_length = bw_srtcp_protect(reporter->srtcp, packet, length, BW_REPORT_BYTES);
    atomic_store_explicit(&reporter->is_protecting, false, memory_order_release);
    reporter->sent_before[1] = reporter->sent_before[0];
    reporter->sent_before[0] = sent->packets;
    reporter->is_first = false;
    reporter->previous_ns = sent->now_ns;
    reporter->next_ns = sent->now_ns + random_interval_ns(reporter);
    return protected_length > 0 ? (uint32_t)protected_length : 0;
}

int bw_reporter_protect(bw_reporter *reporter, uint8_t *packet, uint32_t length, uint32_t capacity) {
    while (atomic_exchange_explicit(&reporter->is_protecting, true, memory_order_acquire))
        sched_yield();
    int protected_length = bw_srtcp_protect(reporter->srtcp, packet, length, capacity);
    atomic_store_explicit(&reporter->is_protecting, false, memory_order_release);
    return protected_length;
}

/* ---- life */

bw_reporter *bw_reporter_new(const bw_report_config *config, int64_t now_ns) {
    bw_reporter *reporter = calloc(1, sizeof *reporter);
    if (reporter == NULL)
        return NULL;
    reporter->config = *config;
    reporter->random = config->seed | 1; /* not 0 */
    reporter->is_first = true;
    reporter->previous_ns = now_ns;
    reporter->next_ns = now_ns + random_interval_ns(reporter);
    reporter->srtcp = bw_srtcp_new(config->srtp_profile, config->local_key);
    memset(reporter->config.local_key, 0, sizeof reporter->config.local_key);
    if (reporter->srtcp == NULL) {
        free(reporter);
        return NULL;
    }
    return reporter;
}

void bw_reporter_free(bw_reporter *reporter) {
    if (reporter == NULL)
        return;
    bw_srtcp_free(reporter->srtcp);
    free(reporter);
}
