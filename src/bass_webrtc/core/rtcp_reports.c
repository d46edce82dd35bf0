#include "rtcp_reports.h"

#include "byte_order.h"
#include "ntp_time.h"

#define HEADER_BYTES 4
#define SSRC_BYTES 4
#define BLOCK_BYTES 24
#define MAX_PACKETS 16 /* as in rtc/rtcp_packets.py */
#define RECEIVER_REPORT 201
#define SOURCE_DESCRIPTION 202
#define EXTENDED_REPORT 207
#define VERSION_AND_PADDING 0xE0
#define VERSION_2 0x80
#define COUNT 0x1F
#define READ_ATTEMPTS 1000
#define SECOND_NS 1000000000

/* ---- parsing */

static bw_report_block read_block(const uint8_t *at, uint32_t reporter) {
    return (bw_report_block){
        .reporter = reporter,
        .fraction_lost = at[4],
        .packets_lost = (int32_t)(bw_read_u32(at + 4) << 8) >> 8, /* 24 bits, signed */
        .highest_sequence = bw_read_u32(at + 8),
        .jitter = bw_read_u32(at + 12),
        .last_sr = bw_read_u32(at + 16),
        .delay_since_last_sr = bw_read_u32(at + 20),
    };
}

/* Reads the block about the SSRC, unless an earlier report had one. Returns false for a malformed report. */
static bool read_report(bw_report_block *block, bool *is_found, const uint8_t *packet, uint32_t bytes, uint32_t ssrc) {
    uint32_t count = packet[0] & COUNT;
    if (bytes != HEADER_BYTES + SSRC_BYTES + count * BLOCK_BYTES)
        return false; /* too short, or with an extension */
    const uint8_t *at = packet + HEADER_BYTES + SSRC_BYTES;
    for (uint32_t i = 0; i < count && !*is_found; i++, at += BLOCK_BYTES) {
        *is_found = bw_read_u32(at) == ssrc;
        if (*is_found)
            *block = read_block(at, bw_read_u32(packet + HEADER_BYTES));
    }
    return true;
}

bool bw_report_parse(bw_report_block *block, const uint8_t *data, uint32_t length, uint32_t ssrc) {
    bool is_found = false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < MAX_PACKETS && at < length; i++) {
        if (length - at < HEADER_BYTES || (data[at] & VERSION_AND_PADDING) != VERSION_2)
            return false;
        uint32_t bytes = HEADER_BYTES + 4 * bw_read_u16(data + at + 2);
        uint8_t kind = data[at + 1];
        if (bytes > length - at)
            return false;
        if (kind == RECEIVER_REPORT ? !read_report(block, &is_found, data + at, bytes, ssrc)
                                    : kind != SOURCE_DESCRIPTION && kind != EXTENDED_REPORT)
            return false;
        at += bytes;
    }
    return is_found && at == length;
}

/* ---- keeping */

static void store(_Atomic uint32_t *to, uint32_t value) { atomic_store_explicit(to, value, memory_order_relaxed); }

static uint32_t load(_Atomic uint32_t *from) { return atomic_load_explicit(from, memory_order_relaxed); }

static void write_kept(bw_reports *reports, const bw_report_block *block, int64_t now_ns) {
    uint32_t version = load(&reports->version);
    store(&reports->version, version + 1);
    atomic_thread_fence(memory_order_release);
    store(&reports->kept, load(&reports->kept) + 1);
    store(&reports->reporter, block->reporter);
    store(&reports->highest, block->highest_sequence);
    store(&reports->jitter, block->jitter);
    store(&reports->last_sr, block->last_sr);
    store(&reports->delay_since_last_sr, block->delay_since_last_sr);
    atomic_store_explicit(&reports->packets_lost, block->packets_lost, memory_order_relaxed);
    atomic_store_explicit(&reports->time_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&reports->version, version + 2, memory_order_release);
}

static bool is_late(const bw_kept_config *config, const bw_report_block *block, int64_t now_ns) {
    if (block->last_sr == 0)
        return false;
    uint32_t now = bw_ntp_middle(bw_ntp_time(config->unix_epoch_ns + now_ns));
    int32_t round_trip = (int32_t)(now - block->last_sr - block->delay_since_last_sr); /* in 1/65536 s */
    return round_trip * (int64_t)SECOND_NS / 65536 >= config->late_ns;
}

void bw_reports_begin(bw_reports *reports, const bw_kept_config *config) {
    reports->config = *config;
    reports->is_keeping = reports->forwarded == config->seen;
}

bool bw_reports_keep(bw_reports *reports, const uint8_t *data, uint32_t length, int64_t now_ns) {
    bw_report_block block;
    if (reports->config.ssrc == 0 || !bw_report_parse(&block, data, length, reports->config.ssrc))
        return false;
    bool shows_progress = block.highest_sequence > reports->highest_sequence;
    reports->highest_sequence = block.highest_sequence;
    if (!reports->is_keeping || block.fraction_lost != 0 || !shows_progress)
        return false;
    if (is_late(&reports->config, &block, now_ns))
        return false;
    write_kept(reports, &block, now_ns);
    return true;
}

void bw_reports_forwarded(bw_reports *reports) {
    reports->forwarded++;
    reports->is_keeping = false;
}

bool bw_reports_read(bw_reports *reports, bw_kept_reports *kept) {
    for (int i = 0; i < READ_ATTEMPTS; i++) {
        uint32_t version = atomic_load_explicit(&reports->version, memory_order_acquire);
        *kept = (bw_kept_reports){
            .count = load(&reports->kept),
            .reporter = load(&reports->reporter),
            .packets_lost = atomic_load_explicit(&reports->packets_lost, memory_order_relaxed),
            .highest_sequence = load(&reports->highest),
            .jitter = load(&reports->jitter),
            .last_sr = load(&reports->last_sr),
            .delay_since_last_sr = load(&reports->delay_since_last_sr),
            .time_ns = atomic_load_explicit(&reports->time_ns, memory_order_relaxed),
        };
        atomic_thread_fence(memory_order_acquire);
        if (version % 2 == 0 && load(&reports->version) == version)
            return true;
    }
    return false;
}

void bw_reports_reset(bw_reports *reports) {
    reports->is_keeping = false;
    reports->config = (bw_kept_config){0};
    reports->forwarded = reports->highest_sequence = 0;
    store(&reports->kept, 0);
}
