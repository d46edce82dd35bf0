/*
 * The least that a sender to N listeners can cost: a loop that encrypts the packets of each tick with AES-128-GCM and
 * sends them in batches, as the product's sender thread does, and does nothing else. It encodes nothing, receives
 * nothing and has no other thread.
 *
 *     limit_loop ADDRESS      prints the UDP port that it sends from; then takes commands, one line each:
 *         peer ADDRESS PORT   add a listener; no answer
 *         report              "LATE" and the lateness of each tick's last packet in microseconds, since the last report;
 *                             LATE is how many were over 20 ms late
 */
#define _GNU_SOURCE /* for sendmmsg */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#define TICK_NS INT64_C(20000000)
#define TICK_SAMPLES 960
#define BATCH_PACKETS 64 /* the product's */
#define HEADER_BYTES 12
#define PAYLOAD_BYTES 320 /* Opus, 128 kbit/s, 20 ms */
#define TAG_BYTES 16
#define KEY_BYTES 16
#define IV_BYTES 12
#define PACKET_BYTES (HEADER_BYTES + PAYLOAD_BYTES + TAG_BYTES)
#define PAYLOAD_TYPE 111
#define MAX_PEERS 4096
#define MAX_TICKS 3000      /* of one report */
#define REALTIME_PRIORITY 8 /* the product's */

typedef struct {
    struct sockaddr_in address;
    EVP_CIPHER_CTX *cipher; /* keyed once */
    uint8_t salt[IV_BYTES];
    uint32_t ssrc;
    uint64_t index;
} peer;

static peer peers[MAX_PEERS];
static int peer_count;
static int descriptor;
static uint8_t payload[PAYLOAD_BYTES];
static int32_t late_us[MAX_TICKS];
static int ticks, late;

static struct {
    unsigned int count;
    struct mmsghdr messages[BATCH_PACKETS];
    struct iovec vectors[BATCH_PACKETS];
    uint8_t packets[BATCH_PACKETS][PACKET_BYTES];
} batch;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void require(bool done, const char *what) {
    if (!done) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_until_ns(int64_t deadline_ns) {
    struct timespec deadline = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) == EINTR) {
    }
}

/* ---- packets */

static void put(uint8_t *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

/* RFC 7714, 8.1 */
static void make_iv(const peer *peer, uint8_t iv[IV_BYTES]) {
    put(iv, 0, 2);
    put(iv + 2, peer->ssrc, 4);
    put(iv + 6, peer->index, 6);
    for (int i = 0; i < IV_BYTES; i++)
        iv[i] ^= peer->salt[i];
}

static void write_packet(peer *peer, uint32_t timestamp, uint8_t *packet) {
    uint8_t iv[IV_BYTES];
    uint8_t *body = packet + HEADER_BYTES;
    int written = 0;
    packet[0] = 0x80;
    packet[1] = PAYLOAD_TYPE;
    put(packet + 2, peer->index, 2);
    put(packet + 4, timestamp, 4);
    put(packet + 8, peer->ssrc, 4);
    memcpy(body, payload, PAYLOAD_BYTES);
    make_iv(peer, iv);
    require(EVP_EncryptInit_ex(peer->cipher, NULL, NULL, NULL, iv) == 1 &&
                EVP_EncryptUpdate(peer->cipher, NULL, &written, packet, HEADER_BYTES) == 1 &&
                EVP_EncryptUpdate(peer->cipher, body, &written, body, PAYLOAD_BYTES) == 1 &&
                EVP_EncryptFinal_ex(peer->cipher, body + PAYLOAD_BYTES, &written) == 1 &&
                EVP_CIPHER_CTX_ctrl(peer->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, body + PAYLOAD_BYTES) == 1,
            "AES-GCM");
    peer->index++;
}

static void flush(void) {
    unsigned int done = 0;
    while (done < batch.count) {
        int sent = sendmmsg(descriptor, batch.messages + done, batch.count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            done += (unsigned int)sent;
        } else if (errno != EINTR) {
            done++; /* Not accepted: it is missing at its receiver. */
        }
    }
    batch.count = 0;
}

static void send_tick(uint32_t timestamp) {
    for (int i = 0; i < peer_count; i++) {
        unsigned int at = batch.count++;
        write_packet(&peers[i], timestamp, batch.packets[at]);
        batch.vectors[at] = (struct iovec){batch.packets[at], PACKET_BYTES};
        batch.messages[at].msg_hdr = (struct msghdr){.msg_name = &peers[i].address,
                                                     .msg_namelen = sizeof peers[i].address,
                                                     .msg_iov = &batch.vectors[at],
                                                     .msg_iovlen = 1};
        if (batch.count == BATCH_PACKETS)
            flush();
    }
    flush();
}

/* ---- commands */

static struct sockaddr_in read_address(const char *host, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    require(inet_pton(AF_INET, host, &address.sin_addr) == 1, "reading an IPv4 address");
    return address;
}

static void add_peer(const char *host, uint16_t port) {
    uint8_t key[KEY_BYTES];
    peer *added = &peers[peer_count];
    require(peer_count < MAX_PEERS, "adding a peer");
    added->address = read_address(host, port);
    added->cipher = EVP_CIPHER_CTX_new();
    require(RAND_bytes(key, sizeof key) == 1 && RAND_bytes(added->salt, sizeof added->salt) == 1 &&
                RAND_bytes((uint8_t *)&added->ssrc, sizeof added->ssrc) == 1 && added->cipher != NULL &&
                EVP_EncryptInit_ex(added->cipher, EVP_aes_128_gcm(), NULL, key, NULL) == 1,
            "keying a peer");
    peer_count++;
}

static void report(void) {
    printf("%d", late);
    for (int i = 0; i < ticks; i++)
        printf(" %d", late_us[i]);
    printf("\n");
    fflush(stdout);
    ticks = late = 0;
}

static void take_command(const char *line) {
    char host[64];
    uint16_t port;
    if (sscanf(line, "peer %63s %" SCNu16, host, &port) == 2)
        add_peer(host, port);
    else if (strcmp(line, "report") == 0)
        report();
    else
        require(false, "reading a command");
}

/* Takes the commands that have come, without waiting; returns false when the input has ended. */
static bool take_commands(void) {
    static char input[4096];
    static size_t kept;
    char *line = input, *end;
    ssize_t got = read(STDIN_FILENO, input + kept, sizeof input - 1 - kept);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    input[kept + (size_t)got] = 0;
    for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        take_command(line);
    }
    kept = strlen(line);
    memmove(input, line, kept);
    return true;
}

/* ---- ticks */

static void record_lateness(int64_t late_ns) {
    if (ticks < MAX_TICKS)
        late_us[ticks++] = (int32_t)(late_ns / 1000);
    late += late_ns > TICK_NS;
}

int main(int argc, char **argv) {
    struct sched_param priority = {.sched_priority = REALTIME_PRIORITY};
    struct sockaddr_in own;
    socklen_t length = sizeof own;
    if (argc != 2)
        return 2;
    own = read_address(argv[1], 0);
    descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&own, sizeof own) != 0 ||
        getsockname(descriptor, (struct sockaddr *)&own, &length) != 0 || fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) != 0)
        fail("socket");
    require(RAND_bytes(payload, sizeof payload) == 1, "RAND_bytes");
    /* Without permission it runs at normal priority, as the product does. */
    (void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
    printf("%u\n", (unsigned)ntohs(own.sin_port));
    fflush(stdout);
    int64_t deadline_ns = now_ns();
    for (uint32_t timestamp = 0; take_commands(); timestamp += TICK_SAMPLES) {
        deadline_ns += TICK_NS;
        sleep_until_ns(deadline_ns);
        send_tick(timestamp);
        record_lateness(now_ns() - deadline_ns);
    }
    return 0;
}
