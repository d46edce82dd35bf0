/* platform.h for Linux and other POSIX systems. */
#ifndef _WIN32
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

/* Above normal threads, below audio servers and drivers (JACK: 10 and up, kernel threads: 50). */
#define REALTIME_PRIORITY 8
#define CACHE_LINE_BYTES 64

/* The clock of Python's time.perf_counter. On macOS it stops while the machine sleeps; CLOCK_MONOTONIC does not. */
#ifdef __APPLE__
#define PERF_COUNTER_CLOCK CLOCK_UPTIME_RAW
#else
#define PERF_COUNTER_CLOCK CLOCK_MONOTONIC
#endif

int64_t bw_now_ns(void) {
    struct timespec now;
    clock_gettime(PERF_COUNTER_CLOCK, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t bw_thread_time_ns(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

static struct timespec to_timespec(int64_t ns) {
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

static bool request_realtime(void) {
    struct sched_param parameters = {.sched_priority = REALTIME_PRIORITY};
    int policy = SCHED_FIFO;
#ifdef SCHED_RESET_ON_FORK
    policy |= SCHED_RESET_ON_FORK; /* A child that the host forks must not inherit real-time priority. */
#endif
    return pthread_setschedparam(pthread_self(), policy, &parameters) == 0 ||
           pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters) == 0;
}

bw_pacer bw_pacer_begin(void) { return (bw_pacer){.has_realtime_priority = request_realtime()}; }

void bw_pacer_sleep_until_ns(bw_pacer *pacer, int64_t deadline_ns) {
    (void)pacer;
#ifdef __linux__
    struct timespec deadline = to_timespec(deadline_ns);
    while (clock_nanosleep(PERF_COUNTER_CLOCK, TIMER_ABSTIME, &deadline, NULL) == EINTR) {
    }
#else
    for (int64_t left_ns = deadline_ns - bw_now_ns(); left_ns > 0; left_ns = deadline_ns - bw_now_ns()) {
        struct timespec left = to_timespec(left_ns);
        nanosleep(&left, NULL);
    }
#endif
}

void bw_pacer_end(bw_pacer *pacer) { (void)pacer; }

void bw_block_signals(void) {
    /* Raised by instructions of the thread itself. The system ends a process that blocks them, so that no crash handler
     * of the host runs. A virtual machine needs them for the code of a callback that BASS runs on this thread. */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t before, blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
#ifdef SIGRTMIN
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        if (!sigismember(&before, number))
            sigdelset(&blocked, number);
#endif
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
}

void bw_name_thread(const char *name) {
    char text[16]; /* what Linux accepts */
    snprintf(text, sizeof text, "%s", name);
#ifdef __APPLE__
    pthread_setname_np(text);
#else
    pthread_setname_np(pthread_self(), text);
#endif
}

#ifdef __GLIBC__

static pid_t parent;

static void exit_simply(int status, void *unused) {
    (void)unused;
    if (getpid() != parent) {
        fflush(NULL);
        _exit(status);
    }
}

void bw_exit_simply_in_children(void) {
    static atomic_flag registered = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&registered)) {
        parent = getpid();
        on_exit(exit_simply, NULL);
    }
}

#else

void bw_exit_simply_in_children(void) {}

#endif

#ifdef __linux__

bool bw_wake_init(bw_wake *wake) {
    wake->read_descriptor = wake->write_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return wake->read_descriptor >= 0;
}

void bw_wake_destroy(bw_wake *wake) {
    if (wake->read_descriptor >= 0)
        close(wake->read_descriptor);
    wake->read_descriptor = wake->write_descriptor = -1;
}

#else

bool bw_wake_init(bw_wake *wake) {
    int ends[2];
    wake->read_descriptor = wake->write_descriptor = -1;
    if (pipe(ends) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    }
    wake->read_descriptor = ends[0];
    wake->write_descriptor = ends[1];
    return true;
}

void bw_wake_destroy(bw_wake *wake) {
    if (wake->read_descriptor >= 0) {
        close(wake->read_descriptor);
        close(wake->write_descriptor);
    }
    wake->read_descriptor = wake->write_descriptor = -1;
}

#endif

void bw_wake_signal(bw_wake *wake) {
    /* An eventfd takes eight bytes. A failed write means it is full, hence already readable. */
    uint64_t one = 1;
    ssize_t written = write(wake->write_descriptor, &one, sizeof one);
    (void)written;
}

void bw_wake_clear(bw_wake *wake) {
    uint64_t drained[8];
    while (read(wake->read_descriptor, drained, sizeof drained) == (ssize_t)sizeof drained) {
    }
}

int bw_poll(struct pollfd *descriptors, uint32_t count, int timeout_ms) {
    return poll(descriptors, (nfds_t)count, timeout_ms);
}

bool bw_prepare_socket(int descriptor) { return descriptor >= 0; }

#ifdef BW_HAVE_MMSG

int bw_send_batch(int descriptor, struct mmsghdr *messages, unsigned int count) {
    for (;;) {
        int sent = sendmmsg(descriptor, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 || errno != EINTR)
            return sent;
    }
}

int bw_receive_batch(int descriptor, struct mmsghdr *messages, unsigned int count) {
    return recvmmsg(descriptor, messages, count, MSG_DONTWAIT, NULL);
}

#else

int bw_send_batch(int descriptor, struct mmsghdr *messages, unsigned int count) {
    for (unsigned int i = 0; i < count;) {
        if (sendmsg(descriptor, &messages[i].msg_hdr, MSG_DONTWAIT) >= 0)
            i++;
        else if (errno != EINTR)
            return i ? (int)i : -1;
    }
    return (int)count;
}

int bw_receive_batch(int descriptor, struct mmsghdr *messages, unsigned int count) {
    for (unsigned int i = 0; i < count; i++) {
        ssize_t length = recvmsg(descriptor, &messages[i].msg_hdr, MSG_DONTWAIT);
        if (length < 0)
            return i ? (int)i : -1;
        messages[i].msg_len = (unsigned int)length;
    }
    return (int)count;
}

#endif

void *bw_allocate_aligned(size_t bytes) {
    return aligned_alloc(CACHE_LINE_BYTES, (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES);
}

void bw_free_aligned(void *memory) { free(memory); }

#endif
