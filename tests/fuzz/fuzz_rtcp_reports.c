/* Fuzzer: any bytes as RTCP. A report that is kept must be the one that can be read. */
#include "rtcp_reports.h"

#include <assert.h>
#include <stddef.h>

#define SSRC 0x41414141u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bw_report_block block;
    bw_reports reports = {0};
    bw_kept_reports kept;
    bool is_plain = bw_report_parse(&block, data, (uint32_t)size, SSRC);
    bw_reports_begin(&reports, &(bw_kept_config){.ssrc = SSRC, .late_ns = INT64_MAX});
    bool is_kept = bw_reports_keep(&reports, data, (uint32_t)size, 1);
    assert(bw_reports_read(&reports, &kept) && kept.count == is_kept);
    assert(is_kept == (is_plain && block.fraction_lost == 0 && block.highest_sequence > 0));
    assert(!is_kept || kept.highest_sequence == block.highest_sequence);
    assert(!is_plain || (block.packets_lost >= -0x800000 && block.packets_lost <= 0x7FFFFF));
    return 0;
}
