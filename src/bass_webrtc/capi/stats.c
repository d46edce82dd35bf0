/*
 * Statistics of servers, read directly from the core's counters. No call here runs Python or waits for the
 * interpreter's lock, so the host may make them often and from any thread, an audio callback included.
 */
#include "library.h"

#include "core.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uintptr_t handle;
    bw_engine *engine; /* NULL while the server is stopped */
    uint32_t max_peers;
    WebRtcStatsFFI last; /* what is reported while the server is stopped */
} server;

static struct {
    void (*engine_get_stats)(bw_engine *, bw_engine_stats *);
    int (*playout_get_receiver_stats)(bw_playout *, uint32_t, bw_receiver_stats *);
    bw_playout *(*engine_playout)(bw_engine *);
} core;

/* Readers: GetStats, GetPeerCount, IsRunning. Writers: creating, starting, stopping and freeing a server. Held for
 * microseconds. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static server *servers;
static size_t count;

void bw_use_core(uintptr_t engine_get_stats, uintptr_t playout_get_receiver_stats, uintptr_t engine_playout) {
    memcpy(&core.engine_get_stats, &engine_get_stats, sizeof engine_get_stats);
    memcpy(&core.playout_get_receiver_stats, &playout_get_receiver_stats, sizeof playout_get_receiver_stats);
    memcpy(&core.engine_playout, &engine_playout, sizeof engine_playout);
}

static server *find(uintptr_t handle) {
    for (size_t i = 0; i < count; i++)
        if (servers[i].handle == handle)
            return &servers[i];
    return NULL;
}

/* ------------------------------------------------------------------ reading, with the lock held */

static void add_receivers(const server *server, WebRtcStatsFFI *stats) {
    bw_playout *playout = core.engine_playout(server->engine);
    bw_receiver_stats receiver;
    double level_ms = 0.0;
    for (uint32_t peer = 0; peer < server->max_peers; peer++) {
        if (core.playout_get_receiver_stats(playout, peer, &receiver) != BW_OK)
            continue;
        stats->total_decode_errors += receiver.decode_errors;
        stats->input_is_buffering |= receiver.is_buffering != 0;
        level_ms = receiver.jitter_buffer_ms > level_ms ? receiver.jitter_buffer_ms : level_ms;
    }
    stats->input_buffer_level = (uint32_t)level_ms;
}

static void read_stats(const server *server, WebRtcStatsFFI *stats) {
    if (server->engine == NULL) {
        *stats = server->last;
        return;
    }
    bw_engine_stats engine;
    core.engine_get_stats(server->engine, &engine);
    *stats = (WebRtcStatsFFI){
        .active_peers = engine.active_peers,
        .total_packets_sent = engine.packets_sent,
        .total_packets_received = engine.packets_received,
        .total_bytes_sent = engine.bytes_sent,
        .total_bytes_received = engine.bytes_received,
        .total_encode_errors = engine.encode_errors,
        .output_underruns = engine.source_underruns,
    };
    add_receivers(server, stats);
}

/* Returns false, with the error set, if the handle is not that of a server. */
static bool read_server(void *handle, WebRtcStatsFFI *stats, bool *is_running) {
    pthread_rwlock_rdlock(&lock);
    const server *server = find((uintptr_t)handle);
    if (server != NULL) {
        read_stats(server, stats);
        *is_running = server->engine != NULL;
    }
    pthread_rwlock_unlock(&lock);
    if (server == NULL && !bw_set_start_error())
        bw_set_error(BASS_WEBRTC_ERROR_HANDLE,
                     "this is not the handle of a server: it is NULL, was freed, or is that of a client");
    return server != NULL;
}

int BASS_WEBRTC_CALL BASS_WEBRTC_GetStats(void *handle, WebRtcStatsFFI *stats) {
    WebRtcStatsFFI found;
    bool is_running;
    bw_clear_error();
    if (!read_server(handle, &found, &is_running))
        return 0;
    if (stats == NULL) {
        bw_set_error(BASS_WEBRTC_ERROR_ILLPARAM, "stats is NULL; expected a pointer to a WebRtcStatsFFI to fill in");
        return 0;
    }
    *stats = found;
    return 1;
}

uint32_t BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerCount(void *handle) {
    WebRtcStatsFFI stats;
    bool is_running;
    bw_clear_error();
    return read_server(handle, &stats, &is_running) ? stats.active_peers : 0;
}

int BASS_WEBRTC_CALL BASS_WEBRTC_IsRunning(void *handle) {
    WebRtcStatsFFI stats;
    bool is_running;
    bw_clear_error();
    return read_server(handle, &stats, &is_running) && is_running;
}

/* ------------------------------------------------------------------ called by capi.py */

int bw_server_open(uintptr_t handle) {
    pthread_rwlock_wrlock(&lock);
    server *more = realloc(servers, (count + 1) * sizeof *servers);
    if (more != NULL) {
        servers = more;
        servers[count++] = (server){.handle = handle};
    }
    pthread_rwlock_unlock(&lock);
    return more != NULL;
}

void bw_server_attach(uintptr_t handle, uintptr_t engine, uint32_t max_peers) {
    pthread_rwlock_wrlock(&lock);
    server *server = find(handle);
    if (server != NULL) {
        server->engine = (bw_engine *)engine;
        server->max_peers = max_peers;
    }
    pthread_rwlock_unlock(&lock);
}

void bw_server_detach(uintptr_t handle) {
    pthread_rwlock_wrlock(&lock);
    server *server = find(handle);
    if (server != NULL && server->engine != NULL) {
        WebRtcStatsFFI last;
        read_stats(server, &last);
        last.active_peers = 0;
        server->last = last;
        server->engine = NULL;
    }
    pthread_rwlock_unlock(&lock);
}

void bw_server_close(uintptr_t handle) {
    pthread_rwlock_wrlock(&lock);
    server *server = find(handle);
    if (server != NULL)
        *server = servers[--count];
    if (count == 0) {
        free(servers);
        servers = NULL;
    }
    pthread_rwlock_unlock(&lock);
}

void bw_forget_servers(void) {
    lock = (pthread_rwlock_t)PTHREAD_RWLOCK_INITIALIZER;
    servers = NULL;
    count = 0;
}
