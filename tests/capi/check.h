/* Checks for the C programs of this folder: the first that fails ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bass_webrtc.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s (error %d: %s)\n", __FILE__, __LINE__, #condition,                      \
                    BASS_WEBRTC_ErrorGetCode(), BASS_WEBRTC_ErrorGetMessage());                                        \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The call gave its failure's value, this code, and words. */
#define CHECK_FAILS(call, wanted)                                                                                      \
    do {                                                                                                               \
        CHECK(!(call));                                                                                                \
        CHECK(BASS_WEBRTC_ErrorGetCode() == (wanted));                                                                 \
        CHECK(BASS_WEBRTC_ErrorGetMessage()[0] != '\0');                                                               \
    } while (0)

#define CHECK_WORKS(call)                                                                                              \
    do {                                                                                                               \
        CHECK(call);                                                                                                   \
        CHECK(BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);                                                           \
        CHECK(BASS_WEBRTC_ErrorGetMessage()[0] == '\0');                                                               \
    } while (0)

/* Waits until it is so, for 30 s: another thread sees to it. */
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        for (int waited = 0; !(condition); waited++) {                                                                 \
            CHECK(waited < 3000);                                                                                      \
            nap_10ms();                                                                                                \
        }                                                                                                              \
    } while (0)

typedef struct {
    const char *name;
    void (*run)(void);
} test_case;

/* For main: one of the cases, or none of them, and that it went well. */
static inline int run_case(const char *name, const test_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, cases[i].name) == 0)
            cases[i].run();
    printf("well done\n");
    return 0;
}

static inline void nap_10ms(void) {
    struct timespec ten_ms = {0, 10000000};
    nanosleep(&ten_ms, NULL);
}

#endif
