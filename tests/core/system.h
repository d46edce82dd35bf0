/* What the C tests need of the operating system beyond platform.h. */
#ifndef BW_SYSTEM_H
#define BW_SYSTEM_H

#include "../../src/bass_webrtc/core/internal.h"
#include "check.h"

#ifdef _WIN32

/* For tests whose first socket is older than their first engine. */
__attribute__((constructor)) static void start_winsock(void) {
    WSADATA ignored;
    WSAStartup(MAKEWORD(2, 2), &ignored);
}

static inline void close_socket(int descriptor) { closesocket(descriptor); }

static inline void set_receive_timeout(int descriptor, int seconds) {
    DWORD timeout_ms = (DWORD)seconds * 1000;
    CHECK_EQ(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, (char *)&timeout_ms, sizeof timeout_ms), 0);
}

/* Open handles of this process, sockets included. */
static inline int count_handles(void) {
    DWORD count = 0;
    CHECK(GetProcessHandleCount(GetCurrentProcess(), &count));
    return (int)count;
}

#else

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

static inline void close_socket(int descriptor) { close(descriptor); }

static inline void set_receive_timeout(int descriptor, int seconds) {
    struct timeval timeout = {.tv_sec = seconds};
    CHECK_EQ(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);
}

/* Open file descriptors of this process. */
static inline int count_handles(void) {
    int count = 0;
    for (int descriptor = 0; descriptor < 1024; descriptor++)
        count += fcntl(descriptor, F_GETFD) >= 0;
    return count;
}

#endif

static inline bool send_to(int descriptor, const void *data, size_t length, const bw_address *to) {
    struct sockaddr_storage name;
    socklen_t name_length = bw_address_to_sockaddr(to, &name);
    return sendto(descriptor, data, length, 0, (struct sockaddr *)&name, name_length) == (int)length;
}

static inline bool is_readable(int descriptor, int timeout_ms) {
    struct pollfd ready = {.fd = descriptor, .events = POLLIN};
    return bw_poll(&ready, 1, timeout_ms) == 1;
}

#endif
