/*
 * What differs between operating systems: clock, sleep, priority, wake-ups, batches of datagrams.
 * Linux has the fast calls; other POSIX systems the plain ones.
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

/* CLOCK_MONOTONIC. */
int64_t bw_now_ns(void);

/* Sleeps until an absolute CLOCK_MONOTONIC time, whatever signals come. */
void bw_sleep_until_ns(int64_t deadline_ns);

/* Of the calling thread. True when the system granted it. */
bool bw_request_realtime(void);

/* Blocks all signals in the calling thread: they are the host program's business. */
void bw_block_signals(void);

/* One end is polled, the other is written from any thread without ever blocking. */
typedef struct {
    int read_descriptor;
    int write_descriptor;
} bw_wake;

bool bw_wake_init(bw_wake *wake);
void bw_wake_destroy(bw_wake *wake);
void bw_wake_signal(bw_wake *wake);
void bw_wake_clear(bw_wake *wake);

/* Both return the number of datagrams, or -1 with errno when not even the first went. Never block. */
int bw_send_batch(int descriptor, struct mmsghdr *messages, unsigned int count);
int bw_receive_batch(int descriptor, struct mmsghdr *messages, unsigned int count);

#endif
