/* platform.h for Windows 10 and newer: Winsock, waitable timers, the multimedia class scheduler. */
#ifdef _WIN32
#include "internal.h"

#include <avrt.h>
#include <malloc.h>
#include <mstcpip.h>
#include <timeapi.h>

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 0x2 /* Windows 10 1803 and newer */
#endif
#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif
#ifndef SIO_UDP_NETRESET
#define SIO_UDP_NETRESET _WSAIOW(IOC_VENDOR, 15)
#endif

#define CACHE_LINE_BYTES 64
#define RAISED_TIMER_MS 1
/* Each frame is one burst of a packet per player. The default of 64 KiB holds one for about 150 players. */
#define SEND_BUFFER_BYTES (1 << 20)
#define SEND_TRIES 50

int64_t bw_now_ns(void) {
    LARGE_INTEGER per_second, now;
    QueryPerformanceFrequency(&per_second);
    QueryPerformanceCounter(&now);
    int64_t seconds = now.QuadPart / per_second.QuadPart, rest = now.QuadPart % per_second.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / per_second.QuadPart;
}

int64_t bw_thread_time_ns(void) { return bw_now_ns(); }

bw_pacer bw_pacer_begin(void) {
    DWORD task_index = 0;
    bw_pacer pacer = {
        .task = AvSetMmThreadCharacteristicsW(L"Pro Audio", &task_index),
        .timer =
            CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_MODIFY_STATE | SYNCHRONIZE),
    };
    /* The scheduler for multimedia is a service, which an administrator may have stopped. */
    pacer.has_realtime_priority =
        pacer.task != NULL || SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_TIME_CRITICAL);
    if (pacer.timer == NULL)
        timeBeginPeriod(RAISED_TIMER_MS);
    return pacer;
}

static bool wait_for_timer(HANDLE timer, int64_t ns) {
    LARGE_INTEGER due = {.QuadPart = -((ns + 99) / 100)};
    return timer != NULL && SetWaitableTimer(timer, &due, 0, NULL, NULL, FALSE) &&
           WaitForSingleObject(timer, INFINITE) == WAIT_OBJECT_0;
}

void bw_pacer_sleep_until_ns(bw_pacer *pacer, int64_t deadline_ns) {
    for (int64_t left_ns; (left_ns = deadline_ns - bw_now_ns()) > 0;) {
        if (!wait_for_timer(pacer->timer, left_ns))
            Sleep((DWORD)((left_ns + 999999) / 1000000));
    }
}

void bw_pacer_end(bw_pacer *pacer) {
    if (pacer->timer != NULL)
        CloseHandle(pacer->timer);
    else
        timeEndPeriod(RAISED_TIMER_MS);
    if (pacer->task != NULL)
        AvRevertMmThreadCharacteristics(pacer->task);
}

void bw_block_signals(void) {}

void bw_name_thread(const char *name) {
    typedef HRESULT(WINAPI * set_description)(HANDLE, PCWSTR);
    /* Windows 10 1607 and newer. The name is ASCII. */
    set_description set =
        (set_description)(void *)GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "SetThreadDescription");
    wchar_t text[16] = {0};
    for (size_t i = 0; i < 15 && name[i] != '\0'; i++)
        text[i] = (wchar_t)name[i];
    if (set != NULL)
        set(GetCurrentThread(), text);
}

void bw_exit_simply_in_children(void) {}

/* ---- wake-ups: WSAPoll and Python's select wait for sockets only */

/* Returns a UDP socket on a free port of the loopback interface, and its address. */
static SOCKET open_on_loopback(struct sockaddr_in *address) {
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int length = sizeof *address;
    BOOL on = TRUE;
    SOCKET opened = WSASocketW(AF_INET, SOCK_DGRAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (opened == INVALID_SOCKET)
        return INVALID_SOCKET;
    if (setsockopt(opened, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (char *)&on, sizeof on) == 0 &&
        bind(opened, (struct sockaddr *)address, length) == 0 &&
        getsockname(opened, (struct sockaddr *)address, &length) == 0 && bw_prepare_socket((int)opened))
        return opened;
    closesocket(opened);
    return INVALID_SOCKET;
}

/* Two sockets that are connected to each other, so neither receives from anybody else. */
bool bw_wake_init(bw_wake *wake) {
    struct sockaddr_in reading, writing;
    WSADATA ignored;
    wake->read_descriptor = wake->write_descriptor = -1;
    if (WSAStartup(MAKEWORD(2, 2), &ignored) != 0)
        return false;
    SOCKET reader = open_on_loopback(&reading), writer = open_on_loopback(&writing);
    if (reader != INVALID_SOCKET && writer != INVALID_SOCKET &&
        connect(reader, (struct sockaddr *)&writing, sizeof writing) == 0 &&
        connect(writer, (struct sockaddr *)&reading, sizeof reading) == 0) {
        wake->read_descriptor = (int)reader;
        wake->write_descriptor = (int)writer;
        return true;
    }
    closesocket(reader);
    closesocket(writer);
    WSACleanup();
    return false;
}

void bw_wake_destroy(bw_wake *wake) {
    if (wake->read_descriptor >= 0) {
        closesocket(wake->read_descriptor);
        closesocket(wake->write_descriptor);
        WSACleanup();
    }
    wake->read_descriptor = wake->write_descriptor = -1;
}

/* A failed send means that the reader's buffer is full, hence it is already readable. */
void bw_wake_signal(bw_wake *wake) { send(wake->write_descriptor, "", 1, 0); }

void bw_wake_clear(bw_wake *wake) {
    char drained[1];
    while (recv(wake->read_descriptor, drained, sizeof drained, 0) > 0) {
    }
}

/* ---- sockets */

int bw_poll(struct pollfd *descriptors, uint32_t count, int timeout_ms) {
    int ready = WSAPoll(descriptors, count, timeout_ms);
    /* Unlike poll, it can go on failing (WSAENETDOWN, WSAENOBUFS), and callers try again. */
    if (ready == SOCKET_ERROR)
        Sleep(1);
    return ready;
}

/* Returns false when the socket does not know this option. */
static bool switch_off(int descriptor, DWORD option) {
    BOOL off = FALSE;
    DWORD returned;
    return WSAIoctl(descriptor, option, &off, sizeof off, NULL, 0, &returned, NULL, NULL) == 0;
}

bool bw_prepare_socket(int descriptor) {
    u_long on = 1;
    int bytes = SEND_BUFFER_BYTES;
    if (ioctlsocket(descriptor, FIONBIO, &on) != 0)
        return false;
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, (char *)&bytes, sizeof bytes);
    /* Otherwise an ICMP message about a datagram sent earlier ("port unreachable", "TTL expired") makes receiving
     * fail. */
    switch_off(descriptor, SIO_UDP_CONNRESET);
    switch_off(descriptor, SIO_UDP_NETRESET);
    return true;
}

/* One call per datagram. Registered I/O works only on sockets that were created for it, and ours are created by Python
 * or by the host program. */
/* Wine refuses a datagram while another thread sends one on the same socket (WSAEWOULDBLOCK), Windows only when the buffer
 * is full. */
static bool send_one(int descriptor, const struct msghdr *message) {
    for (int tries = 0; tries < SEND_TRIES; tries++) {
        if (sendto(descriptor, message->msg_iov->iov_base, (int)message->msg_iov->iov_len, 0, message->msg_name,
                   message->msg_namelen) != SOCKET_ERROR)
            return true;
        if (WSAGetLastError() != WSAEWOULDBLOCK)
            return false;
        SwitchToThread();
    }
    return false;
}

int bw_send_batch(int descriptor, struct mmsghdr *messages, unsigned int count) {
    for (unsigned int i = 0; i < count; i++) {
        if (!send_one(descriptor, &messages[i].msg_hdr))
            return i ? (int)i : -1;
    }
    return (int)count;
}

int bw_receive_batch(int descriptor, struct mmsghdr *messages, unsigned int count) {
    for (unsigned int i = 0; i < count; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        int room = (int)message->msg_iov->iov_len;
        int length =
            recvfrom(descriptor, message->msg_iov->iov_base, room, 0, message->msg_name, &message->msg_namelen);
        if (length == SOCKET_ERROR && WSAGetLastError() == WSAEMSGSIZE)
            length = room;
        if (length == SOCKET_ERROR)
            return i ? (int)i : -1;
        messages[i].msg_len = (unsigned int)length;
    }
    return (int)count;
}

void *bw_allocate_aligned(size_t bytes) { return _aligned_malloc(bytes, CACHE_LINE_BYTES); }

void bw_free_aligned(void *memory) { _aligned_free(memory); }

#endif
