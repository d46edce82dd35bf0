/* Assertions for the C programs of this folder. The first one that fails aborts the program. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bass_webrtc.h"

#define DEADLINE_MS 30000

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: check failed: %s (error %d: %s)\n", __FILE__, __LINE__, #condition,                \
                    BASS_WEBRTC_ErrorGetCode(), BASS_WEBRTC_ErrorGetMessage());                                        \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The call returns 0, and sets this error code and a message. */
#define CHECK_FAILS(call, wanted)                                                                                      \
    do {                                                                                                               \
        CHECK(!(call));                                                                                                \
        CHECK(BASS_WEBRTC_ErrorGetCode() == (wanted));                                                                 \
        CHECK(BASS_WEBRTC_ErrorGetMessage()[0] != '\0');                                                               \
    } while (0)

/* The call does not return 0, and clears the error. */
#define CHECK_WORKS(call)                                                                                              \
    do {                                                                                                               \
        CHECK(call);                                                                                                   \
        CHECK(BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);                                                           \
        CHECK(BASS_WEBRTC_ErrorGetMessage()[0] == '\0');                                                               \
    } while (0)

/* Waits until another thread makes the condition true. The deadline is generous, so that a loaded machine keeps it. */
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        for (int waited = 0; !(condition); waited++) {                                                                 \
            CHECK(waited < DEADLINE_MS / 10);                                                                          \
            nap_10ms();                                                                                                \
        }                                                                                                              \
    } while (0)

typedef struct {
    const char *name;
    void (*run)(void);
} test_case;

/* Runs the case of this name, if there is one, and prints "passed". For main. */
static inline int run_case(const char *name, const test_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, cases[i].name) == 0)
            cases[i].run();
    printf("passed\n");
    return 0;
}

static inline void nap_10ms(void) {
    struct timespec ten_ms = {0, 10000000};
    nanosleep(&ten_ms, NULL);
}

#endif
