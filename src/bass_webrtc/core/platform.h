/*
 * Operating system differences: clock, sleep, priority, wake-ups, sockets, memory. platform_posix.c is for Linux, with
 * its batch and absolute sleep calls, and other POSIX systems; platform_windows.c for Windows 10 and newer.
 *
 * A descriptor is an int everywhere. On Windows it is a SOCKET, whose values fit.
 */
#ifndef BW_PLATFORM_H
#define BW_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOGDI /* has macros of common names, such as ERROR */
#include <winsock2.h>
#include <ws2tcpip.h>

struct iovec {
    void *iov_base;
    size_t iov_len;
};

struct msghdr {
    void *msg_name;
    socklen_t msg_namelen;
    struct iovec *msg_iov;
    size_t msg_iovlen; /* always 1 */
};
#else
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#endif

#ifdef __linux__
#define BW_HAVE_MMSG 1
#else
struct mmsghdr {
    struct msghdr msg_hdr;
    unsigned int msg_len;
};
#endif

/* Monotonic time in nanoseconds, from the clock of Python's time.perf_counter: CLOCK_MONOTONIC; on macOS
 * CLOCK_UPTIME_RAW, which is mach_absolute_time; on Windows the performance counter. */
int64_t bw_now_ns(void);

/* Processor time that the calling thread has used, so that other work on the machine does not count. On Windows, which
 * measures it in steps of 15 ms, the same as bw_now_ns. */
int64_t bw_thread_time_ns(void);

/* The priority and the timer of one thread with deadlines. Its functions are called by that thread only. */
typedef struct {
    bool has_realtime_priority; /* the system granted it */
#ifdef _WIN32
    void *task;  /* of the multimedia class scheduler; NULL: not granted */
    void *timer; /* NULL: none of high resolution, so the system's timer was raised to 1 ms */
#endif
} bw_pacer;

bw_pacer bw_pacer_begin(void);
/* Sleeps until an absolute time of bw_now_ns, never less; resumes after signals. */
void bw_pacer_sleep_until_ns(bw_pacer *pacer, int64_t deadline_ns);
void bw_pacer_end(bw_pacer *pacer);

/* Blocks all signals but faults in the calling thread, so that the host program's own threads handle them. Real-time
 * signals stay as in the thread that started it: a runtime, as Mono's, may stop threads with them. */
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

/* poll. A negative timeout waits without limit. */
int bw_poll(struct pollfd *descriptors, uint32_t count, int timeout_ms);

/* Call it once for each UDP socket before the two functions below use it. Returns false when it is not a socket. */
bool bw_prepare_socket(int descriptor);

/* Neither blocks. Both return the number of datagrams, or -1 when the first one failed. A received datagram that is
 * longer than its buffer fills it. */
int bw_send_batch(int descriptor, struct mmsghdr *messages, unsigned int count);
int bw_receive_batch(int descriptor, struct mmsghdr *messages, unsigned int count);

/* Memory that shares no cache line with other memory, not initialized. Returns NULL when out of memory. */
void *bw_allocate_aligned(size_t bytes);
void bw_free_aligned(void *memory);

#endif
