/* NTP time (RFC 3550, 4): seconds since 1900 in the upper 32 bits, the fraction in the lower ones. */
#ifndef BW_NTP_TIME_H
#define BW_NTP_TIME_H

#include <stdint.h>

static inline uint64_t bw_ntp_time(int64_t unix_ns) {
    const uint64_t second_ns = 1000000000, seconds_1900_to_1970 = 2208988800;
    uint64_t seconds = (uint64_t)unix_ns / second_ns, rest = (uint64_t)unix_ns % second_ns;
    return (seconds + seconds_1900_to_1970) << 32 | (rest << 32) / second_ns;
}

/* The format of LSR and DLSR (RFC 3550, 6.4.1): in 1/65536 s. */
static inline uint32_t bw_ntp_middle(uint64_t ntp) { return (uint32_t)(ntp >> 16); }

#endif
