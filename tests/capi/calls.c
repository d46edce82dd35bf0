/* calls CASE: a server with calls, its callers, and calls of functions that a program should not make. A caller is a
 * second server of this program, which offers sendrecv. */
#define _GNU_SOURCE
#include "check.h"

#include "bass_functions.h"
#include "tone.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>

#define BLOCK_FRAMES 480 /* 10 ms */
#define BLOCKS 20
#define TONES 4
#define PROGRAMME 1 /* bits of tones: 440, 600, 800 and 1000 Hz */
#define ANNA 2
#define BEN 4
#define STUDIO 8
#define AMPLITUDE 0.1
#define MICROPHONE "\xf0\x9f\x8e\xa4" /* a character of 4 bytes */

typedef struct {
    void *own; /* the caller's server */
    int peer;  /* the caller's number at the server under test */
} caller;

static WebRtcConfigFFI any_port = {48000, 2, 128, 100, 10, BASS_WEBRTC_SIGNALING_HTTP, 0, 1};
static WebRtcConfigFFI callback_mode = {48000, 2, 64, 100, 5, BASS_WEBRTC_SIGNALING_CALLBACK, 0, 1};
static tone tones[TONES] = {{440, AMPLITUDE, 0}, {600, AMPLITUDE, 0}, {800, AMPLITUDE, 0}, {1000, AMPLITUDE, 0}};
static HSTREAM sources[TONES];
static WebRtcCallStatsFFI call;

/* What on_call was told. The event thread writes, the main thread reads. */
static struct {
    void *server;
    volatile int began, changed, ended;
    volatile uint32_t last_call;
    char reason[128];
    WebRtcCallStatsFFI at_end;
} told;

static void on_call(uint32_t event, const WebRtcCallStatsFFI *about, const char *reason, void *user) {
    CHECK(user == &told && event <= BASS_WEBRTC_CALL_EVENT_ENDED);
    CHECK((event == BASS_WEBRTC_CALL_EVENT_ENDED) == (reason[0] != '\0'));
    told.last_call = about->call_id;
    if (event == BASS_WEBRTC_CALL_EVENT_ENDED) {
        snprintf(told.reason, sizeof told.reason, "%s", reason);
        told.at_end = *about;
    }
    told.began += event == BASS_WEBRTC_CALL_EVENT_BEGAN;
    told.changed += event == BASS_WEBRTC_CALL_EVENT_CHANGED;
    told.ended += event == BASS_WEBRTC_CALL_EVENT_ENDED;
}

static void open_sources(void) {
    CHECK(BASS_Init(0, 48000, 0, NULL, NULL));
    for (int i = 0; i < TONES; i++) {
        sources[i] = BASS_StreamCreate(48000, 2, BASS_SAMPLE_FLOAT | BASS_STREAM_DECODE, make_tone, &tones[i]);
        CHECK(sources[i] != 0);
    }
}

/* A running server with calls, which plays 440 Hz. */
static void *phone_in(uint32_t state) {
    CallCallbacks callbacks = {on_call, &told};
    open_sources();
    told.server = BASS_WEBRTC_Create(sources[0], &any_port);
    CHECK_WORKS(told.server != NULL);
    CHECK_WORKS(BASS_WEBRTC_SetCalls(told.server, state, 2, 0));
    CHECK_WORKS(BASS_WEBRTC_SetCallCallbacks(told.server, &callbacks));
    memset(&callbacks, 0xFF, sizeof callbacks); /* The library has a copy. */
    CHECK_WORKS(BASS_WEBRTC_Start(told.server));
    return told.server;
}

/* A caller with the tone of sources[number]. */
static caller begin_call(void *server, int number) {
    char offer[BASS_WEBRTC_ANSWER_CAPACITY], answer[BASS_WEBRTC_ANSWER_CAPACITY];
    caller made = {BASS_WEBRTC_Create(sources[number], &callback_mode), -1};
    CHECK_WORKS(made.own != NULL);
    CHECK_WORKS(BASS_WEBRTC_Start(made.own));
    CHECK(BASS_WEBRTC_CreateOffer(made.own, BASS_WEBRTC_PEER_SENDRECV, offer, sizeof offer, NULL) == 0);
    made.peer = BASS_WEBRTC_AddPeer(server, offer, answer, NULL);
    CHECK(made.peer >= 0);
    CHECK_WORKS(BASS_WEBRTC_SetAnswer(made.own, 0, answer));
    return made;
}

/* Waits until the server knows of the call. */
static caller make_call(void *server, int number) {
    int before = told.began;
    caller made = begin_call(server, number);
    WAIT_UNTIL(told.began == before + 1);
    return made;
}

/* Listens for a fifth of a second: are these the tones that are there, and no others? */
static int hears(void *handle, uint32_t peer_id, int wanted) {
    static float samples[BLOCKS * BLOCK_FRAMES * 2];
    int found = 0;
    for (int block = 0; block < BLOCKS; block++) {
        nap_10ms();
        float *where = samples + block * BLOCK_FRAMES * 2;
        CHECK(BASS_WEBRTC_ReadPcm(handle, peer_id, where, BLOCK_FRAMES) == BLOCK_FRAMES);
    }
    for (int i = 0; i < TONES; i++) {
        double in_phase = 0.0, quadrature = 0.0;
        for (int frame = 0; frame < BLOCKS * BLOCK_FRAMES; frame++) {
            double phase = 2.0 * 3.14159265358979323846 * tones[i].hz * frame / 48000.0;
            in_phase += samples[2 * frame] * cos(phase), quadrature += samples[2 * frame] * sin(phase);
        }
        double amplitude = 2.0 * hypot(in_phase, quadrature) / (BLOCKS * BLOCK_FRAMES);
        if (amplitude > AMPLITUDE / 2)
            found |= 1 << i;
        else if (amplitude > AMPLITUDE / 100)
            return 0;
    }
    return found == wanted;
}

/* ------------------------------------------------------------------ what the functions do */

static void callers_hear_each_other(void) {
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_ON_AIR);
    caller anna = make_call(server, 1), ben = make_call(server, 2);
    WAIT_UNTIL(hears(anna.own, 0, PROGRAMME | BEN));
    WAIT_UNTIL(hears(ben.own, 0, PROGRAMME | ANNA));
    WAIT_UNTIL(hears(server, BASS_WEBRTC_ALL_PEERS, ANNA | BEN));
    CHECK_WORKS(BASS_WEBRTC_SetCallMuted(server, 2, 1));
    WAIT_UNTIL(hears(anna.own, 0, PROGRAMME));
    WAIT_UNTIL(hears(server, (uint32_t)ben.peer, BEN));
    WAIT_UNTIL(hears(server, BASS_WEBRTC_ALL_PEERS, ANNA)); /* It is still in the mix. */
    CHECK_WORKS(BASS_WEBRTC_SetCallMuted(server, 2, 0));
    CHECK_WORKS(BASS_WEBRTC_SetCallState(server, 2, BASS_WEBRTC_CALL_STATE_WAITING));
    WAIT_UNTIL(hears(ben.own, 0, PROGRAMME | ANNA));
    CHECK_WORKS(BASS_WEBRTC_SetHoldSource(server, sources[3]));
    WAIT_UNTIL(hears(ben.own, 0, STUDIO));
    CHECK_WORKS(BASS_WEBRTC_SetHoldSource(server, BASS_WEBRTC_SOURCE_NONE));
    WAIT_UNTIL(hears(ben.own, 0, PROGRAMME | ANNA));
    WAIT_UNTIL(hears(anna.own, 0, PROGRAMME));
    CHECK_WORKS(BASS_WEBRTC_SetTalkbackSource(server, sources[3]));
    CHECK_WORKS(BASS_WEBRTC_SetCallState(server, 2, BASS_WEBRTC_CALL_STATE_PRIVATE));
    WAIT_UNTIL(hears(ben.own, 0, STUDIO));
    WAIT_UNTIL(hears(anna.own, 0, PROGRAMME));
    CHECK_WORKS(BASS_WEBRTC_SetCallTalkback(server, 1, 1));
    WAIT_UNTIL(hears(anna.own, 0, PROGRAMME | STUDIO));
    CHECK_WORKS(BASS_WEBRTC_SetTalkbackSource(server, BASS_WEBRTC_SOURCE_NONE));
    WAIT_UNTIL(hears(anna.own, 0, PROGRAMME) && hears(ben.own, 0, 0));
    CHECK_WORKS(BASS_WEBRTC_SetCallReturnGain(server, 1, 0.0));
    WAIT_UNTIL(hears(anna.own, 0, 0));
    CHECK_WORKS(BASS_WEBRTC_SetCallReturnGain(server, 1, 1.0));
    CHECK_WORKS(BASS_WEBRTC_SetCallState(server, 2, BASS_WEBRTC_CALL_STATE_ON_AIR));
    CHECK_WORKS(BASS_WEBRTC_SetCallGain(server, 2, 0.0));
    WAIT_UNTIL(hears(server, BASS_WEBRTC_ALL_PEERS, ANNA));
    CHECK(BASS_WEBRTC_Free(anna.own) && BASS_WEBRTC_Free(ben.own));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void life_of_a_call(void) {
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_WAITING);
    CHECK(BASS_WEBRTC_GetNextCall(server, 0) == 0 && BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);
    caller anna = make_call(server, 1), ben = make_call(server, 2);
    CHECK_WORKS(BASS_WEBRTC_GetNextCall(server, 0) == 1 && BASS_WEBRTC_GetNextCall(server, 1) == 2);
    CHECK(BASS_WEBRTC_GetNextCall(server, 2) == 0 && BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);
    WAIT_UNTIL(hears(server, (uint32_t)anna.peer, ANNA)); /* so that it has a level */
    CHECK_WORKS(BASS_WEBRTC_GetCallStats(server, 1, &call));
    CHECK(call.call_id == 1 && call.peer_id == (uint32_t)anna.peer && call.state == BASS_WEBRTC_CALL_STATE_WAITING);
    CHECK(call.gain == 1.0 && call.return_gain == 1.0 && !call.muted && !call.talkback && !call.recording);
    CHECK(strcmp(call.name, "Caller 1") == 0 && call.invite_id[0] == '\0');
    CHECK(call.level_dbfs > -30.0 && call.level_dbfs < -15.0); /* A sine of 0.1 has -23 dBFS. */
    CHECK(call.duration_s > 0.1 && call.duration_s < 60.0 && call.bitrate_kbps == 128);
    CHECK_WORKS(BASS_WEBRTC_SetCallName(server, 1, "  \xc3\x84nna\n" MICROPHONE " "));
    CHECK_WORKS(BASS_WEBRTC_SetCallGain(server, 1, 0.5));
    CHECK_WORKS(BASS_WEBRTC_SetCallReturnGain(server, 1, 4.0));
    CHECK_WORKS(BASS_WEBRTC_SetCallMuted(server, 1, 1));
    CHECK_WORKS(BASS_WEBRTC_SetCallTalkback(server, 1, 255));
    CHECK_WORKS(BASS_WEBRTC_SetCallState(server, 1, BASS_WEBRTC_CALL_STATE_ON_AIR));
    CHECK_WORKS(BASS_WEBRTC_GetCallStats(server, 1, &call));
    CHECK(strcmp(call.name, "\xc3\x84nna " MICROPHONE) == 0 && call.state == BASS_WEBRTC_CALL_STATE_ON_AIR);
    CHECK(call.gain == 0.5 && call.return_gain == 4.0 && call.muted == 1 && call.talkback == 1);
    WAIT_UNTIL(told.changed == 6 && told.last_call == 1);
    HSTREAM stream = BASS_WEBRTC_GetCallStream(server, 1);
    CHECK_WORKS(stream != 0 && BASS_WEBRTC_GetCallStream(server, 1) == stream);
    CHECK_WORKS(BASS_WEBRTC_HangUpCall(server, 1, "thank you"));
    WAIT_UNTIL(told.ended == 1);
    CHECK(strcmp(told.reason, "thank you") == 0 && told.at_end.state == BASS_WEBRTC_CALL_STATE_ENDED);
    CHECK(told.at_end.call_id == 1 && strcmp(told.at_end.name, call.name) == 0 && told.at_end.duration_s > 0.1);
    CHECK(told.at_end.level_dbfs == -127.0);
    CHECK_WORKS(BASS_WEBRTC_GetNextCall(server, 0) == 2);
    CHECK_WORKS(BASS_WEBRTC_HangUpCall(server, 2, ""));
    CHECK_FAILS(BASS_WEBRTC_HangUpCall(server, 2, NULL), BASS_WEBRTC_ERROR_NOTAVAIL);
    WAIT_UNTIL(told.ended == 2);
    CHECK(strcmp(told.reason, "the call was ended by the producer") == 0);
    CHECK(BASS_WEBRTC_Free(anna.own) && BASS_WEBRTC_Free(ben.own));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void longest_name(void) {
    char name[256] = "", wanted[256] = "";
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_WAITING);
    caller anna = make_call(server, 1);
    for (int i = 0; i < 62; i++) {
        strcat(name, MICROPHONE);
        if (i < 60)
            strcat(wanted, MICROPHONE);
    }
    CHECK_WORKS(BASS_WEBRTC_SetCallName(server, 1, name));
    CHECK_WORKS(BASS_WEBRTC_GetCallStats(server, 1, &call));
    CHECK(strcmp(call.name, wanted) == 0);
    CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void caller_leaves(void) {
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_WAITING);
    caller anna = make_call(server, 1);
    CHECK_WORKS(BASS_WEBRTC_RemovePeer(anna.own, 0));
    WAIT_UNTIL(told.ended == 1);
    CHECK(strcmp(told.reason, "closed by the peer") == 0);
    CHECK_FAILS(BASS_WEBRTC_GetCallStats(server, 1, &call), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_WORKS(BASS_WEBRTC_SetCallCallbacks(server, NULL)); /* From now on nobody is told. */
    CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
    anna = begin_call(server, 1);
    WAIT_UNTIL(BASS_WEBRTC_GetNextCall(server, 0) == 2);
    CHECK_WORKS(BASS_WEBRTC_RemovePeer(server, (uint32_t)anna.peer));
    WAIT_UNTIL(BASS_WEBRTC_GetNextCall(server, 0) == 0);
    CHECK(told.began == 1 && told.ended == 1);
    CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

/* The settings stay, and the numbers begin anew. */
static void calls_end_with_a_stop(void) {
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_ON_AIR);
    caller anna = make_call(server, 1);
    CHECK_WORKS(BASS_WEBRTC_SetTalkbackSource(server, sources[3]));
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK(told.ended == 1 && strcmp(told.reason, "the server stops") == 0);
    CHECK(told.at_end.state == BASS_WEBRTC_CALL_STATE_ENDED && strcmp(told.at_end.name, "Caller 1") == 0);
    CHECK_FAILS(BASS_WEBRTC_GetCallStats(server, 1, &call), BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_HangUpCall(server, 1, NULL), BASS_WEBRTC_ERROR_START);
    CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    anna = make_call(server, 1);
    CHECK(told.last_call == 1);
    CHECK_WORKS(BASS_WEBRTC_SetCallTalkback(server, 1, 1));
    WAIT_UNTIL(hears(anna.own, 0, PROGRAMME | STUDIO));
    CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void links_of_invites(void) {
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_WAITING);
    char url[BASS_WEBRTC_LINK_CAPACITY], begin[64], id[BASS_WEBRTC_INVITE_ID_CAPACITY], small[8] = "";
    uint32_t length = 0;
    snprintf(begin, sizeof begin, "http://127.0.0.1:%u/call?invite=", (unsigned)BASS_WEBRTC_GetPort(server));
    CHECK_WORKS(BASS_WEBRTC_CreateInvite(server, "Anna", 2, 60, url, sizeof url, &length, id));
    CHECK(strncmp(url, begin, strlen(begin)) == 0 && length == strlen(url) && id[0] != '\0');
    CHECK_WORKS(BASS_WEBRTC_RevokeInvite(server, id));
    CHECK_FAILS(BASS_WEBRTC_RevokeInvite(server, id), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_WORKS(BASS_WEBRTC_CreateInvite(server, NULL, 0, 0, url, length + 1, NULL, NULL));
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, length, &length, id), BASS_WEBRTC_ERROR_BUFFER);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, small, sizeof small, NULL, NULL), BASS_WEBRTC_ERROR_BUFFER);
    CHECK(length == strlen(url) && small[0] == '\0');
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, 0, NULL, NULL), BASS_WEBRTC_ERROR_BUFFER);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, NULL, 99, NULL, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "\xff", 0, 0, url, 999, NULL, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 1001, 0, url, 999, NULL, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 59, url, 999, NULL, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 2592001, url, 999, NULL, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_RevokeInvite(server, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_RevokeInvite(server, "\xff"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_RevokeInvite(server, "none"), BASS_WEBRTC_ERROR_NOTAVAIL);
    for (int made = 1; made < 1000; made++)
        CHECK_WORKS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, sizeof url, NULL, NULL));
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, 999, NULL, NULL), BASS_WEBRTC_ERROR_CREATE);
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK_WORKS(BASS_WEBRTC_SetPublicUrl(server, "https://radio.example/show/"));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, sizeof url, NULL, NULL));
    CHECK(strncmp(url, "https://radio.example/show/call?invite=", 39) == 0);
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

/* ------------------------------------------------------------------ wrong use */

static void check_no_such_call(void *server, uint32_t call_id, int error) {
    CHECK_FAILS(BASS_WEBRTC_GetCallStats(server, call_id, &call), error);
    CHECK_FAILS(BASS_WEBRTC_SetCallState(server, call_id, BASS_WEBRTC_CALL_STATE_ON_AIR), error);
    CHECK_FAILS(BASS_WEBRTC_SetCallGain(server, call_id, 1.0), error);
    CHECK_FAILS(BASS_WEBRTC_SetCallReturnGain(server, call_id, 1.0), error);
    CHECK_FAILS(BASS_WEBRTC_SetCallMuted(server, call_id, 1), error);
    CHECK_FAILS(BASS_WEBRTC_SetCallTalkback(server, call_id, 1), error);
    CHECK_FAILS(BASS_WEBRTC_SetCallName(server, call_id, "Anna"), error);
    CHECK_FAILS(BASS_WEBRTC_HangUpCall(server, call_id, NULL), error);
    CHECK_FAILS(BASS_WEBRTC_GetCallStream(server, call_id), error);
}

static void wrong_numbers_and_values(void) {
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_WAITING);
    caller anna = make_call(server, 1);
    check_no_such_call(server, 0, BASS_WEBRTC_ERROR_NOTAVAIL);
    check_no_such_call(server, 2, BASS_WEBRTC_ERROR_NOTAVAIL);
    check_no_such_call(server, 0xFFFFFFFF, BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK(BASS_WEBRTC_GetNextCall(server, 0xFFFFFFFF) == 0 && BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);
    CHECK_FAILS(BASS_WEBRTC_GetCallStats(server, 1, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetCallState(server, 1, BASS_WEBRTC_CALL_STATE_NONE), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetCallState(server, 1, BASS_WEBRTC_CALL_STATE_ENDED), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "BASS_WEBRTC_HangUpCall") != NULL);
    CHECK_FAILS(BASS_WEBRTC_SetCallState(server, 1, 0xFFFFFFFF), BASS_WEBRTC_ERROR_ILLPARAM);
    const double bad_gains[] = {-0.1, 4.001, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        CHECK_FAILS(BASS_WEBRTC_SetCallGain(server, 1, bad_gains[i]), BASS_WEBRTC_ERROR_ILLPARAM);
        CHECK_FAILS(BASS_WEBRTC_SetCallReturnGain(server, 1, bad_gains[i]), BASS_WEBRTC_ERROR_ILLPARAM);
    }
    CHECK_FAILS(BASS_WEBRTC_SetCallName(server, 1, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetCallName(server, 1, "\xff"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_HangUpCall(server, 1, "\xff"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetTalkbackSource(server, BASS_WEBRTC_SOURCE_PCM), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetTalkbackSource(server, 0x12345), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetHoldSource(server, 0x12345), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_WORKS(BASS_WEBRTC_GetCallStats(server, 1, &call)); /* Nothing has changed. */
    CHECK(call.state == BASS_WEBRTC_CALL_STATE_WAITING && call.gain == 1.0 && strcmp(call.name, "Caller 1") == 0);
    CHECK_WORKS(BASS_WEBRTC_HangUpCall(server, 1, NULL));
    CHECK_FAILS(BASS_WEBRTC_SetCallGain(server, 1, 1.0), BASS_WEBRTC_ERROR_NOTAVAIL);
    WAIT_UNTIL(told.ended == 1);
    check_no_such_call(server, 1, BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_NONE, 0, 0), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetDeskToken(server, "secret"), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetRecordings(server, NULL, "show.opus", 0), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetPublicUrl(server, NULL), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    check_no_such_call(server, 1, BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_GetNextCall(server, 0), BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_RevokeInvite(server, "none"), BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, call.name, sizeof call.name, NULL, NULL),
                BASS_WEBRTC_ERROR_START);
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void wrong_settings(void) {
    char url[BASS_WEBRTC_LINK_CAPACITY];
    open_sources();
    void *server = BASS_WEBRTC_Create(sources[0], &any_port);
    CHECK_FAILS(BASS_WEBRTC_SetDeskToken(server, "secret"), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_SetRecordings(server, "calls", NULL, 0), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "BASS_WEBRTC_SetCalls") != NULL);
    CHECK_FAILS(BASS_WEBRTC_SetTalkbackSource(server, sources[3]), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, sizeof url, NULL, NULL), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_PRIVATE, 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetCalls(server, 0xFFFFFFFF, 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_WAITING, 51, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_WAITING, 0, 1));
    CHECK_FAILS(BASS_WEBRTC_SetDeskToken(server, ""), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetDeskToken(server, "two words"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetDeskToken(server, "\xff"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_SetDeskToken(server, "secret"));
    CHECK_FAILS(BASS_WEBRTC_SetRecordings(server, "", NULL, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_SetRecordings(server, "calls", "show.opus", 60));
    CHECK_WORKS(BASS_WEBRTC_SetRecordings(server, NULL, NULL, 0));
    CHECK_FAILS(BASS_WEBRTC_SetPublicUrl(server, "radio.example"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_SetPublicUrl(server, ""));
    CHECK_WORKS(BASS_WEBRTC_SetTalkbackSource(server, sources[3]));
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, sizeof url, NULL, NULL), BASS_WEBRTC_ERROR_START);
    CHECK_WORKS(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_NONE, 0, 0)); /* Without the desk. */
    CHECK_WORKS(BASS_WEBRTC_Start(server));                                       /* Without the talkback. */
    CHECK(BASS_WEBRTC_GetNextCall(server, 0) == 0 && BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);
    check_no_such_call(server, 1, BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_SetTalkbackSource(server, sources[3]), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, sizeof url, NULL, NULL), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK_WORKS(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_ON_AIR, 50, 0));
    CHECK(BASS_StreamFree(sources[3]));
    CHECK_FAILS(BASS_WEBRTC_Start(server), BASS_WEBRTC_ERROR_HANDLE); /* The talkback was freed. */
    CHECK_WORKS(BASS_WEBRTC_SetTalkbackSource(server, BASS_WEBRTC_SOURCE_NONE));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
    WebRtcConfigFFI one_way = any_port;
    for (one_way.signaling_mode = BASS_WEBRTC_SIGNALING_WHIP; one_way.signaling_mode <= BASS_WEBRTC_SIGNALING_WHEP;
         one_way.signaling_mode++) {
        server = BASS_WEBRTC_Create(sources[0], &one_way);
        CHECK_FAILS(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_WAITING, 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
        CHECK_WORKS(BASS_WEBRTC_Free(server));
    }
    server = BASS_WEBRTC_Create(sources[0], &callback_mode);
    CHECK_WORKS(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_WAITING, 0, 0));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(server, "", 0, 0, url, sizeof url, NULL, NULL), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void streams_need_bass(void) {
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_WAITING);
    caller anna = make_call(server, 1);
    HSTREAM stream = BASS_WEBRTC_GetCallStream(server, 1);
    CHECK_WORKS(stream != 0);
    CHECK(BASS_Free());
    CHECK_FAILS(BASS_WEBRTC_GetCallStream(server, 1), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

/* ------------------------------------------------------------------ callbacks and threads */

static struct {
    int stops;
    volatile int done;
} act;

static void act_in_callback(uint32_t event, const WebRtcCallStatsFFI *about, const char *reason, void *user) {
    uint32_t call_id = about->call_id;
    (void)reason, (void)user;
    if (event == BASS_WEBRTC_CALL_EVENT_ENDED)
        told.ended++;
    if (event != BASS_WEBRTC_CALL_EVENT_BEGAN || act.done)
        return;
    CHECK_WORKS(BASS_WEBRTC_GetNextCall(told.server, 0) == call_id);
    CHECK_WORKS(BASS_WEBRTC_SetCallState(told.server, call_id, BASS_WEBRTC_CALL_STATE_ON_AIR));
    CHECK_WORKS(BASS_WEBRTC_SetTalkbackSource(told.server, sources[3]));
    CHECK_WORKS(BASS_WEBRTC_GetCallStream(told.server, call_id) != 0);
    CHECK_WORKS(BASS_WEBRTC_SetCallCallbacks(told.server, &(CallCallbacks){act_in_callback, NULL}));
    if (act.stops) {
        CHECK_WORKS(BASS_WEBRTC_Stop(told.server));
        CHECK_WORKS(BASS_WEBRTC_Start(told.server));
        check_no_such_call(told.server, call_id, BASS_WEBRTC_ERROR_NOTAVAIL);
    } else
        CHECK_WORKS(BASS_WEBRTC_HangUpCall(told.server, call_id, "in the callback"));
    act.done = 1;
}

static void act_on_a_call(int stops) {
    void *server = phone_in(BASS_WEBRTC_CALL_STATE_WAITING);
    act.stops = stops;
    CHECK_WORKS(BASS_WEBRTC_SetCallCallbacks(server, &(CallCallbacks){act_in_callback, NULL}));
    caller anna = begin_call(server, 1);
    WAIT_UNTIL(act.done);
    WAIT_UNTIL(told.ended == 1); /* Queued events are delivered after Stop in a callback. */
    CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void functions_in_a_callback(void) { act_on_a_call(0); }

static void stop_in_a_callback(void) { act_on_a_call(1); }

/* Changes the call until it has ended, for one reason or another. */
static void *change_until_the_end(void *server) {
    WebRtcCallStatsFFI own;
    for (int i = 0; BASS_WEBRTC_SetCallGain(server, 1, i % 5) && BASS_WEBRTC_GetCallStats(server, 1, &own); i++) {
        BASS_WEBRTC_SetCallState(server, 1, 1 + (uint32_t)i % 3);
        BASS_WEBRTC_SetCallName(server, 1, i % 2 ? "Anna" : "Ben");
        BASS_WEBRTC_GetCallStream(server, 1);
        BASS_WEBRTC_GetNextCall(server, 0);
    }
    int error = BASS_WEBRTC_ErrorGetCode();
    CHECK(error == BASS_WEBRTC_ERROR_NOTAVAIL || error == BASS_WEBRTC_ERROR_START || error == BASS_WEBRTC_ERROR_HANDLE);
    return NULL;
}

static void threads_against_the_end(void) {
    for (int way = 0; way < 3; way++) {
        pthread_t threads[4];
        void *server = phone_in(BASS_WEBRTC_CALL_STATE_WAITING);
        caller anna = make_call(server, 1);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, change_until_the_end, server) == 0);
        for (int i = 0; i < 20; i++)
            nap_10ms();
        CHECK_WORKS(way == 0   ? BASS_WEBRTC_HangUpCall(server, 1, NULL)
                    : way == 1 ? BASS_WEBRTC_Stop(server)
                               : BASS_WEBRTC_Free(server));
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        CHECK_WORKS(BASS_WEBRTC_Free(anna.own));
        if (way < 2)
            CHECK_WORKS(BASS_WEBRTC_Free(server));
        CHECK(BASS_Free());
    }
}

int main(int argc, char **argv) {
    static const test_case cases[] = {
        {"callers_hear_each_other", callers_hear_each_other},
        {"life_of_a_call", life_of_a_call},
        {"longest_name", longest_name},
        {"caller_leaves", caller_leaves},
        {"calls_end_with_a_stop", calls_end_with_a_stop},
        {"links_of_invites", links_of_invites},
        {"wrong_numbers_and_values", wrong_numbers_and_values},
        {"wrong_settings", wrong_settings},
        {"streams_need_bass", streams_need_bass},
        {"functions_in_a_callback", functions_in_a_callback},
        {"stop_in_a_callback", stop_in_a_callback},
        {"threads_against_the_end", threads_against_the_end},
    };
    CHECK(argc > 1);
    return run_case(argv[1], cases, sizeof cases / sizeof *cases);
}
