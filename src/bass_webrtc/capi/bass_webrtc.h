/*
 * bass_webrtc.h: WebRTC for the BASS audio library, from C and every language that can call C. This file is the manual.
 *
 * libbass_webrtc is an add-on in the style of BASS. It plays a BASS channel in browsers, and returns browsers'
 * microphones as BASS streams. If you use bass.h, include it before this file. This file needs no other header and is
 * valid C99 and C++.
 *
 * From an SDK: link with the library, and ship it together with the folder bass_webrtc beside it. On Windows that is
 * bass_webrtc.dll and the folder, beside your .exe; your program must be an x64 program. From the Python package, on
 * Linux and macOS: "bass-webrtc capi build" builds the library for that Python environment, and "bass-webrtc capi
 * cflags" and "bass-webrtc capi ldflags" print the flags for your Makefile.
 *
 * Option 1: a server with a web page, WHIP and WHEP. Open http://127.0.0.1:8080/ and press Listen.
 *
 *     WebRtcConfigFFI config = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 8080, 0};
 *     HSTREAM song = BASS_StreamCreateFile(FALSE, "song.mp3", 0, 0, BASS_STREAM_DECODE);
 *     void *server = BASS_WEBRTC_Create(song, &config);
 *     if (!BASS_WEBRTC_Start(server))
 *         printf("%s\n", BASS_WEBRTC_ErrorGetMessage());
 *     BASS_ChannelPlay(BASS_WEBRTC_GetInputStream(server), FALSE);  // play what the browsers send
 *     getchar();
 *     BASS_WEBRTC_Free(server);                                     // also stops the server
 *
 * Option 2: clients of a WHIP or WHEP media server such as MediaMTX or Janus.
 *
 *     void *push = BASS_WEBRTC_ConnectWhip(song, "http://127.0.0.1:8889/radio/whip", 48000, 2, 128);
 *     BASS_WEBRTC_WhipStart(push);                                  // connects, and reconnects after a loss
 *     void *pull = BASS_WEBRTC_ConnectWhep("http://127.0.0.1:8889/radio/whep", 48000, 2, 100, 0);
 *     BASS_ChannelPlay(BASS_WEBRTC_WhepGetStream(pull), FALSE);
 *     ...
 *     BASS_WEBRTC_WhipFree(push);
 *     BASS_WEBRTC_WhepFree(pull);
 *
 * Option 3: callback signaling. Your program carries offers and answers to and from the peer by its own means. The
 * library opens no port before there is a peer, and connects through NATs.
 *
 *     void *server = BASS_WEBRTC_Create(song, NULL);                // or BASS_WEBRTC_SIGNALING_CALLBACK in a config
 *     BASS_WEBRTC_AddIceServer(server, "stun:stun.example", NULL, NULL);
 *     BASS_WEBRTC_SetCallbacks(server, &callbacks);                 // send on_ice_candidate's candidates to the peer
 *     BASS_WEBRTC_Start(server);
 *     char answer[BASS_WEBRTC_ANSWER_CAPACITY];
 *     uint32_t length;
 *     int peer = BASS_WEBRTC_AddPeer(server, offer, answer, &length);       // send the answer to the peer
 *     BASS_WEBRTC_AddIceCandidate(server, peer, candidate);                 // for each candidate from the peer
 *     BASS_ChannelPlay(BASS_WEBRTC_GetInputStream(server), FALSE);
 *     ...
 *     BASS_WEBRTC_RemovePeer(server, peer);
 *     BASS_WEBRTC_Free(server);
 *
 * Option 4: a phone-in show. Guests open a link, hear the programme and each other, never themselves, and wait until
 * your program puts them on air. Their browsers give a microphone only to a page with HTTPS, or on this machine.
 *
 *     WebRtcConfigFFI config = {48000, 2, 128, 100, 50, BASS_WEBRTC_SIGNALING_HTTP, 8080, 0};
 *     void *server = BASS_WEBRTC_Create(song, &config);
 *     BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_WAITING, 20, 0);
 *     CallCallbacks callbacks = {on_call, NULL};                    // is told who calls
 *     BASS_WEBRTC_SetCallCallbacks(server, &callbacks);
 *     BASS_WEBRTC_Start(server);
 *     char link[BASS_WEBRTC_LINK_CAPACITY];
 *     BASS_WEBRTC_CreateInvite(server, "Anna", 1, 3600, link, sizeof link, NULL, NULL);  // send Anna this link
 *     ...
 *     BASS_WEBRTC_SetCallState(server, call_id, BASS_WEBRTC_CALL_STATE_ON_AIR);  // call->call_id in on_call
 *     BASS_WEBRTC_SetCallGain(server, call_id, 0.8);
 *     BASS_WEBRTC_HangUpCall(server, call_id, NULL);
 *
 * Several programmes on one server, each with its listeners: BASS_WEBRTC_AddChannel. Browsers choose one on the page.
 *
 * To make the offer yourself, call BASS_WEBRTC_CreateOffer, and BASS_WEBRTC_SetAnswer with the peer's answer. Options 1
 * and 3 can be combined: the functions of option 3 work in every signaling mode.
 *
 * Results. A function that returns int returns 1 (TRUE) on success and 0 (FALSE) on failure, unless it says otherwise.
 * A function that returns a handle or a stream returns NULL or 0 on failure. After a failure BASS_WEBRTC_ErrorGetCode()
 * returns the error code and BASS_WEBRTC_ErrorGetMessage() an explanation. The "Errors" below list the codes without
 * their prefix BASS_WEBRTC_ERROR_. BASS's own BASS_ErrorGetCode() is not affected.
 *
 * Handles. A handle is a number, not an address. A handle that is NULL, freed or of another kind is refused with
 * BASS_WEBRTC_ERROR_HANDLE. The program that makes a handle frees it.
 *
 * Strings. All strings are UTF-8. Strings that you pass are copied and remain yours.
 *
 * Threads. Unless it says otherwise, a function may be called from any thread, including from a callback, and does not
 * wait for the network. From a STREAMPROC or another audio callback, call only BASS_WEBRTC_GetStats,
 * BASS_WEBRTC_GetPeerCount and BASS_WEBRTC_IsRunning.
 *
 * Log. With the environment variable BASS_WEBRTC_LOG_LEVEL set to debug, info, warning or error before the first call,
 * the library writes lines from that level on to standard error, such as each peer that arrives, leaves or is refused;
 * otherwise warnings and errors.
 *
 * Sources. A source channel must be a decoding channel (BASS_STREAM_DECODE) or a recording without a RECORDPROC, and
 * nothing else may read from it. It remains yours. After its end there is silence until it has audio again, see
 * BASS_WEBRTC_GetSourceEnd.
 *
 * Streams. The streams that the library returns are 48 kHz, stereo, float. They are 0 until your program has called
 * BASS_Init. They are freed when their server or client is stopped or freed. Call BASS_Free after that; the other order
 * does no harm.
 *
 * Calls. With BASS_WEBRTC_SetCalls, a peer that hears and speaks on one connection is a caller: a guest at /call, or a
 * sendrecv peer of BASS_WEBRTC_AddPeer or BASS_WEBRTC_CreateOffer. It counts as one of max_peers. Its state says who
 * hears it and what it hears: BASS_WEBRTC_CALL_STATE_*. The listeners of "main" hear the programme and the callers on
 * air, BASS_WEBRTC_GetInputStream returns the callers on air alone. Every change of state, gain, mute and talkback takes
 * 10 ms, without a click. A call has a number, which no other call has before BASS_WEBRTC_Stop. The number of its peer,
 * for BASS_WEBRTC_GetPeerStats, BASS_WEBRTC_ReadPcm and BASS_WEBRTC_RemovePeer, may be that of another peer later.
 *
 * Lifetime. The first call that makes a handle starts the library's Python, which takes up to a second. Python is never
 * finalised, and the library stays loaded, even after dlclose or FreeLibrary. Whatever is still open when the process
 * exits is closed then. On Windows, free your handles before that: the system ends the library's threads first, so that
 * peers are not told and only notice when nothing arrives any more. A process can use one copy of the library; a second
 * copy is refused, as is, on Windows, a process that has loaded another version of Python. Call no function from DllMain.
 *
 * Your process. The library changes no signal handling: Ctrl-C stays yours, SIGPIPE never reaches you through it, and its
 * threads, which also call your callbacks, block all signals but faults and the real-time signals that you leave open.
 * A process that you start in a callback inherits that. After fork, every function fails at once with
 * BASS_WEBRTC_ERROR_PYTHON in the child, which may exit normally or call exec; a child that was forked before the first
 * call can use the library. Standard streams may be closed: the null device takes the numbers 0, 1 and 2 then.
 */
#ifndef BASS_WEBRTC_H
#define BASS_WEBRTC_H

#include <stdint.h>

#ifndef BASS_H /* bass.h defines these. */
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

/* Values of WebRtcConfigFFI.signaling_mode. */
#define BASS_WEBRTC_SIGNALING_CALLBACK 0 /* no HTTP server; your program carries offers and answers (option 3) */
#define BASS_WEBRTC_SIGNALING_WHIP 1     /* HTTP server with POST /whip: publishers only */
#define BASS_WEBRTC_SIGNALING_WHEP 2     /* HTTP server with POST /whep: players only */
#define BASS_WEBRTC_SIGNALING_HTTP 5     /* HTTP server with both, and the web page (option 1) */

/* Values of source_channel that are not a BASS channel. */
#define BASS_WEBRTC_SOURCE_NONE 0         /* no source: publishers are accepted, players are refused */
#define BASS_WEBRTC_SOURCE_PCM 0xFFFFFFFF /* the audio passed to BASS_WEBRTC_PushPcm */

/* Value of peer_id in BASS_WEBRTC_ReadPcm. */
#define BASS_WEBRTC_ALL_PEERS 0xFFFFFFFF /* the mix of all peers */

/* Values of kind in BASS_WEBRTC_CreateOffer: what the remote peer does. */
#define BASS_WEBRTC_PEER_SENDRECV 0  /* receives the source and sends audio */
#define BASS_WEBRTC_PEER_PLAYER 1    /* receives the source */
#define BASS_WEBRTC_PEER_PUBLISHER 2 /* sends audio */

/* When received speech is enhanced: BASS_WEBRTC_SetReceiveEnhancement. */
#define BASS_WEBRTC_ENHANCEMENT_AUTO 0 /* for as many publishers as the thread that plays can carry */
#define BASS_WEBRTC_ENHANCEMENT_ON 1   /* always */
#define BASS_WEBRTC_ENHANCEMENT_OFF 2  /* never */

/* States of a call: WebRtcCallStatsFFI.state, BASS_WEBRTC_SetCalls and BASS_WEBRTC_SetCallState. */
#define BASS_WEBRTC_CALL_STATE_NONE 0    /* in BASS_WEBRTC_SetCalls only: there are no calls */
#define BASS_WEBRTC_CALL_STATE_WAITING 1 /* it hears the programme and is not on air; its own stream can be heard */
#define BASS_WEBRTC_CALL_STATE_ON_AIR 2  /* the listeners of "main", the other callers on air and the mix have it */
#define BASS_WEBRTC_CALL_STATE_PRIVATE 3 /* it hears the producers alone, and they alone hear it */
#define BASS_WEBRTC_CALL_STATE_ENDED 4   /* it has left; cannot be set: use BASS_WEBRTC_HangUpCall */

/* Values of event_type in on_call. */
#define BASS_WEBRTC_CALL_EVENT_BEGAN 0   /* a caller is connected */
#define BASS_WEBRTC_CALL_EVENT_CHANGED 1 /* your program or a desk has changed the call */
#define BASS_WEBRTC_CALL_EVENT_ENDED 2   /* a caller has left; reason says why */

#define BASS_WEBRTC_ANSWER_CAPACITY 4096  /* minimum size of answer_sdp in BASS_WEBRTC_AddPeer, in bytes */
#define BASS_WEBRTC_LINK_CAPACITY 1024    /* size of url in BASS_WEBRTC_CreateInvite that is usually enough, in bytes */
#define BASS_WEBRTC_INVITE_ID_CAPACITY 64 /* minimum size of invite_id in BASS_WEBRTC_CreateInvite, in bytes */

/* Error codes. Where BASS has a code for the error, it is the same number. If a call into BASS fails, the error code is
 * BASS's, including codes that are not listed here. */
#define BASS_WEBRTC_OK 0
#define BASS_WEBRTC_ERROR_HANDLE 5       /* the handle is NULL, freed or of another kind, or there is no such channel */
#define BASS_WEBRTC_ERROR_START 9        /* the server is not running: call BASS_WEBRTC_Start */
#define BASS_WEBRTC_ERROR_ALREADY 14     /* already running, already loaded, or the name is already in use */
#define BASS_WEBRTC_ERROR_ILLPARAM 20    /* an argument is invalid; the message names it and what is expected */
#define BASS_WEBRTC_ERROR_CREATE 33      /* the operating system refused a resource */
#define BASS_WEBRTC_ERROR_NOTAVAIL 37    /* no BASS library, no such peer, channel or call, or not in this mode */
#define BASS_WEBRTC_ERROR_TIMEOUT 40     /* no response in time */
#define BASS_WEBRTC_ERROR_VERSION 43     /* this process has another version of Python or of bass-webrtc */
#define BASS_WEBRTC_ERROR_BUSY 46        /* a port is in use, or another thread is starting or stopping the server */
#define BASS_WEBRTC_ERROR_UNKNOWN -1     /* internal error of the library; please report the message */
#define BASS_WEBRTC_ERROR_PYTHON 5001    /* the library's Python cannot be used; the message says what to do */
#define BASS_WEBRTC_ERROR_SDP 5002       /* an offer, an answer or a candidate cannot be parsed or used */
#define BASS_WEBRTC_ERROR_SIGNALING 5003 /* a WHIP or WHEP server refused, or cannot be reached */
#define BASS_WEBRTC_ERROR_ICE 5004       /* no network path to the peer was found */
#define BASS_WEBRTC_ERROR_DTLS 5005      /* the DTLS handshake with the peer failed */
#define BASS_WEBRTC_ERROR_PEERS 5006     /* max_peers peers are connected already */
#define BASS_WEBRTC_ERROR_BUFFER 5007    /* the buffer is too small; the length tells how much is needed */

/* ------------------------------------------------------------------ structures (natural alignment; do not pack) */

/* Settings of a server. A 0 in sample_rate, channels, opus_bitrate, buffer_ms or max_peers selects the default. */
typedef struct {
    uint32_t sample_rate;   /* sample rate of the audio passed to BASS_WEBRTC_PushPcm, in Hz: 8000 to 192000; default
                               48000. BASS channels are converted from their own rate; 48000 Hz stereo is sent. */
    uint16_t channels;      /* channels of the audio passed to BASS_WEBRTC_PushPcm: 1 to 8; default 2 */
    uint32_t opus_bitrate;  /* in kbit/s: 6 to 510; default 128 */
    uint32_t buffer_ms;     /* upper limit of the initial delay of a jitter buffer, which then adapts, in ms: 10 to
                               1000; default 100 */
    uint8_t max_peers;      /* how many peers may be connected at the same time; default 5. Half of them, rounded up,
                               may come over HTTP from one address, see BASS_WEBRTC_SetMaxPeersPerAddress. */
    uint8_t signaling_mode; /* BASS_WEBRTC_SIGNALING_* */
    uint16_t http_port;     /* TCP port; 0: any free port, see BASS_WEBRTC_GetPort */
    uint8_t decode_stream;  /* 1: the streams that the library returns are decoding channels, for a mixer */
} WebRtcConfigFFI;

/* Statistics of a server. The totals are since BASS_WEBRTC_Start. */
typedef struct {
    uint32_t active_peers;           /* peers that are connected now */
    uint64_t total_packets_sent;     /* packets */
    uint64_t total_packets_received; /* packets */
    uint64_t total_bytes_sent;       /* bytes of UDP payload */
    uint64_t total_bytes_received;   /* bytes of UDP payload */
    uint64_t total_encode_errors;    /* frames that could not be encoded */
    uint64_t total_decode_errors;    /* packets of the connected peers that were not valid Opus */
    uint64_t output_underruns;       /* frames completed with silence because the source delivered too little */
    uint32_t input_buffer_level;     /* delay of the longest jitter buffer, in ms */
    uint8_t input_is_buffering;      /* 1: a jitter buffer is waiting for packets before it starts */
} WebRtcStatsFFI;

/* Statistics of one peer. The totals are since it was added. Names and meanings follow W3C webrtc-stats. The fields
 * from late_packets on are about the audio that the peer sends, unless noted. */
typedef struct {
    uint32_t peer_id;               /* number of the peer */
    uint32_t state;                 /* PEER_STATE_* */
    uint64_t packets_sent;          /* packets sent to the peer */
    uint64_t packets_received;      /* packets received from the peer */
    uint64_t bytes_sent;            /* bytes of UDP payload */
    uint64_t bytes_received;        /* bytes of UDP payload */
    int64_t packets_lost;           /* packets; a player's from its RTCP reports, a publisher's counted here */
    uint64_t late_packets;          /* packets that arrived too late to be played */
    uint64_t duplicate_packets;     /* packets that arrived more than once */
    uint64_t fec_packets_used;      /* lost frames recovered from Opus in-band FEC */
    uint64_t red_packets_used;      /* lost frames recovered from a redundant copy (RFC 2198) */
    uint64_t concealed_samples;     /* samples per channel made up in place of lost or late audio */
    double fraction_lost;           /* 0 to 1, from a player's last RTCP report */
    double jitter_ms;               /* interarrival jitter, in ms; a player's comes from its RTCP reports */
    double round_trip_time_ms;      /* in ms; -1: not measured yet */
    double jitter_buffer_ms;        /* current delay of the jitter buffer, in ms */
    double jitter_buffer_target_ms; /* delay that the jitter buffer aims at, in ms */
    double audio_level_dbfs;        /* RMS level, in dBFS; -127: silence */
    char local_address[64];         /* HOST:PORT; empty until a network path is found */
    char remote_address[64];        /* HOST:PORT; empty until a network path is found */
} WebRtcPeerStatsFFI;

/* One call. Peer statistics of the same connection: BASS_WEBRTC_GetPeerStats. */
typedef struct {
    uint32_t call_id;      /* number of the call */
    uint32_t peer_id;      /* number of its peer, until the call has ended */
    uint32_t state;        /* BASS_WEBRTC_CALL_STATE_* */
    uint32_t bitrate_kbps; /* of what the caller hears, in kbit/s */
    double gain;           /* factor of what everybody hears of the caller, 0 to 4 */
    double return_gain;    /* factor of what the caller hears, 0 to 4 */
    double level_dbfs;     /* RMS level of the caller before its gain, in dBFS; -127: silence */
    double duration_s;     /* since the caller was connected, in s */
    uint8_t muted;         /* 1: it is not heard on air, whatever its state */
    uint8_t talkback;      /* 1: it hears the producers */
    uint8_t recording;     /* 1: it is recorded */
    char name[256];        /* UTF-8, at most 60 characters, in one line; chosen by the guest: show it as text only */
    char invite_id[64];    /* of the invite; empty if the caller came without one */
} WebRtcCallStatsFFI;

/* Your callbacks. They use the cdecl calling convention on every platform. The library calls them one at a time on its
 * event thread, never on an audio thread. Strings are UTF-8 and valid only during the call. Any callback may be NULL.
 *
 * A callback may call every function of this file. BASS_WEBRTC_Stop and BASS_WEBRTC_Free, when called in a callback, do
 * not wait for that callback to return, and events that were queued before are still delivered. */
typedef struct {
    /* The server has made an offer or an answer. sdp_type: "offer" after BASS_WEBRTC_CreateOffer, "answer" after
     * BASS_WEBRTC_AddPeer. user: user_data. */
    void (*on_sdp)(uint32_t peer_id, const char *sdp_type, const char *sdp, void *user);
    /* The server has found a local candidate to send to the peer. An empty candidate means that there are no more.
     * sdp_mid may be NULL. */
    void (*on_ice_candidate)(uint32_t peer_id, const char *candidate, const char *sdp_mid, uint32_t sdp_mline_index,
                             void *user);
    /* The state of a peer has changed. state: PEER_STATE_*. Called in every signaling mode. */
    void (*on_peer_state)(uint32_t peer_id, uint32_t state, void *user);
    void *user_data; /* passed to each callback */
} SignalingCallbacks;

/* Your callbacks for calls, which the library calls like those of SignalingCallbacks. */
typedef struct {
    /* A call has begun, has changed or has ended. event_type: BASS_WEBRTC_CALL_EVENT_*. call: what is known of it now,
     * valid only during the call of this function. reason: why it has ended; empty in the other events. */
    void (*on_call)(uint32_t event_type, const WebRtcCallStatsFFI *call, const char *reason, void *user);
    void *user_data; /* passed to each callback */
} CallCallbacks;

enum {
    PEER_STATE_NEW,
    PEER_STATE_CONNECTING,
    PEER_STATE_CONNECTED,
    PEER_STATE_DISCONNECTED, /* never reported, kept for compatibility: a peer is closed 30 s after it lost its path */
    PEER_STATE_FAILED,       /* the connection attempt failed; PEER_STATE_CLOSED follows */
    PEER_STATE_CLOSED        /* the peer is gone */
};

/* ------------------------------------------------------------------ library */

/* Returns the version of the library.
 *
 * Returns: 0xAABBCCDD for version AA.BB.CC.DD. BASS_WEBRTC_VERSION is the version that you compiled with. */
DWORD BASS_WEBRTC_CALL BASS_WEBRTC_GetVersion(void);

/* Returns why the calling thread's last call failed.
 *
 * Returns: BASS_WEBRTC_OK if that call succeeded, otherwise BASS_WEBRTC_ERROR_* or an error code of BASS.
 * Threads: each thread has its own error. Does not change it. */
int BASS_WEBRTC_CALL BASS_WEBRTC_ErrorGetCode(void);

/* Returns the same in words: what was wrong, what was expected, and what to do.
 *
 * Returns:   UTF-8 text, never NULL; empty if the calling thread's last call succeeded.
 * Ownership: the text is the library's, and valid until this thread's next call.
 * Threads:   each thread has its own error. Does not change it. */
const char *BASS_WEBRTC_CALL BASS_WEBRTC_ErrorGetMessage(void);

/* ------------------------------------------------------------------ server (option 1) */

/* Creates a server. It does nothing until BASS_WEBRTC_Start.
 *
 * Parameters: source_channel: a BASS decoding channel or recording, BASS_WEBRTC_SOURCE_PCM or BASS_WEBRTC_SOURCE_NONE.
 *             config: settings; NULL for {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_CALLBACK, 8080, 0}.
 * Returns:    a handle, or NULL on failure.
 * Errors:     ILLPARAM, HANDLE (no such channel), NOTAVAIL (no BASS library), PYTHON, VERSION, ALREADY (another copy of
 *             the library is loaded).
 * Ownership:  free the handle with BASS_WEBRTC_Free. The channel remains yours and must outlive the server.
 * Threads:    the first call of a process takes up to a second. */
void *BASS_WEBRTC_CALL BASS_WEBRTC_Create(DWORD source_channel, const WebRtcConfigFFI *config);

/* Sets the addresses of a server. Without this call: HTTP on 127.0.0.1, any free UDP port, no public addresses.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             http_host: address that the HTTP server listens on; "0.0.0.0" or "::" for all; NULL for "127.0.0.1".
 *             udp_port: UDP port that all peers share in the HTTP modes; 0 for any free port.
 *             public_ips: addresses to announce in addition to those of the machine, for a server behind 1:1 NAT,
 *             separated by commas; or NULL.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetAddress(void *handle, const char *http_host, uint16_t udp_port,
                                            const char *public_ips);

/* Sets the names of a server, in place of those set before: for a server behind a reverse proxy or with a name in the
 * local network. The HTTP server answers 421 to a request with another Host.
 *
 * IP addresses, localhost, the names of this machine and names that end in .local are always allowed. Without this call
 * only these are, at a loopback, private or link-local address; at a public address every name is.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             names: host names without a port, such as "radio.example", separated by commas; "*" for every name; NULL
 *             or empty for the default.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetAllowedHosts(void *handle, const char *names);

/* Sets the web origins whose pages may use a server, besides its own page, in place of those set before. The HTTP
 * server answers 403 to pages of other origins. Programs that are not browsers send no origin.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             origins: such as "https://radio.example", separated by commas; "*" for all; NULL or empty for none.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetAllowedOrigins(void *handle, const char *origins);

/* Sets the reverse proxies whose X-Forwarded-For, -Prefix and -Host a server trusts, in place of those set before. All
 * clients of another proxy count as one address, which has half of max_peers and 64 HTTP connections.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             networks: IP addresses and networks, such as "127.0.0.1,10.0.0.0/8", separated by commas; NULL or empty
 *             for none.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetTrustedProxies(void *handle, const char *networks);

/* Sets the URL at which clients reach a server through a reverse proxy. Its host is an allowed one, and the links of
 * BASS_WEBRTC_CreateInvite begin with it.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             url: such as "https://radio.example/radio/"; NULL or empty for none.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetPublicUrl(void *handle, const char *url);

/* Sets how many peers may come over HTTP from one IPv4 address or IPv6 /64. The HTTP server answers 429 to another one.
 * Unless it is max_peers, the last tenth of max_peers, at least one, is reserved for addresses without a peer.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             peers: 1 to max_peers; 0 for half of max_peers, rounded up.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetMaxPeersPerAddress(void *handle, uint32_t peers);

/* Sets when received speech is enhanced, with a neural network of libopus. Music is never changed.
 *
 * Without this call: BASS_WEBRTC_ENHANCEMENT_AUTO. Call it before BASS_WEBRTC_Start. A WHEP client connects anew, as for
 * BASS_WEBRTC_SetToken.
 *
 * Parameters: handle: from BASS_WEBRTC_Create or BASS_WEBRTC_ConnectWhep.
 *             mode: BASS_WEBRTC_ENHANCEMENT_*.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetReceiveEnhancement(void *handle, uint32_t mode);

/* Sets the bearer token that a server requires from every client, or that a client sends.
 *
 * Call it before BASS_WEBRTC_Start or BASS_WEBRTC_WhipStart. A WHEP client connects anew with the token and its stream
 * is freed, so call it before BASS_WEBRTC_WhepGetStream.
 *
 * Parameters: handle: from BASS_WEBRTC_Create, BASS_WEBRTC_ConnectWhip or BASS_WEBRTC_ConnectWhep.
 *             token: the token without the word "Bearer"; NULL for none.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server or client is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetToken(void *handle, const char *token);

/* Adds a STUN or TURN server, which makes connections through NATs possible (full ICE). Each peer then has UDP ports of
 * its own.
 *
 * Call it before BASS_WEBRTC_Start or BASS_WEBRTC_WhipStart. A WHEP client connects anew, as for BASS_WEBRTC_SetToken.
 *
 * Parameters: handle: from BASS_WEBRTC_Create, BASS_WEBRTC_ConnectWhip or BASS_WEBRTC_ConnectWhep.
 *             url: "stun:HOST[:PORT]", "turn:HOST[:PORT][?transport=tcp]" or "turns:HOST[:PORT]"; several may be
 *                  separated by commas. "turn:USER:PASSWORD@HOST" contains the credentials, percent-encoded.
 *             username, credential: of a TURN server; NULL or empty for STUN, or if the URL contains them.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server or client is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddIceServer(void *handle, const char *url, const char *username,
                                              const char *credential);

/* Sets the callbacks of a server, in place of those set before. It may be running.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             callbacks: your callbacks; NULL for none.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE.
 * Ownership:  the structure is copied. user_data remains yours: no callback is called after BASS_WEBRTC_Stop or
 *             BASS_WEBRTC_Free has returned, unless it was called from a callback. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallbacks(void *handle, const SignalingCallbacks *callbacks);

/* Sets the bitrate of the Opus streams of all channels, from the next frame on. The server may be running.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             opus_bitrate: in kbit/s, 6 to 510.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetBitrate(void *handle, uint32_t opus_bitrate);

/* Starts a server: opens its ports and begins to send. Does nothing if the server is running.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 * Returns:    1 once the ports accept connections, or 0 on failure.
 * Errors:     HANDLE (also if the source channel was freed), BUSY (a port is in use), CREATE.
 * Threads:    waits a few milliseconds. */
int BASS_WEBRTC_CALL BASS_WEBRTC_Start(void *handle);

/* Stops a server: disconnects all peers, closes the ports and frees the streams. Does nothing if the server is not
 * running. BASS_WEBRTC_Start can start it again.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, BUSY (in a callback, while another thread is stopping the server).
 * Ownership:  the streams that the server returned are freed.
 * Threads:    waits about a second at most, and for a callback that is running. */
int BASS_WEBRTC_CALL BASS_WEBRTC_Stop(void *handle);

/* Stops a server and frees its handle.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE.
 * Ownership:  the handle and the streams that the server returned are no longer valid. The channel remains yours.
 * Threads:    waits as BASS_WEBRTC_Stop. Other threads may be using the handle: their calls succeed, or fail with
 *             HANDLE. */
int BASS_WEBRTC_CALL BASS_WEBRTC_Free(void *handle);

/* Returns the TCP port of the HTTP server.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 * Returns:    the port, or 0 on failure.
 * Errors:     HANDLE, START, NOTAVAIL (callback signaling has no HTTP server). */
uint32_t BASS_WEBRTC_CALL BASS_WEBRTC_GetPort(void *handle);

/* Returns the mix of everything that the peers send, as a BASS stream. Play it, or add it to a mixer.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 * Returns:    an HSTREAM, the same on each call, or 0 on failure.
 * Errors:     HANDLE, START, NOTAVAIL (BASS_Init was not called).
 * Ownership:  the library's: BASS_WEBRTC_Stop frees it. If you free it, the next call makes a new one. */
HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_GetInputStream(void *handle);

/* Fills in the current statistics of a server, or the last ones after BASS_WEBRTC_Stop.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             stats: is filled in.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ILLPARAM.
 * Threads:    takes a few microseconds and does not use Python. May be called in an audio callback. */
int BASS_WEBRTC_CALL BASS_WEBRTC_GetStats(void *handle, WebRtcStatsFFI *stats);

/* Returns how many peers are connected.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 * Returns:    the number of peers; also 0 on failure.
 * Errors:     HANDLE.
 * Threads:    as BASS_WEBRTC_GetStats. */
uint32_t BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerCount(void *handle);

/* Returns whether a server is running.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 * Returns:    1 between BASS_WEBRTC_Start and BASS_WEBRTC_Stop, otherwise 0; also 0 on failure.
 * Errors:     HANDLE.
 * Threads:    as BASS_WEBRTC_GetStats. */
int BASS_WEBRTC_CALL BASS_WEBRTC_IsRunning(void *handle);

/* Returns whether the source of a WHIP client, or of a server's channel "main", has ended, and why. A BASS channel that
 * has audio again, because your program has rewound it with BASS_ChannelSetPosition or refilled it, is heard again.
 *
 * Parameters: handle: from BASS_WEBRTC_Create or BASS_WEBRTC_ConnectWhip.
 *             error: gets BASS's error code of the last end: BASS_ERROR_ENDED (45) after the last sample,
 *             BASS_ERROR_HANDLE (5) if the channel was freed, after which it is not heard again; 0 before the first
 *             end. May be NULL.
 *             ends: gets how often it has ended since the start. May be NULL.
 * Returns:    1 if it has ended and has no audio again yet, otherwise 0; also 0 on failure.
 * Errors:     HANDLE. */
int BASS_WEBRTC_CALL BASS_WEBRTC_GetSourceEnd(void *handle, uint32_t *error, uint32_t *ends);

/* ------------------------------------------------------------------ channels of a server */

/* Adds a channel: another programme on the same ports, with listeners of its own. Browsers choose it on the page or with
 * the link /?channel=NAME, players with POST /whep/NAME. The source of BASS_WEBRTC_Create is the channel "main".
 *
 * The server may be running. It keeps its channels, 64 at most, from BASS_WEBRTC_Stop to the next BASS_WEBRTC_Start.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             name: 1 to 64 of the characters A-Z a-z 0-9 . _ -, the first one not a dot.
 *             source_channel: a BASS decoding channel or recording; for audio of your own, a push stream of BASS. Only
 *             one channel or server at a time may have it: give others a splitter (BASS_Split_StreamCreate).
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE (also if there is no such BASS channel), ILLPARAM, ALREADY (the server has a channel of that name),
 *             NOTAVAIL (no BASS library), BUSY (in a callback, while another thread is starting or stopping the server).
 * Ownership:  the BASS channel remains yours and must outlive the server's channel. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddChannel(void *handle, const char *name, DWORD source_channel);

/* Exchanges the source of a channel. The listeners stay connected and hear one source fade into the other.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             name: of the channel; "main" for the one of BASS_WEBRTC_Create.
 *             source_channel: as for BASS_WEBRTC_AddChannel.
 *             fade_ms: length of the cross-fade in ms, 0 to 60000.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE (also if there is no such BASS channel), ILLPARAM, NOTAVAIL (no channel of that name, or the server
 *             was stopped during the call), BUSY (as for BASS_WEBRTC_AddChannel).
 * Ownership:  the BASS channel remains yours. The former one is not read any more once this function has returned.
 * Threads:    waits for the end of the cross-fade, and of one that is in progress. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetChannelSource(void *handle, const char *name, DWORD source_channel,
                                                  uint32_t fade_ms);

/* Removes a channel and disconnects its listeners. "main" cannot be removed.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             name: of the channel.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ILLPARAM, NOTAVAIL (no channel of that name), BUSY (as for BASS_WEBRTC_AddChannel).
 * Ownership:  the BASS channel is not read any more once this function has returned.
 * Threads:    waits a few milliseconds. */
int BASS_WEBRTC_CALL BASS_WEBRTC_RemoveChannel(void *handle, const char *name);

/* Returns how many peers hear a channel.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             name: of the channel; "main" for the one of BASS_WEBRTC_Create.
 * Returns:    the number of peers; also 0 while the server is not running, and on failure.
 * Errors:     HANDLE, ILLPARAM, NOTAVAIL (no channel of that name). */
uint32_t BASS_WEBRTC_CALL BASS_WEBRTC_GetListenerCount(void *handle, const char *name);

/* ------------------------------------------------------------------ callback signaling (option 3) */

/* Answers a peer's offer. With a recvonly offer the peer receives the source, with sendonly it sends audio, with
 * sendrecv it does both: if the server has calls, it is a caller. A server without a source only receives.
 *
 * on_sdp receives the same answer shortly afterwards; on_ice_candidate receives the candidates that are found later.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             offer_sdp: the peer's offer.
 *             answer_sdp: receives the answer, terminated by NUL; BASS_WEBRTC_ANSWER_CAPACITY bytes or more.
 *             answer_len: receives the length of the answer in bytes without the NUL; its value before is ignored; or
 *             NULL.
 * Returns:    the peer's number, or -1 on failure. Numbers are 0 to max_peers - 1; the lowest free one is used.
 * Errors:     HANDLE, START, ILLPARAM, SDP, PEERS, BUFFER (*answer_len is the length; the peer is removed), NOTAVAIL
 *             (the server was stopped during the call).
 * Threads:    waits for STUN and TURN servers, half a second at most. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddPeer(void *handle, const char *offer_sdp, char *answer_sdp, uint32_t *answer_len);

/* As BASS_WEBRTC_AddPeer, with a buffer of any size.
 *
 * Parameters: handle, offer_sdp, answer_len: as for BASS_WEBRTC_AddPeer.
 *             answer_sdp: receives the answer, terminated by NUL; NULL if capacity is 0.
 *             capacity: size of answer_sdp in bytes; 0 to receive the answer in on_sdp only.
 * Returns:    the peer's number, or -1 on failure.
 * Errors:     as BASS_WEBRTC_AddPeer.
 * Threads:    as BASS_WEBRTC_AddPeer. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddPeerEx(void *handle, const char *offer_sdp, char *answer_sdp, uint32_t capacity,
                                           uint32_t *answer_len);

/* Makes an offer for your program to send to a peer. Pass the peer's answer to BASS_WEBRTC_SetAnswer. The peer's number
 * stays in use until its connection ends, or BASS_WEBRTC_RemovePeer withdraws the offer.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             kind: BASS_WEBRTC_PEER_*.
 *             offer_sdp, capacity, offer_len: as answer_sdp, capacity and answer_len of BASS_WEBRTC_AddPeerEx.
 * Returns:    the peer's number, or -1 on failure.
 * Errors:     as BASS_WEBRTC_AddPeer; ILLPARAM also for a player if the server has no source.
 * Threads:    as BASS_WEBRTC_AddPeer. */
int BASS_WEBRTC_CALL BASS_WEBRTC_CreateOffer(void *handle, uint32_t kind, char *offer_sdp, uint32_t capacity,
                                             uint32_t *offer_len);

/* Sets the peer's answer to an offer of BASS_WEBRTC_CreateOffer. Does not wait for the connection.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             peer_id: from BASS_WEBRTC_CreateOffer.
 *             answer_sdp: the peer's answer.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, START, NOTAVAIL (no such peer), SDP (you may call it again with a valid answer), ILLPARAM (the
 *             offer was answered before, or the peer made the offer). */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetAnswer(void *handle, uint32_t peer_id, const char *answer_sdp);

/* Adds a candidate that the peer sent after its description, or before its answer. A candidate that cannot be used,
 * such as a .local name, is ignored without an error.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             peer_id: the peer's number.
 *             candidate: as in JavaScript's RTCIceCandidate.candidate; empty if there are no more.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, START, NOTAVAIL (no such peer), SDP, ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_AddIceCandidate(void *handle, uint32_t peer_id, const char *candidate);

/* Disconnects a peer, in every signaling mode.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             peer_id: the peer's number.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, START, NOTAVAIL (no such peer).
 * Ownership:  the stream of BASS_WEBRTC_GetPeerStream is freed. */
int BASS_WEBRTC_CALL BASS_WEBRTC_RemovePeer(void *handle, uint32_t peer_id);

/* ------------------------------------------------------------------ peers of a server */

/* Returns what one peer sends, as a BASS stream. The call removes that peer from the mix. Callers have
 * BASS_WEBRTC_GetCallStream instead.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             peer_id: the peer's number.
 * Returns:    an HSTREAM, the same on each call, or 0 on failure.
 * Errors:     HANDLE, START, NOTAVAIL (no such peer, it sends no audio, it is a caller, or BASS_Init was not called).
 * Ownership:  the library's: freed when the peer is gone. */
HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerStream(void *handle, uint32_t peer_id);

/* Fills in the current statistics of one peer.
 *
 * Parameters: handle: from BASS_WEBRTC_Create, BASS_WEBRTC_ConnectWhip or BASS_WEBRTC_ConnectWhep.
 *             peer_id: the peer's number; 0 for a client.
 *             stats: is filled in.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ILLPARAM, START, NOTAVAIL (no such peer). */
int BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerStats(void *handle, uint32_t peer_id, WebRtcPeerStatsFFI *stats);

/* ------------------------------------------------------------------ calls of a server (option 4) */

/* Lets guests call, at the page /call, with POST /call and with BASS_WEBRTC_AddPeer. Without this call there are no
 * calls.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             state: in which a call begins: BASS_WEBRTC_CALL_STATE_WAITING or BASS_WEBRTC_CALL_STATE_ON_AIR; or
 *             BASS_WEBRTC_CALL_STATE_NONE for no calls and no desk.
 *             max_calls: how many callers may be connected at the same time, 1 to 50; 0 for 20. Another guest is
 *             refused. max_peers and BASS_WEBRTC_SetMaxPeersPerAddress limit them, too.
 *             requires_invite: 1: refuse callers without an invite from the start; 0: as soon as there has been an
 *             invite.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), ILLPARAM (also if signaling_mode is
 *             BASS_WEBRTC_SIGNALING_WHIP or _WHEP). */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCalls(void *handle, uint32_t state, uint32_t max_calls, uint8_t requires_invite);

/* Sets the bearer token of the producers, who control the calls in a browser at /desk, or with its HTTP API. Without
 * this call there is no desk. Call it after BASS_WEBRTC_SetCalls.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             token: the token without the word "Bearer"; NULL for no desk.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), NOTAVAIL (the server has no calls), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetDeskToken(void *handle, const char *token);

/* Records without encoding again, in Ogg Opus files: each call from its beginning, as received, and the programme from the
 * start, as it is sent. The desk can stop and start them. Files that exist are not overwritten: the new one is numbered.
 * Call it after BASS_WEBRTC_SetCalls.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             calls_folder: for the calls, made if it does not exist; NULL: calls are not recorded.
 *             programme_file: for the programme; {date} and {time} are replaced. NULL: it is not recorded.
 *             rotate_seconds: length of each file, after which the next one begins; 0: one file.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the server is running), NOTAVAIL (a folder, but the server has no calls), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetRecordings(void *handle, const char *calls_folder, const char *programme_file,
                                               uint32_t rotate_seconds);

/* Sets the callbacks for calls, in place of those set before. The server may be running.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             callbacks: your callbacks; NULL for none.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE.
 * Ownership:  as for BASS_WEBRTC_SetCallbacks. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallCallbacks(void *handle, const CallCallbacks *callbacks);

/* Sets the producers' microphone: callers in BASS_WEBRTC_CALL_STATE_PRIVATE or with talkback hear it, nobody else.
 * Producers at the desk have microphones of their own besides. Call it after BASS_WEBRTC_SetCalls; the server may be
 * running.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             source_channel: as for BASS_WEBRTC_AddChannel, usually a recording; BASS_WEBRTC_SOURCE_NONE for none.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE (also if there is no such BASS channel), ILLPARAM, NOTAVAIL (the server has no calls, was stopped
 *             during the call, or there is no BASS library), BUSY (as for BASS_WEBRTC_AddChannel).
 * Ownership:  the BASS channel remains yours. The former one is not read any more once this function has returned.
 * Threads:    waits a few milliseconds. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetTalkbackSource(void *handle, DWORD source_channel);

/* Sets what callers in BASS_WEBRTC_CALL_STATE_WAITING hear instead of the programme. Call it after BASS_WEBRTC_SetCalls;
 * the server may be running.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             source_channel: as for BASS_WEBRTC_AddChannel; BASS_WEBRTC_SOURCE_NONE: they hear the programme.
 * Returns:    1, or 0 on failure.
 * Errors:     as for BASS_WEBRTC_SetTalkbackSource.
 * Ownership:  as for BASS_WEBRTC_SetTalkbackSource.
 * Threads:    waits a few milliseconds. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetHoldSource(void *handle, DWORD source_channel);

/* Makes a link with which a guest may call. From now on nobody may call over HTTP without one. The link can be used
 * until BASS_WEBRTC_Stop, the end of its time or its last use, or BASS_WEBRTC_RevokeInvite.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             name: of the guest, cut at 60 characters; NULL or empty lets the guest choose one.
 *             max_uses: number of calls, 1 to 1000; 0 for 1. A call that does not connect is not counted. As many calls
 *             can be made at the same time.
 *             expires_s: for how long a call can begin, in s, 60 to 2592000 (30 days); 0 for a day.
 *             url: receives the link, terminated by NUL. It begins with the URL of BASS_WEBRTC_SetPublicUrl, or else
 *             with that of the HTTP server.
 *             capacity: size of url in bytes; BASS_WEBRTC_LINK_CAPACITY is enough for a public URL of 900 bytes.
 *             url_len: receives the length of the link in bytes without the NUL; or NULL.
 *             invite_id: receives what BASS_WEBRTC_RevokeInvite needs, and WebRtcCallStatsFFI has, terminated by NUL;
 *             BASS_WEBRTC_INVITE_ID_CAPACITY bytes or more; or NULL.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, START, ILLPARAM, NOTAVAIL (the server has no calls, or no HTTP server), BUFFER (*url_len is the
 *             length; the invite is revoked), CREATE (1000 invites can be used already). */
int BASS_WEBRTC_CALL BASS_WEBRTC_CreateInvite(void *handle, const char *name, uint32_t max_uses, uint32_t expires_s,
                                              char *url, uint32_t capacity, uint32_t *url_len, char *invite_id);

/* Ends an invite, and the calls that were made with it.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             invite_id: from BASS_WEBRTC_CreateInvite or WebRtcCallStatsFFI.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, START, ILLPARAM, NOTAVAIL (no such invite, or it has ended). */
int BASS_WEBRTC_CALL BASS_WEBRTC_RevokeInvite(void *handle, const char *invite_id);

/* Returns the next call. To list all that are connected, begin with 0 and pass each result again, until it is 0.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call before; 0 for the first one.
 * Returns:    the lowest number of a call above call_id, or 0 if there is none; also 0 on failure.
 * Errors:     HANDLE, START. */
uint32_t BASS_WEBRTC_CALL BASS_WEBRTC_GetNextCall(void *handle, uint32_t call_id);

/* Fills in what is known of a call now.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 *             stats: is filled in.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ILLPARAM, START, NOTAVAIL (no such call, or it has ended). */
int BASS_WEBRTC_CALL BASS_WEBRTC_GetCallStats(void *handle, uint32_t call_id, WebRtcCallStatsFFI *stats);

/* Sets who hears a caller, and what it hears.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 *             state: BASS_WEBRTC_CALL_STATE_WAITING, _ON_AIR or _PRIVATE.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ILLPARAM, START, NOTAVAIL (no such call, or it has ended). */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallState(void *handle, uint32_t call_id, uint32_t state);

/* Sets the fader of a caller: the factor of what everybody hears of it.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 *             gain: 0 to 4 (+12 dB); 1 at first.
 * Returns:    1, or 0 on failure.
 * Errors:     as BASS_WEBRTC_SetCallState. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallGain(void *handle, uint32_t call_id, double gain);

/* Sets the factor of what a caller hears.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 *             gain: 0 to 4 (+12 dB); 1 at first.
 * Returns:    1, or 0 on failure.
 * Errors:     as BASS_WEBRTC_SetCallState. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallReturnGain(void *handle, uint32_t call_id, double gain);

/* Sets whether a caller is muted: not heard on air, whatever its state.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 *             muted: 1 or 0.
 * Returns:    1, or 0 on failure.
 * Errors:     as BASS_WEBRTC_SetCallState. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallMuted(void *handle, uint32_t call_id, uint8_t muted);

/* Sets whether a caller hears the producers, in addition to what its state gives. They hear it, unless it is on air.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 *             talkback: 1 or 0.
 * Returns:    1, or 0 on failure.
 * Errors:     as BASS_WEBRTC_SetCallState. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallTalkback(void *handle, uint32_t call_id, uint8_t talkback);

/* Sets the name of a caller.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 *             name: of the caller, cut at 60 characters; control characters are removed.
 * Returns:    1, or 0 on failure.
 * Errors:     as BASS_WEBRTC_SetCallState. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallName(void *handle, uint32_t call_id, const char *name);

/* Ends a call, without waiting. on_call is told.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 *             reason: passed to on_call; NULL or empty for "the call was ended by the producer".
 * Returns:    1, or 0 on failure.
 * Errors:     as BASS_WEBRTC_SetCallState. */
int BASS_WEBRTC_CALL BASS_WEBRTC_HangUpCall(void *handle, uint32_t call_id, const char *reason);

/* Returns one caller alone as a BASS stream, whatever its state, gain and mute, to listen to it before it is on air.
 * The caller stays in the mix while it is on air.
 *
 * Parameters: handle: from BASS_WEBRTC_Create.
 *             call_id: number of the call.
 * Returns:    an HSTREAM, the same on each call, or 0 on failure.
 * Errors:     HANDLE, START, NOTAVAIL (no such call, it has ended, or BASS_Init was not called).
 * Ownership:  the library's: freed when the call has ended. */
HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_GetCallStream(void *handle, uint32_t call_id);

/* ------------------------------------------------------------------ audio without BASS */

/* Passes audio to send, if source_channel is BASS_WEBRTC_SOURCE_PCM. The queue holds half a second.
 *
 * Parameters: handle: from BASS_WEBRTC_Create or BASS_WEBRTC_ConnectWhip.
 *             samples: float, full scale is 1.0, channels interleaved, with the sample rate and channels set there.
 *             frames: number of samples per channel.
 * Returns:    how many frames were taken from the start of samples, fewer than frames when the queue is full; or -1 on
 *             failure.
 * Errors:     HANDLE, ILLPARAM, NOTAVAIL (the source is not BASS_WEBRTC_SOURCE_PCM).
 * Ownership:  samples is copied.
 * Threads:    one thread at a time. */
int BASS_WEBRTC_CALL BASS_WEBRTC_PushPcm(void *handle, const float *samples, uint32_t frames);

/* Reads the next audio that was received, with silence where nothing was. Call it at the pace of a clock: 10 ms of
 * audio every 10 ms.
 *
 * Parameters: handle: from BASS_WEBRTC_Create or BASS_WEBRTC_ConnectWhep.
 *             peer_id: the peer to read, which removes it from the mix unless it is a caller; or BASS_WEBRTC_ALL_PEERS
 *             for the mix.
 *             samples: receives 2 * frames samples: float, 48 kHz, stereo interleaved.
 *             frames: number of samples per channel, at most 48000.
 * Returns:    frames, or -1 on failure.
 * Errors:     HANDLE, START, ILLPARAM, NOTAVAIL (no such peer).
 * Threads:    one thread at a time for each peer and for the mix. */
int BASS_WEBRTC_CALL BASS_WEBRTC_ReadPcm(void *handle, uint32_t peer_id, float *samples, uint32_t frames);

/* ------------------------------------------------------------------ clients (option 2) */

/* Creates a client that sends to a WHIP server. It does nothing until BASS_WEBRTC_WhipStart.
 *
 * Parameters: source_channel: as for BASS_WEBRTC_Create, but not BASS_WEBRTC_SOURCE_NONE.
 *             whip_url: URL of the WHIP endpoint.
 *             sample_rate: of the audio passed to BASS_WEBRTC_PushPcm, in Hz; 0 for 48000.
 *             channels: of the audio passed to BASS_WEBRTC_PushPcm; 0 for 2.
 *             opus_bitrate: in kbit/s; 0 for 128.
 * Returns:    a handle, or NULL on failure.
 * Errors:     as BASS_WEBRTC_Create.
 * Ownership:  free the handle with BASS_WEBRTC_WhipFree. The channel remains yours and must outlive the client.
 * Threads:    the first call of a process takes up to a second. */
void *BASS_WEBRTC_CALL BASS_WEBRTC_ConnectWhip(DWORD source_channel, const char *whip_url, uint32_t sample_rate,
                                               uint16_t channels, uint32_t opus_bitrate);

/* Starts a WHIP client: connects in the background, and reconnects after each loss. Does nothing if it is running.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhip.
 * Returns:    1, or 0 on failure. BASS_WEBRTC_WhipIsConnected returns whether it is connected.
 * Errors:     HANDLE, or an error code of BASS if the channel cannot be read. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhipStart(void *handle);

/* Stops a WHIP client: ends the session at the server. Does nothing if the client is not running. BASS_WEBRTC_WhipStart
 * can start it again.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhip.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE.
 * Threads:    waits for the server's response, a few seconds at most. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhipStop(void *handle);

/* Returns whether a WHIP client is connected, so that audio flows.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhip.
 * Returns:    1 or 0. With 0, the error code is BASS_WEBRTC_OK while the client is trying to connect.
 * Errors:     HANDLE; or why the client has given up: SIGNALING, SDP. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhipIsConnected(void *handle);

/* Stops a WHIP client and frees its handle.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhip.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE.
 * Ownership:  the handle is no longer valid. The source channel remains yours.
 * Threads:    waits as BASS_WEBRTC_WhipStop. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhipFree(void *handle);

/* Creates a client that plays from a WHEP server. It connects in the background, and reconnects after each loss.
 *
 * Parameters: whep_url: URL of the WHEP endpoint.
 *             sample_rate, channels: ignored, kept for compatibility: the stream is 48 kHz, stereo.
 *             buffer_ms: as in WebRtcConfigFFI.
 *             decode_stream: 1: the stream is a decoding channel.
 * Returns:    a handle, or NULL on failure.
 * Errors:     ILLPARAM, CREATE, PYTHON, VERSION, ALREADY (another copy of the library is loaded).
 * Ownership:  free the handle with BASS_WEBRTC_WhepFree.
 * Threads:    the first call of a process takes up to a second. */
void *BASS_WEBRTC_CALL BASS_WEBRTC_ConnectWhep(const char *whep_url, uint32_t sample_rate, uint16_t channels,
                                               uint32_t buffer_ms, uint8_t decode_stream);

/* Returns the received audio as a BASS stream, which is silent while nothing is received. Play it, or add it to a
 * mixer.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhep.
 * Returns:    an HSTREAM, the same on each call and after a reconnection, or 0 on failure.
 * Errors:     HANDLE, NOTAVAIL (BASS_Init was not called).
 * Ownership:  the library's: BASS_WEBRTC_WhepFree frees it. */
HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_WhepGetStream(void *handle);

/* Returns whether a WHEP client is connected; the server may be sending nothing.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhep.
 * Returns:    as BASS_WEBRTC_WhipIsConnected.
 * Errors:     as BASS_WEBRTC_WhipIsConnected. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhepIsConnected(void *handle);

/* Ends the session of a WHEP client at the server and frees the client's handle.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhep.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE.
 * Ownership:  the handle and its stream are no longer valid.
 * Threads:    waits for the server's response, a few seconds at most. */
int BASS_WEBRTC_CALL BASS_WEBRTC_WhepFree(void *handle);

/* Sets whether a client's server may send the client to any address, by redirects, session URLs and ICE servers.
 * Without this call a server with a public address may send it to public addresses only; another one also into private
 * networks, but not to this machine, unless the server itself is at that address.
 *
 * Call it before BASS_WEBRTC_WhipStart. A WHEP client connects anew, as for BASS_WEBRTC_SetToken.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhip or BASS_WEBRTC_ConnectWhep.
 *             allow: 1: anywhere; 0: the default.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the client is running). */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetAllowPrivate(void *handle, uint8_t allow);

/* Sets the origins that get a client's token, besides that of its URL, when the server redirects the client there or
 * names a session URL there; in place of those set before.
 *
 * Call it before BASS_WEBRTC_WhipStart. A WHEP client connects anew, as for BASS_WEBRTC_SetToken.
 *
 * Parameters: handle: from BASS_WEBRTC_ConnectWhip or BASS_WEBRTC_ConnectWhep.
 *             origins: such as "https://media.example", separated by commas; NULL or empty for none.
 * Returns:    1, or 0 on failure.
 * Errors:     HANDLE, ALREADY (the client is running), ILLPARAM. */
int BASS_WEBRTC_CALL BASS_WEBRTC_SetTrustedOrigins(void *handle, const char *origins);

#ifdef __cplusplus
}
#endif

#endif
