/*
 * bass_webrtc.h: BASS and WebRTC, for C and every language that calls C. This file is the manual.
 *
 * libbass_webrtc is an add-on in BASS's manner. A BASS channel plays in browsers, browsers' microphones come back as BASS
 * streams. Build it once with "bass-webrtc capi build"; "bass-webrtc capi cflags" and "ldflags" are for your Makefile.
 * Include bass.h first if you use it; this file needs no other, and is C99 and C++.
 *
 * Option 1: a server with a page, WHIP and WHEP. Open http://127.0.0.1:8080/ and press Listen.
 *
 *     WebRtcConfigFFI config = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 8080, 0};
 *     HSTREAM song = BASS_StreamCreateFile(FALSE, "song.mp3", 0, 0, BASS_STREAM_DECODE);
 *     void *server = BASS_WEBRTC_Create(song, &config);
 *     if (!BASS_WEBRTC_Start(server))
 *         printf("%s\n", BASS_WEBRTC_ErrorGetMessage());
 *     BASS_ChannelPlay(BASS_WEBRTC_GetInputStream(server), FALSE);  // what browsers say
 *     getchar();
 *     BASS_WEBRTC_Free(server);                                     // stops it first
 *
 * Option 2: to and from a media server that others run (WHIP and WHEP): MediaMTX, Janus, a cloud.
 *
 *     void *push = BASS_WEBRTC_ConnectWhip(song, "http://127.0.0.1:8889/radio/whip", 48000, 2, 128);
 *     BASS_WEBRTC_WhipStart(push);                                  // connects, and again after a loss
 *     void *pull = BASS_WEBRTC_ConnectWhep("http://127.0.0.1:8889/radio/whep", 48000, 2, 100, 0);
 *     BASS_ChannelPlay(BASS_WEBRTC_WhepGetStream(pull), FALSE);
 *     ...
 *     BASS_WEBRTC_WhipFree(push);
 *     BASS_WEBRTC_WhepFree(pull);
 *
 * Option 3: your program carries offers and answers to the peer, over whatever it has. No port is opened before a peer
 * comes, and any NAT is crossed.
 *
 *     void *server = BASS_WEBRTC_Create(song, NULL);                // or BASS_WEBRTC_SIGNALING_CALLBACK in a config
 *     BASS_WEBRTC_AddIceServer(server, "stun:stun.example", NULL, NULL);
 *     BASS_WEBRTC_SetCallbacks(server, &callbacks);                 // on_ice_candidate: send it to the peer, too
 *     BASS_WEBRTC_Start(server);
 *     char answer[BASS_WEBRTC_ANSWER_CAPACITY];
 *     uint32_t length;
 *     int peer = BASS_WEBRTC_AddPeer(server, offer, answer, &length);       // send the answer to the peer
 *     BASS_WEBRTC_AddIceCandidate(server, peer, candidate);                 // each that the peer sends
 *     BASS_ChannelPlay(BASS_WEBRTC_GetInputStream(server), FALSE);
 *     ...
 *     BASS_WEBRTC_RemovePeer(server, peer);
 *     BASS_WEBRTC_Free(server);
 *
 * Or the offer is ours: BASS_WEBRTC_CreateOffer, and BASS_WEBRTC_SetAnswer when the peer has answered. Options 1 and 3
 * go together: all of this works in every signaling mode.
 *
 * Results. Functions that return int give 1 (TRUE) or 0 (FALSE) unless they say otherwise; those that return a handle or
 * a stream give NULL or 0 on failure. After a failure BASS_WEBRTC_ErrorGetCode() says why in a number and
 * BASS_WEBRTC_ErrorGetMessage() in words. BASS's own BASS_ErrorGetCode() has nothing to do with it.
 *
 * Handles. They are numbers, not addresses: NULL, freed and foreign ones are refused with BASS_WEBRTC_ERROR_HANDLE. Who
 * makes one frees it. Strings that come in are UTF-8, are copied, and stay the caller's.
 *
 * Threads. Every function may be called from any thread, also from a callback. No function but those that say so waits
 * for the network. None belongs into a STREAMPROC or another audio callback, but for BASS_WEBRTC_GetStats and its kin.
 *
 * Streams and channels. What is read must be a decoding channel (BASS_STREAM_DECODE) or a recording without a RECORDPROC,
 * and nobody else may read it. It stays yours. Streams of ours are 48 kHz, stereo, float; they are 0 until your program
 * has called BASS_Init. They are freed when what they belong to is stopped or freed; call BASS_Free after that, though
 * the other order does no harm.
 *
 * Life. The first call that makes something starts the library's Python, which takes up to a second, and never ends again:
 * once loaded, the library stays loaded, dlclose or not. What is open when the process exits is closed then. A process has
 * one copy of it; a second file of it is refused. After fork, the child must not use what the parent made.
 */
#ifndef BASS_WEBRTC_H
#define BASS_WEBRTC_H

#include <stdint.h>

#ifndef BASS_H /* bass.h has these. */
#ifdef _WIN32
typedef unsigned long DWORD;
#else
typedef uint32_t DWORD;
#endif
typedef DWORD HSTREAM;
#endif

#ifdef _WIN32
#define BASS_WEBRTC_CALL __stdcall
#else
#define BASS_WEBRTC_CALL
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ constants */

#define BASS_WEBRTC_VERSION 0x00010000 /* 0.1.0.0 */

/* WebRtcConfigFFI.signaling_mode */
#define BASS_WEBRTC_SIGNALING_CALLBACK 0 /* your program carries offers and answers: Option 3 */
#define BASS_WEBRTC_SIGNALING_WHIP 1     /* POST /whip: publishers only */
#define BASS_WEBRTC_SIGNALING_WHEP 2     /* POST /whep: players only */
#define BASS_WEBRTC_SIGNALING_HTTP 5     /* both, and the page, on one port: Option 1 */

/* source_channel, in the place of a BASS channel */
#define BASS_WEBRTC_SOURCE_NONE 0         /* nothing is sent; players are refused, publishers are not */
#define BASS_WEBRTC_SOURCE_PCM 0xFFFFFFFF /* what BASS_WEBRTC_PushPcm brings */

#define BASS_WEBRTC_ALL_PEERS 0xFFFFFFFF /* BASS_WEBRTC_ReadPcm: the mix */

/* BASS_WEBRTC_CreateOffer: what the peer is to do */
#define BASS_WEBRTC_PEER_SENDRECV 0  /* hear us and be heard */
#define BASS_WEBRTC_PEER_PLAYER 1    /* hear us */
#define BASS_WEBRTC_PEER_PUBLISHER 2 /* be heard */

#define BASS_WEBRTC_ANSWER_CAPACITY 4096 /* bytes that BASS_WEBRTC_AddPeer's answer_sdp has at least */

/* Error codes: BASS's where it has one. A call into BASS that failed gives BASS's own code, whichever it is. */
#define BASS_WEBRTC_OK 0
#define BASS_WEBRTC_ERROR_HANDLE 5       /* NULL, freed, of another kind, or no BASS channel */
#define BASS_WEBRTC_ERROR_START 9        /* BASS_WEBRTC_Start was not called, or BASS_WEBRTC_Stop was */
#define BASS_WEBRTC_ERROR_ALREADY 14     /* too late: it runs, or is loaded already */
#define BASS_WEBRTC_ERROR_ILLPARAM 20    /* an argument is wrong; the message says which and what is expected */
#define BASS_WEBRTC_ERROR_CREATE 33      /* the system did not give what is needed */
#define BASS_WEBRTC_ERROR_NOTAVAIL 37    /* no BASS library, no such peer, or nothing of that kind here */
#define BASS_WEBRTC_ERROR_TIMEOUT 40     /* nobody answered in time */
#define BASS_WEBRTC_ERROR_VERSION 43     /* this process runs a Python, or a bass-webrtc, of another version */
#define BASS_WEBRTC_ERROR_BUSY 46        /* a port is in use, or another thread is just starting or stopping it */
#define BASS_WEBRTC_ERROR_UNKNOWN -1     /* a fault of the library: please report the message */
#define BASS_WEBRTC_ERROR_PYTHON 5001    /* the library's Python cannot be used; the message says what to do */
#define BASS_WEBRTC_ERROR_SDP 5002       /* an offer, an answer or a candidate cannot be read or used */
#define BASS_WEBRTC_ERROR_SIGNALING 5003 /* a WHIP or WHEP server refused, or cannot be reached */
#define BASS_WEBRTC_ERROR_ICE 5004       /* there is no path to the peer */
#define BASS_WEBRTC_ERROR_DTLS 5005      /* the handshake with the peer failed */
#define BASS_WEBRTC_ERROR_PEERS 5006     /* max_peers are connected already */
#define BASS_WEBRTC_ERROR_BUFFER 5007    /* the buffer is too small; the length says how much is needed */

/* ------------------------------------------------------------------ structures: natural alignment, do not pack */

/* Settings of a server. A 0 in sample_rate, channels, opus_bitrate, buffer_ms or max_peers is the default. */
typedef struct {
    uint32_t sample_rate;  /* Hz of what BASS_WEBRTC_PushPcm brings, 8000 to 192000; default 48000. BASS channels of any
                               rate are converted, whatever stands here; what is sent is always 48000 Hz, stereo. */
    uint16_t channels;     /* of the same, 1 to 8; default 2 */
    uint32_t opus_bitrate; /* kbit/s, 6 to 510; default 128 */
    uint32_t buffer_ms;    /* with how much delay a jitter buffer begins at most, 10 to 1000; it adapts; default 100 */
    uint8_t max_peers;     /* how many may be connected at once; default 5 */
    uint8_t signaling_mode; /* BASS_WEBRTC_SIGNALING_* */
    uint16_t http_port;     /* TCP; 0: any that is free, see BASS_WEBRTC_GetPort */
    uint8_t decode_stream;  /* 1: streams of ours are decoding channels, for mixers */
} WebRtcConfigFFI;

/* Statistics of a server; totals since BASS_WEBRTC_Start. */
typedef struct {
    uint32_t active_peers; /* connected now */
    uint64_t total_packets_sent;
    uint64_t total_packets_received;
    uint64_t total_bytes_sent; /* UDP payload */
    uint64_t total_bytes_received;
    uint64_t total_encode_errors;
    uint64_t total_decode_errors; /* packets of the present peers that were no Opus */
    uint64_t output_underruns;    /* frames that were filled up with silence because the source had not enough */
    uint32_t input_buffer_level;  /* ms in the longest of the jitter buffers */
    uint8_t input_is_buffering;   /* 1: some jitter buffer waits for packets to begin */
} WebRtcStatsFFI;

/* Statistics of one peer; totals since it came. Names and meanings of W3C webrtc-stats. */
typedef struct {
    uint32_t peer_id;
    uint32_t state; /* PEER_STATE_* */
    uint64_t packets_sent;
    uint64_t packets_received;
    uint64_t bytes_sent; /* UDP payload */
    uint64_t bytes_received;
    int64_t packets_lost;  /* of a player: by its reports. Of a publisher: by our count */
    uint64_t late_packets; /* from here on: of what the peer sends to us */
    uint64_t duplicate_packets;
    uint64_t fec_packets_used;  /* lost frames that Opus's in-band copy replaced */
    uint64_t red_packets_used;  /* lost frames that a redundant copy (RFC 2198) replaced */
    uint64_t concealed_samples; /* per channel */
    double fraction_lost;       /* 0 to 1, of the last report of a player */
    double jitter_ms;
    double round_trip_time_ms;      /* -1: not known yet */
    double jitter_buffer_ms;        /* delay of the jitter buffer now */
    double jitter_buffer_target_ms; /* the delay that it wants */
    double audio_level_dbfs;        /* RMS; -127: silence */
    char local_address[64];         /* host:port; empty before there is a path */
    char remote_address[64];
} WebRtcPeerStatsFFI;

/* Your functions, called one after the other on a thread of ours, never on an audio thread. cdecl on every platform.
 * Strings are UTF-8 and valid during the call only. Any pointer may be NULL. They may call every function here; Stop and
 * Free in them do not wait for the callback that they are called from, and what was waiting to be told is still told. */
typedef struct {
    /* An offer or answer of ours: "offer" after BASS_WEBRTC_CreateOffer, "answer" after BASS_WEBRTC_AddPeer. */
    void (*on_sdp)(uint32_t peer_id, const char *sdp_type, const char *sdp, void *user);
    /* A candidate of ours, for the peer; an empty one: there are no more. sdp_mid may be NULL. */
    void (*on_ice_candidate)(uint32_t peer_id, const char *candidate, const char *sdp_mid, uint32_t sdp_mline_index,
                             void *user);
    /* PEER_STATE_*; in every signaling mode. */
    void (*on_peer_state)(uint32_t peer_id, uint32_t state, void *user);
    void *user_data;
} SignalingCallbacks;

enum {
    PEER_STATE_NEW,
    PEER_STATE_CONNECTING,
    PEER_STATE_CONNECTED,
    PEER_STATE_DISCONNECTED, /* kept for old programs, and never told: 30 s after its path is lost, a peer is closed */
    PEER_STATE_FAILED,       /* it ends before it was connected, and not by your program; PEER_STATE_CLOSED follows */
    PEER_STATE_CLOSED        /* it is over */
};

/* ------------------------------------------------------------------ the library */

/* The version of the library.
 *
 * Parameters: none.
 * Returns:    0xAABBCCDD for version AA.BB.CC.DD; the header you compiled with has BASS_WEBRTC_VERSION.
 * Ownership:  nothing.
 * Threads:    any; never waits. */
DWORD BASS_WEBRTC_CALL BASS_WEBRTC_GetVersion(void);

/* Why the calling thread's last call failed.
 *
 * Parameters: none.
 * Returns:    BASS_WEBRTC_OK after a call that did not fail, else BASS_WEBRTC_ERROR_* or a code of BASS.
 * Ownership:  nothing.
 * Threads:    any; each has an error of its own. Never waits, and changes nothing. */
int BASS_WEBRTC_CALL BASS_WEBRTC_ErrorGetCode(void);

/* The same in words: what was wrong, what is expected, what to do.
 *
 * Parameters: none.
 * Returns:    UTF-8 text, never NULL; empty after a call that did not fail.
 * Ownership:  the library's; good until this thread's next call.
 * Threads:    any; each has an error of its own. Never waits, and changes nothing. */
const char *BASS_WEBRTC_CALL BASS_WEBRTC_ErrorGetMessage(void);

/* ------------------------------------------------------------------ a server: Option 1 */

/* Makes a server. Nothing runs before BASS_WEBRTC_Start.
 *
 * Parameters: source_channel: a BASS decoding channel or recording, BASS_WEBRTC_SOURCE_PCM or BASS_WEBRTC_SOURCE_NONE.
 *             config: settings; NULL is {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_CALLBACK, 8080, 0}.
 * Returns:    a handle, or NULL: ILLPARAM, HANDLE (no such channel), NOTAVAIL (no BASS), PYTHON, VERSION.
 * Ownership:  the handle is yours, for BASS_WEBRTC_Free. The channel stays yours and must outlive it.
 * Threads:    any. The first call of a process takes up to a second. */
void *BASS_WEBRTC_CALL BASS_WEBRTC_Create(DWORD source_channel, const WebRtcConfigFFI *config);

/* Says where the server is reached. Without it: http_host "127.0.0.1", any free UDP port, no public address.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 *             http_host: address that the HTTP port listens on; "0.0.0.0" or "::" for all; NULL for "127.0.0.1".
 *             udp_port: the one UDP port of all peers in the HTTP modes; 0 takes any that is free.
 *             public_ips: addresses to announce besides the machine's own, behind 1:1 NAT, with commas between; or NULL.
 * Returns:    1, or 0: HANDLE, ALREADY (it runs), ILLPARAM.
 * Ownership:  strings are copied.
 * Threads:    any. Before BASS_WEBRTC_Start. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetAddress(void *handle, const char *http_host, uint16_t udp_port,
                                            const char *public_ips);

/* Sets the bearer token: what a server asks of everybody, or what a client sends.
 *
 * Parameters: handle: of BASS_WEBRTC_Create, BASS_WEBRTC_ConnectWhip or BASS_WEBRTC_ConnectWhep.
 *             token: without the word Bearer; NULL for none.
 * Returns:    1, or 0: HANDLE, ALREADY (it runs), ILLPARAM.
 * Ownership:  the string is copied.
 * Threads:    any. Before BASS_WEBRTC_Start or BASS_WEBRTC_WhipStart. A WHEP client begins anew with the token: call this
 *             before BASS_WEBRTC_WhepGetStream, whose stream goes. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetToken(void *handle, const char *token);

/* Names one more STUN or TURN server, which gets us through NATs (full ICE). Each peer then has UDP ports of its own.
 *
 * Parameters: handle: of BASS_WEBRTC_Create, BASS_WEBRTC_ConnectWhip or BASS_WEBRTC_ConnectWhep.
 *             url: "stun:HOST[:PORT]", "turn:HOST[:PORT][?transport=tcp]" or "turns:HOST[:PORT]".
 *             username, credential: of TURN; NULL or empty for STUN.
 * Returns:    1, or 0: HANDLE, ALREADY (it runs), ILLPARAM.
 * Ownership:  strings are copied.
 * Threads:    any. Before BASS_WEBRTC_Start or BASS_WEBRTC_WhipStart. A WHEP client begins anew, as with SetToken. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddIceServer(void *handle, const char *url, const char *username,
                                              const char *credential);

/* Sets the functions that are told what happens, in place of those before.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 *             callbacks: your functions; NULL for none any more.
 * Returns:    1, or 0: HANDLE.
 * Ownership:  the structure is copied. user_data is yours; no callback comes after BASS_WEBRTC_Stop or BASS_WEBRTC_Free
 *             has returned, unless that was called from a callback.
 * Threads:    any, also while it runs. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallbacks(void *handle, const SignalingCallbacks *callbacks);

/* Sets the bitrate of the Opus stream, from the next frame on.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 *             opus_bitrate: kbit/s, 6 to 510.
 * Returns:    1, or 0: HANDLE, ILLPARAM.
 * Ownership:  nothing.
 * Threads:    any, also while it runs. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetBitrate(void *handle, uint32_t opus_bitrate);

/* Starts it: opens the ports and sends. Nothing if it runs already.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 * Returns:    1 when the ports answer, or 0: HANDLE, BUSY (a port is in use), HANDLE of BASS (the channel is gone), CREATE.
 * Ownership:  nothing.
 * Threads:    any; waits some milliseconds. */
int BASS_WEBRTC_CALL BASS_WEBRTC_Start(void *handle);

/* Says goodbye to all peers, closes the ports, frees the streams. BASS_WEBRTC_Start may follow. Nothing if it does not run.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 * Returns:    1, or 0: HANDLE, BUSY (from a callback, while another thread is just stopping it).
 * Ownership:  the streams that it gave are freed.
 * Threads:    any; waits up to a second or so, and for a callback that is just running. */
int BASS_WEBRTC_CALL BASS_WEBRTC_Stop(void *handle);

/* Stops it and forgets the handle.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 * Returns:    1, or 0: HANDLE.
 * Ownership:  the handle is no handle any more. The source channel stays yours.
 * Threads:    any, also while other threads use the handle: their calls end well or with HANDLE. Waits as Stop does. */
int BASS_WEBRTC_CALL BASS_WEBRTC_Free(void *handle);

/* The TCP port of the HTTP server.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 * Returns:    the port, or 0: HANDLE, START, NOTAVAIL (callback signaling has none).
 * Ownership:  nothing.
 * Threads:    any. */
uint32_t BASS_WEBRTC_CALL BASS_WEBRTC_GetPort(void *handle);

/* The mix of all who send to us, as a BASS stream. Your program plays it, or gives it to a mixer.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 * Returns:    HSTREAM, the same each time; or 0: HANDLE, START, NOTAVAIL (BASS_Init was not called).
 * Ownership:  the library's; freed by BASS_WEBRTC_Stop. If you free it, the next call makes another.
 * Threads:    any. */
HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_GetInputStream(void *handle);

/* Statistics of the server, now; after BASS_WEBRTC_Stop the last ones.
 *
 * Parameters: handle: of BASS_WEBRTC_Create. stats: is filled.
 * Returns:    1, or 0: HANDLE, ILLPARAM.
 * Ownership:  stats is yours.
 * Threads:    any, an audio callback as well: a few microseconds, without Python. */
int BASS_WEBRTC_CALL BASS_WEBRTC_GetStats(void *handle, WebRtcStatsFFI *stats);

/* How many peers are connected.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 * Returns:    the number; 0 also on failure: HANDLE.
 * Ownership:  nothing.
 * Threads:    any, as BASS_WEBRTC_GetStats. */
uint32_t BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerCount(void *handle);

/* Whether it runs.
 *
 * Parameters: handle: of BASS_WEBRTC_Create.
 * Returns:    1 between BASS_WEBRTC_Start and BASS_WEBRTC_Stop, else 0; 0 also on failure: HANDLE.
 * Ownership:  nothing.
 * Threads:    any, as BASS_WEBRTC_GetStats. */
int BASS_WEBRTC_CALL BASS_WEBRTC_IsRunning(void *handle);

/* ------------------------------------------------------------------ callback signaling: Option 3 */

/* Answers a peer's offer. recvonly hears us, sendonly is heard, sendrecv both; a server without a source only hears.
 * on_sdp is told the same answer, soon; on_ice_candidate what is found after it.
 *
 * Parameters: handle: of BASS_WEBRTC_Create. offer_sdp: SDP of one peer.
 *             answer_sdp: gets the answer, NUL at its end; BASS_WEBRTC_ANSWER_CAPACITY bytes, or more.
 *             answer_len: is set to the answer's length without that NUL, and never read; or NULL.
 * Returns:    the peer's number, 0 to max_peers - 1, the lowest that is free; or -1: HANDLE, START, ILLPARAM, SDP, PEERS,
 *             BUFFER (*answer_len says how long it is; the peer is gone), NOTAVAIL (it was stopped meanwhile).
 * Ownership:  answer_sdp is yours.
 * Threads:    any; waits for STUN and TURN servers, half a second at most. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddPeer(void *handle, const char *offer_sdp, char *answer_sdp, uint32_t *answer_len);

/* The same, into a buffer of any size.
 *
 * Parameters: handle, offer_sdp, answer_len: as above.
 *             answer_sdp: of capacity bytes; with a capacity of 0, on_sdp alone brings the answer, and this may be NULL.
 * Returns:    as above.
 * Ownership:  answer_sdp is yours.
 * Threads:    as above. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddPeerEx(void *handle, const char *offer_sdp, char *answer_sdp, uint32_t capacity,
                                           uint32_t *answer_len);

/* Makes an offer for your program to bring to a peer, whose answer BASS_WEBRTC_SetAnswer takes. The peer's number is taken
 * until its connection ends, or BASS_WEBRTC_RemovePeer gives up waiting.
 *
 * Parameters: handle: of BASS_WEBRTC_Create. kind: BASS_WEBRTC_PEER_*.
 *             offer_sdp, capacity, offer_len: as answer_sdp and answer_len of BASS_WEBRTC_AddPeerEx.
 * Returns:    the peer's number, or -1: as BASS_WEBRTC_AddPeer; ILLPARAM also for a player of a server without a source.
 * Ownership:  offer_sdp is yours.
 * Threads:    any; waits as BASS_WEBRTC_AddPeer. */
int BASS_WEBRTC_CALL BASS_WEBRTC_CreateOffer(void *handle, uint32_t kind, char *offer_sdp, uint32_t capacity,
                                             uint32_t *offer_len);

/* Gives the peer's answer to the offer of BASS_WEBRTC_CreateOffer.
 *
 * Parameters: handle: of BASS_WEBRTC_Create. peer_id: of BASS_WEBRTC_CreateOffer. answer_sdp: SDP.
 * Returns:    1, or 0: HANDLE, START, NOTAVAIL (no such peer), SDP (a better one may follow), ILLPARAM (it was answered
 *             before, or made the offer itself).
 * Ownership:  the string is copied.
 * Threads:    any; does not wait for the connection. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetAnswer(void *handle, uint32_t peer_id, const char *answer_sdp);

/* Gives a candidate that the peer sent after its description, or before its answer.
 *
 * Parameters: handle: of BASS_WEBRTC_Create. peer_id: its number.
 *             candidate: as in JavaScript's RTCIceCandidate.candidate; empty when there are no more.
 * Returns:    1, or 0: HANDLE, START, NOTAVAIL (no such peer), SDP, ILLPARAM. A candidate that may not be used, such as a
 *             .local name, is left out, and that is no failure.
 * Ownership:  the string is copied.
 * Threads:    any; does not wait. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddIceCandidate(void *handle, uint32_t peer_id, const char *candidate);

/* Says goodbye to a peer, in every signaling mode.
 *
 * Parameters: handle: of BASS_WEBRTC_Create. peer_id: its number.
 * Returns:    1, or 0: HANDLE, START, NOTAVAIL (no such peer).
 * Ownership:  a stream of its own is freed.
 * Threads:    any. */
int BASS_WEBRTC_CALL BASS_WEBRTC_RemovePeer(void *handle, uint32_t peer_id);

/* ------------------------------------------------------------------ peers of a server */

/* What one peer sends, as a BASS stream. Asking for it takes that peer out of the mix.
 *
 * Parameters: handle: of BASS_WEBRTC_Create. peer_id: its number.
 * Returns:    HSTREAM, the same each time; or 0: HANDLE, START, NOTAVAIL (no such peer, it sends nothing, or no BASS_Init).
 * Ownership:  the library's; freed when the peer is gone.
 * Threads:    any. */
HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerStream(void *handle, uint32_t peer_id);

/* Statistics of one peer, now.
 *
 * Parameters: handle: of BASS_WEBRTC_Create; or of a WHIP or WHEP client, whose peer is number 0.
 *             peer_id: its number. stats: is filled.
 * Returns:    1, or 0: HANDLE, ILLPARAM, START, NOTAVAIL (no such peer).
 * Ownership:  stats is yours.
 * Threads:    any. */
int BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerStats(void *handle, uint32_t peer_id, WebRtcPeerStatsFFI *stats);

/* ------------------------------------------------------------------ audio without BASS */

/* Gives audio to be sent, where source_channel is BASS_WEBRTC_SOURCE_PCM. Half a second is kept.
 *
 * Parameters: handle: of BASS_WEBRTC_Create or BASS_WEBRTC_ConnectWhip.
 *             samples: float, full scale 1.0, channels interleaved; rate and channels as they were set there.
 *             frames: how many samples per channel.
 * Returns:    how many frames were taken, from the start: fewer when half a second is waiting; or -1: HANDLE, ILLPARAM,
 *             NOTAVAIL (its source is another).
 * Ownership:  samples is copied.
 * Threads:    any, one at a time. Never waits for the network. */
int BASS_WEBRTC_CALL BASS_WEBRTC_PushPcm(void *handle, const float *samples, uint32_t frames);

/* The next sound of what comes in; silence where nothing came. Read at the pace of a clock: 10 ms each 10 ms.
 *
 * Parameters: handle: of BASS_WEBRTC_Create or BASS_WEBRTC_ConnectWhep.
 *             peer_id: whose, which takes it out of the mix; or BASS_WEBRTC_ALL_PEERS for the mix.
 *             samples: gets float, 48 kHz, stereo interleaved: 2 * frames of them. frames: how many, up to 48000.
 * Returns:    frames, or -1: HANDLE, START, ILLPARAM, NOTAVAIL (no such peer).
 * Ownership:  samples is yours.
 * Threads:    any, one at a time for each peer and for the mix. Never waits for the network. */
int BASS_WEBRTC_CALL BASS_WEBRTC_ReadPcm(void *handle, uint32_t peer_id, float *samples, uint32_t frames);

/* ------------------------------------------------------------------ clients: Option 2 */

/* Makes a client that sends to a WHIP server. Nothing runs before BASS_WEBRTC_WhipStart.
 *
 * Parameters: source_channel: as BASS_WEBRTC_Create; not BASS_WEBRTC_SOURCE_NONE. whip_url: of the endpoint.
 *             sample_rate, channels: of what BASS_WEBRTC_PushPcm brings; 0: 48000, 2. opus_bitrate: kbit/s; 0: 128.
 * Returns:    a handle, or NULL: as BASS_WEBRTC_Create.
 * Ownership:  the handle is yours, for BASS_WEBRTC_WhipFree. The channel stays yours and must outlive it.
 * Threads:    any. The first call of a process takes up to a second. */
void *BASS_WEBRTC_CALL BASS_WEBRTC_ConnectWhip(DWORD source_channel, const char *whip_url, uint32_t sample_rate,
                                               uint16_t channels, uint32_t opus_bitrate);

/* Begins to connect, and again after each loss. Nothing if it runs already.
 *
 * Parameters: handle: of BASS_WEBRTC_ConnectWhip.
 * Returns:    1, or 0: HANDLE, or BASS's code if the channel cannot be read. Whether it is connected is another question.
 * Ownership:  nothing.
 * Threads:    any; does not wait for the server. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhipStart(void *handle);

/* Ends the session at the server. BASS_WEBRTC_WhipStart may follow. Nothing if it does not run.
 *
 * Parameters: handle: of BASS_WEBRTC_ConnectWhip.
 * Returns:    1, or 0: HANDLE.
 * Ownership:  nothing.
 * Threads:    any; waits for the server, for a few seconds if it does not answer. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhipStop(void *handle);

/* Whether audio flows.
 *
 * Parameters: handle: of BASS_WEBRTC_ConnectWhip.
 * Returns:    1 or 0. With 0, the error code says HANDLE, or why the server will not be asked again: SIGNALING, SDP;
 *             BASS_WEBRTC_OK: it is trying.
 * Ownership:  nothing.
 * Threads:    any. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhipIsConnected(void *handle);

/* Stops it and forgets the handle.
 *
 * Parameters: handle: of BASS_WEBRTC_ConnectWhip.
 * Returns:    1, or 0: HANDLE.
 * Ownership:  the handle is no handle any more. The source channel stays yours.
 * Threads:    any; waits as BASS_WEBRTC_WhipStop. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhipFree(void *handle);

/* Makes a client that plays what a WHEP server sends, and begins to connect, again after each loss.
 *
 * Parameters: whep_url: of the endpoint. sample_rate, channels: kept for old programs and not looked at: the stream is
 *             48 kHz, stereo. buffer_ms: as in WebRtcConfigFFI. decode_stream: 1 for a decoding channel.
 * Returns:    a handle, or NULL: ILLPARAM, CREATE, PYTHON, VERSION.
 * Ownership:  the handle is yours, for BASS_WEBRTC_WhepFree.
 * Threads:    any; does not wait for the server. The first call of a process takes up to a second. */
void *BASS_WEBRTC_CALL BASS_WEBRTC_ConnectWhep(const char *whep_url, uint32_t sample_rate, uint16_t channels,
                                               uint32_t buffer_ms, uint8_t decode_stream);

/* What comes, as a BASS stream; silence while nothing does. Your program plays it, or gives it to a mixer.
 *
 * Parameters: handle: of BASS_WEBRTC_ConnectWhep.
 * Returns:    HSTREAM, the same each time, over losses as well; or 0: HANDLE, NOTAVAIL (BASS_Init was not called).
 * Ownership:  the library's; freed by BASS_WEBRTC_WhepFree.
 * Threads:    any. */
HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_WhepGetStream(void *handle);

/* Whether audio flows, or could.
 *
 * Parameters: handle: of BASS_WEBRTC_ConnectWhep.
 * Returns:    as BASS_WEBRTC_WhipIsConnected.
 * Ownership:  nothing.
 * Threads:    any. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhepIsConnected(void *handle);

/* Ends the session at the server and forgets the handle.
 *
 * Parameters: handle: of BASS_WEBRTC_ConnectWhep.
 * Returns:    1, or 0: HANDLE.
 * Ownership:  the handle is no handle any more, its stream is freed.
 * Threads:    any; waits for the server, for a few seconds if it does not answer. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhepFree(void *handle);

#ifdef __cplusplus
}
#endif

#endif
