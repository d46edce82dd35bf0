/*
 * Option 4: a phone-in show. Guests call from a browser, wait, and are put on air from this console. They hear the
 * programme and the other callers on air, never themselves; so do the listeners of the page.
 *
 *     cc phone_in.c -o phone_in $(bass-webrtc capi cflags) $(bass-webrtc capi ldflags) -lbass -lm
 *     ./phone_in song.mp3 8080
 *     ./phone_in song.mp3 8080 https://radio.example/ SECRET
 *
 * The URL is that of a reverse proxy, through which guests elsewhere call; "" for none. With a secret, producers can
 * also control the calls in a browser, at /desk.
 *
 * Type "help" for the commands. Ctrl-D (Ctrl-Z and Return on Windows) ends the show, as does "quit".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bass_functions.h"

#include "bass_webrtc.h"

#include "tone.h"

static const char *const states[] = {"none", "waiting", "on air", "private", "ended"};

static const char *const help =
    "list                     show the calls\n"
    "invite [NAME]            make a link for a guest\n"
    "revoke INVITE            end an invite and its call\n"
    "air N, wait N, private N put caller N on air, let it wait, or speak with it alone\n"
    "gain N X, return N X     set the factor of what others hear of caller N, or of what it hears: 0 to 4\n"
    "mute N, unmute N         silence caller N on air, or not any more\n"
    "talk N, untalk N         let caller N hear the microphone of this computer, or not any more\n"
    "listen N, unlisten N     hear caller N here, whatever its state, or not any more\n"
    "name N NAME              name caller N\n"
    "bye N [REASON]           end call N\n"
    "quit                     end the show\n";

static int fail(const char *what) {
    fprintf(stderr, "%s: %s (error %d)\n", what, BASS_WEBRTC_ErrorGetMessage(), BASS_WEBRTC_ErrorGetCode());
    return EXIT_FAILURE;
}

static void show_call(const WebRtcCallStatsFFI *call, const char *what) {
    printf("%u %s: %s, gain %.2f%s%s, %.0f dBFS, %.0f s%s%s\n", (unsigned)call->call_id, call->name, what, call->gain,
           call->muted ? ", muted" : "", call->talkback ? ", talkback" : "", call->level_dbfs, call->duration_s,
           call->invite_id[0] != '\0' ? ", invite " : "", call->invite_id);
    fflush(stdout);
}

/* Called on the library's event thread. */
static void on_call(uint32_t event_type, const WebRtcCallStatsFFI *call, const char *reason, void *user) {
    (void)user;
    show_call(call, event_type == BASS_WEBRTC_CALL_EVENT_ENDED ? reason : states[call->state]);
}

/* ------------------------------------------------------------------ commands; each returns 1, or 0 on failure */

static int list_calls(void *server) {
    WebRtcCallStatsFFI call;
    for (uint32_t id = 0; (id = BASS_WEBRTC_GetNextCall(server, id)) != 0;)
        if (BASS_WEBRTC_GetCallStats(server, id, &call)) /* It may have ended meanwhile. */
            show_call(&call, states[call.state]);
    return 1;
}

static int invite_guest(void *server, const char *name) {
    char url[BASS_WEBRTC_LINK_CAPACITY], id[BASS_WEBRTC_INVITE_ID_CAPACITY];
    if (!BASS_WEBRTC_CreateInvite(server, name, 1, 3600, url, sizeof url, NULL, id))
        return 0;
    printf("invite %s, for one call within an hour: %s\n", id, url);
    return 1;
}

/* The microphone is opened when it is needed first. Without one, producers at the desk can still talk. */
static int talk_to(void *server, uint32_t call) {
    static HRECORD microphone;
    if (microphone == 0 && BASS_RecordInit(-1))
        microphone = BASS_RecordStart(48000, 2, BASS_SAMPLE_FLOAT, NULL, NULL);
    if (microphone == 0)
        printf("no microphone: BASS error %d\n", BASS_ErrorGetCode());
    else if (!BASS_WEBRTC_SetTalkbackSource(server, microphone))
        return 0;
    return BASS_WEBRTC_SetCallTalkback(server, call, 1);
}

static int listen_to(void *server, uint32_t call, int listens) {
    HSTREAM stream = BASS_WEBRTC_GetCallStream(server, call);
    if (stream == 0)
        return 0;
    if (listens)
        BASS_ChannelPlay(stream, 0);
    else
        BASS_ChannelPause(stream);
    return 1;
}

/* Commands for one call. rest: what follows its number. */
static int control(void *server, const char *word, uint32_t call, const char *rest) {
    if (strcmp(word, "air") == 0)
        return BASS_WEBRTC_SetCallState(server, call, BASS_WEBRTC_CALL_STATE_ON_AIR);
    if (strcmp(word, "wait") == 0)
        return BASS_WEBRTC_SetCallState(server, call, BASS_WEBRTC_CALL_STATE_WAITING);
    if (strcmp(word, "private") == 0)
        return BASS_WEBRTC_SetCallState(server, call, BASS_WEBRTC_CALL_STATE_PRIVATE);
    if (strcmp(word, "gain") == 0)
        return BASS_WEBRTC_SetCallGain(server, call, atof(rest));
    if (strcmp(word, "return") == 0)
        return BASS_WEBRTC_SetCallReturnGain(server, call, atof(rest));
    if (strcmp(word, "mute") == 0 || strcmp(word, "unmute") == 0)
        return BASS_WEBRTC_SetCallMuted(server, call, word[0] == 'm');
    if (strcmp(word, "talk") == 0)
        return talk_to(server, call);
    if (strcmp(word, "untalk") == 0)
        return BASS_WEBRTC_SetCallTalkback(server, call, 0);
    if (strcmp(word, "listen") == 0 || strcmp(word, "unlisten") == 0)
        return listen_to(server, call, word[0] == 'l');
    if (strcmp(word, "name") == 0)
        return BASS_WEBRTC_SetCallName(server, call, rest);
    if (strcmp(word, "bye") == 0)
        return BASS_WEBRTC_HangUpCall(server, call, rest);
    printf("%s", help);
    return 1;
}

/* Splits a line into its first word and the rest, without the end of the line. */
static char *split(char *line) {
    line[strcspn(line, "\r\n")] = '\0';
    char *rest = line + strcspn(line, " ");
    if (*rest != '\0')
        *rest++ = '\0';
    return rest;
}

/* Returns 0 if the show is over. */
static int obey(void *server, char *line) {
    char *rest = split(line);
    int done;
    if (strcmp(line, "quit") == 0)
        return 0;
    if (strcmp(line, "list") == 0)
        done = list_calls(server);
    else if (strcmp(line, "invite") == 0)
        done = invite_guest(server, rest);
    else if (strcmp(line, "revoke") == 0)
        done = BASS_WEBRTC_RevokeInvite(server, rest);
    else {
        char *text = split(rest);
        done = control(server, line, (uint32_t)strtoul(rest, NULL, 10), text);
    }
    if (!done)
        printf("%s: %s (error %d)\n", line, BASS_WEBRTC_ErrorGetMessage(), BASS_WEBRTC_ErrorGetCode());
    fflush(stdout);
    return 1;
}

int main(int argc, char **argv) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 50, BASS_WEBRTC_SIGNALING_HTTP, 8080, 0};
    CallCallbacks callbacks = {on_call, NULL};
    const char *file = argc > 1 ? argv[1] : "";
    char line[512];
    if (argc > 2)
        config.http_port = (uint16_t)atoi(argv[2]);

    if (!BASS_Init(-1, 48000, 0, NULL, NULL) && !BASS_Init(0, 48000, 0, NULL, NULL)) { /* 0: no sound card */
        fprintf(stderr, "BASS_Init: error %d\n", BASS_ErrorGetCode());
        return EXIT_FAILURE;
    }
    HSTREAM song = file[0] != '\0'
                       ? BASS_StreamCreateFile(0, file, 0, 0, BASS_STREAM_DECODE | BASS_SAMPLE_LOOP | BASS_SAMPLE_FLOAT)
                       : open_tone();
    if (song == 0) {
        fprintf(stderr, "cannot open %s: BASS error %d\n", file, BASS_ErrorGetCode());
        return EXIT_FAILURE;
    }
    void *server = BASS_WEBRTC_Create(song, &config);
    if (server == NULL)
        return fail("BASS_WEBRTC_Create");
    BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_WAITING, 20, 1); /* 1: guests need an invite. */
    BASS_WEBRTC_SetCallCallbacks(server, &callbacks);
    if (argc > 3 && !BASS_WEBRTC_SetPublicUrl(server, argv[3]))
        return fail(argv[3]);
    if (argc > 4 && !BASS_WEBRTC_SetDeskToken(server, argv[4]))
        return fail("BASS_WEBRTC_SetDeskToken");
    if (!BASS_WEBRTC_Start(server))
        return fail("BASS_WEBRTC_Start");
    BASS_ChannelPlay(BASS_WEBRTC_GetInputStream(server), 0); /* the callers on air */
    printf("On air at http://127.0.0.1:%u/. Type \"invite NAME\", or \"help\".\n",
           (unsigned)BASS_WEBRTC_GetPort(server));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL && obey(server, line))
        ;
    if (!BASS_WEBRTC_Free(server))
        return fail("BASS_WEBRTC_Free");
    BASS_Free();
    return EXIT_SUCCESS;
}
