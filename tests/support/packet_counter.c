/*
 * Counts the RTP of hundreds of players, so that what listens costs little beside what is measured. One call waits on
 * an epoll descriptor, takes what is there, counts RTP by sequence number and hands everything else to the caller.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 16
#define DATAGRAM_BYTES 2048

/* One per file descriptor. Times are CLOCK_MONOTONIC. */
typedef struct {
    uint64_t packets;
    uint64_t duplicates;
    int64_t first_sequence;
    int64_t highest; /* extended over wraps */
    int64_t first_ns;
    int64_t last_ns;
    int64_t longest_gap_ns;
    uint32_t ssrc;
} counter;

/* Something that is not RTP. Length -1: the descriptor is the caller's own, and readable. */
typedef struct {
    int32_t descriptor;
    int32_t length;
    uint8_t data[DATAGRAM_BYTES];
} other;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void count(counter *counter, const uint8_t *packet, int64_t at_ns) {
    int64_t sequence = packet[2] << 8 | packet[3];
    if (counter->packets == 0) {
        counter->first_sequence = counter->highest = sequence;
        counter->first_ns = at_ns;
        memcpy(&counter->ssrc, packet + 8, 4);
    } else {
        int16_t step = (int16_t)(sequence - counter->highest);
        if (step > 0) {
            counter->highest += step;
        } else if (step == 0) {
            counter->duplicates++;
        }
        if (at_ns - counter->last_ns > counter->longest_gap_ns) {
            counter->longest_gap_ns = at_ns - counter->last_ns;
        }
    }
    counter->packets++;
    counter->last_ns = at_ns;
}

static int is_rtp(const uint8_t *data, unsigned length) {
    return length >= 12 && data[0] >> 6 == 2 && (data[1] < 192 || data[1] > 223);
}

/* Takes one batch from a player's socket; returns how many others it wrote. */
static int drain(int descriptor, counter *counter, other *others, int room) {
    static uint8_t buffers[BATCH][DATAGRAM_BYTES];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    int limit = room < BATCH ? room : BATCH, written = 0;
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < limit; i++) {
        parts[i] = (struct iovec){buffers[i], DATAGRAM_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int received = recvmmsg(descriptor, messages, (unsigned)limit, MSG_DONTWAIT, NULL);
    int64_t at_ns = now_ns();
    for (int i = 0; i < received; i++) {
        if (is_rtp(buffers[i], messages[i].msg_len)) {
            count(counter, buffers[i], at_ns);
        } else {
            others[written].descriptor = descriptor;
            others[written].length = (int32_t)messages[i].msg_len;
            memcpy(others[written++].data, buffers[i], messages[i].msg_len);
        }
    }
    return written;
}

/* Counts for timeout_ms, or until there is something else. `counters` and `own` are indexed by descriptor; `own` tells
 * the caller's own from players'. Returns how many others there are, at most `capacity`. */
int count_packets(int epoll, int timeout_ms, counter *counters, const uint8_t *own, other *others, int capacity) {
    struct epoll_event events[64];
    int written = 0;
    int64_t end_ns = now_ns() + timeout_ms * (int64_t)1000000;
    do {
        int ready = epoll_wait(epoll, events, 64, timeout_ms);
        for (int i = 0; i < ready && written + BATCH <= capacity; i++) {
            int descriptor = events[i].data.fd;
            if (own[descriptor]) {
                others[written].descriptor = descriptor;
                others[written++].length = -1;
            } else {
                written += drain(descriptor, &counters[descriptor], others + written, capacity - written);
            }
        }
        timeout_ms = (int)((end_ns - now_ns()) / 1000000);
    } while (written == 0 && timeout_ms > 0);
    return written;
}
