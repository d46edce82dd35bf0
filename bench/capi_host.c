/*
 * A host program like those of the C library's users: serves a BASS channel, runs threads of its own, and reads
 * statistics continuously.
 *
 *     capi_host ADDRESS    prints "MS MS PORT": time until BASS_WEBRTC_Create and BASS_WEBRTC_Start returned, and the
 *                          port; then answers commands, one line each:
 *         busy N           "busy N"; N threads compute continuously
 *         ask N            "P50 P99 MAX": nanoseconds of N calls of BASS_WEBRTC_GetStats
 */
#define _GNU_SOURCE /* for clock_gettime */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bass_functions.h"

#include "bass_webrtc.h"

#include "tone.h"

#define MAX_BUSY 16

static volatile int busy;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *compute(void *number) {
    volatile double sum = 0.0;
    while ((intptr_t)number < busy)
        sum += 1.0 / (1.0 + sum);
    return NULL;
}

static void set_busy(int wanted) {
    int from = busy;
    busy = wanted < MAX_BUSY ? wanted : MAX_BUSY;
    for (intptr_t i = from; i < busy; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, compute, (void *)i) == 0)
            pthread_detach(thread);
    }
    printf("busy %d\n", busy);
}

static int compare(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static void ask(void *server, int times) {
    int64_t *took_ns = (int64_t *)calloc((size_t)times, sizeof *took_ns);
    for (int i = 0; took_ns != NULL && i < times; i++) {
        WebRtcStatsFFI stats;
        int64_t start_ns = now_ns();
        BASS_WEBRTC_GetStats(server, &stats);
        took_ns[i] = now_ns() - start_ns;
    }
    if (took_ns == NULL)
        return;
    qsort(took_ns, (size_t)times, sizeof *took_ns, compare);
    printf("%lld %lld %lld\n", (long long)took_ns[times / 2], (long long)took_ns[(int64_t)times * 99 / 100],
           (long long)took_ns[times - 1]);
    free(took_ns);
}

int main(int argc, char **argv) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 50, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
    char line[64];
    int number;
    if (argc != 2 || !BASS_Init(0, 48000, 0, NULL, NULL))
        return 2;
    int64_t start_ns = now_ns();
    void *server = BASS_WEBRTC_Create(open_tone(), &config);
    int64_t created_ns = now_ns();
    if (!BASS_WEBRTC_SetAddress(server, argv[1], 0, NULL) || !BASS_WEBRTC_Start(server)) {
        fprintf(stderr, "%s\n", BASS_WEBRTC_ErrorGetMessage());
        return 1;
    }
    printf("%.1f %.1f %u\n", (double)(created_ns - start_ns) / 1e6, (double)(now_ns() - start_ns) / 1e6,
           (unsigned)BASS_WEBRTC_GetPort(server));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "busy %d", &number) == 1)
            set_busy(number);
        else if (sscanf(line, "ask %d", &number) == 1 && number > 0)
            ask(server, number);
        fflush(stdout);
    }
    return !BASS_WEBRTC_Free(server);
}
