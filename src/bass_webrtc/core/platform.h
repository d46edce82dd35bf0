/*
 * Operating system differences: clock, sleep, priority, wake-ups, batches of datagrams. Linux uses its batch and
 * absolute sleep calls; other POSIX systems use the portable ones.
 */
#ifndef BW_PLATFORM_H
#define BW_PLATFORM_H

#ifdef __linux__
#define BW_HAVE_MMSG 1
#endif

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef BW_HAVE_MMSG
struct mmsghdr {
    struct msghdr msg_hdr;
    unsigned int msg_len;
};
#endif

/* CLOCK_MONOTONIC, in nanoseconds. */
int64_t bw_now_ns(void);

/* Sleeps until an absolute CLOCK_MONOTONIC time; resumes after signals. */
void bw_sleep_until_ns(int64_t deadline_ns);

/* Requests real-time priority for the calling thread. Returns true when the system granted it. */
bool bw_request_realtime(void);

/* Blocks all signals in the calling thread, so that the host program's own threads handle them. */
void bw_block_signals(void);

/* A wake-up descriptor: one end is polled; any thread writes to the other without blocking. */
typedef struct {
    int read_descriptor;
    int write_descriptor;
} bw_wake;

bool bw_wake_init(bw_wake *wake);
void bw_wake_destroy(bw_wake *wake);
void bw_wake_signal(bw_wake *wake);
void bw_wake_clear(bw_wake *wake);

/* Both never block. They return the number of datagrams, or -1 with errno when the first one failed. */
int bw_send_batch(int descriptor, struct mmsghdr *messages, unsigned int count);
int bw_receive_batch(int descriptor, struct mmsghdr *messages, unsigned int count);

#endif
