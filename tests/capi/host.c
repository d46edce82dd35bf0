/* host CASE: programs that have signal handlers, fork, or have closed their standard streams. */
#define _GNU_SOURCE
#include "check.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

static WebRtcConfigFFI any_port = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
static WebRtcStatsFFI stats;
static char text[BASS_WEBRTC_ANSWER_CAPACITY];

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000 /* glibc sets it in whatever it installs */
#endif

static void on_usr1(int number) { (void)number; }

static void read_actions(struct sigaction *actions) {
    memset(actions, 0, NSIG * sizeof *actions);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &actions[number]);
}

static void *running_server(void) {
    void *server = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &any_port);
    CHECK_WORKS(server != NULL);
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    return server;
}

static void *connected_player(void *server) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/whep", BASS_WEBRTC_GetPort(server));
    void *player = BASS_WEBRTC_ConnectWhep(url, 48000, 2, 100, 0);
    CHECK_WORKS(player != NULL);
    WAIT_UNTIL(BASS_WEBRTC_WhepIsConnected(player));
    return player;
}

/* Prints the port when all signals are as before, and waits for one. */
static void signals(void) {
    static struct sigaction before[NSIG], after[NSIG];
    struct sigaction own = {.sa_handler = on_usr1, .sa_flags = SA_RESTART | SA_NODEFER};
    sigaction(SIGUSR1, &own, NULL);
    signal(SIGINT, SIG_DFL); /* A shell ignores it in jobs in the background. */
    sigset_t waited_for;     /* by sigwait, say */
    sigemptyset(&waited_for);
    sigaddset(&waited_for, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &waited_for, NULL);
    read_actions(before);
    void *server = running_server();
    void *player = connected_player(server);
    read_actions(after);
    for (int number = 1; number < NSIG; number++) {
        CHECK(before[number].sa_handler == after[number].sa_handler);
        CHECK((before[number].sa_flags | SA_RESTORER) == (after[number].sa_flags | SA_RESTORER));
    }
    printf("%d\n", BASS_WEBRTC_GetPort(server));
    fflush(stdout);
    getchar();
    CHECK_WORKS(BASS_WEBRTC_WhepFree(player));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void check_refused_in_child(void *server, void *player) {
    uint32_t length;
    CHECK_FAILS(BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &any_port), BASS_WEBRTC_ERROR_PYTHON);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "forked") != NULL);
    CHECK_FAILS(BASS_WEBRTC_ConnectWhep("http://127.0.0.1:9/whep", 48000, 2, 100, 0), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_Start(server), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_Stop(server), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_GetPort(server), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_GetStats(server, &stats), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_GetPeerCount(server), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_IsRunning(server), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_AddPeer(server, "v=0", text, &length) + 1, BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_WhepIsConnected(player), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_WhepFree(player), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_Free(server), BASS_WEBRTC_ERROR_PYTHON);
    CHECK_FAILS(BASS_WEBRTC_Free(NULL), BASS_WEBRTC_ERROR_HANDLE);
}

static void check_ends(pid_t child) {
    int status = -1;
    pid_t ended = 0;
    WAIT_UNTIL((ended = waitpid(child, &status, WNOHANG)) != 0);
    CHECK(ended == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A child that was forked before the first call uses the library; one forked later cannot, and exits all the same. */
static void forks(void) {
    pid_t child = fork();
    if (child == 0) {
        CHECK_WORKS(BASS_WEBRTC_Free(running_server()));
        exit(0);
    }
    check_ends(child);
    void *server = running_server();
    void *player = connected_player(server);
    for (int returns = 0; returns < 2; returns++) {
        child = fork();
        if (child == 0) {
            check_refused_in_child(server, player);
            exit(0); /* with exit handlers */
        }
        check_ends(child);
    }
    CHECK(system("true") == 0);
    CHECK_WORKS(BASS_WEBRTC_WhepIsConnected(player));
    CHECK_WORKS(BASS_WEBRTC_IsRunning(server));
    CHECK(BASS_WEBRTC_GetPeerCount(server) == 1);
    CHECK_WORKS(BASS_WEBRTC_WhepFree(player));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

/* Its exit code is the result. No socket gets a number that this program may print to. */
static void streams(void) {
    for (int descriptor = 0; descriptor < 3; descriptor++)
        close(descriptor);
    void *server = running_server();
    void *player = connected_player(server);
    char path[32], target[32] = "";
    for (int descriptor = 0; descriptor < 3; descriptor++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
        if (readlink(path, target, sizeof target - 1) < 0 || strcmp(target, "/dev/null") != 0)
            _exit(1);
    }
    if (!BASS_WEBRTC_WhepFree(player) || !BASS_WEBRTC_Free(server))
        _exit(2);
}

int main(int argc, char **argv) {
    static const test_case cases[] = {{"signals", signals}, {"forks", forks}, {"streams", streams}};
    (void)argc;
    return run_case(argv[1], cases, sizeof cases / sizeof *cases);
}
