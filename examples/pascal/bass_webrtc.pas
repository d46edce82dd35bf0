{ bass_webrtc.pas: the C library for Delphi and Free Pascal. Add this unit to your program.

  bass_webrtc.h is the manual: names, results and errors are the same here. The library is bass_webrtc.dll or
  libbass_webrtc.so. On Windows build for 64 bits.

      var
        config: WebRtcConfigFFI;
        server: Pointer;
      begin
        FillChar(config, SizeOf(config), 0);
        config.signaling_mode := BASS_WEBRTC_SIGNALING_HTTP;
        config.http_port := 8080;
        server := BASS_WEBRTC_Create(song, @config);             // song: a BASS decoding channel
        if not BASS_WEBRTC_Start(server) then
          WriteLn(BASS_WEBRTC_ErrorGetMessage);
        ReadLn;                                                  // open http://127.0.0.1:8080/ and press Listen
        BASS_WEBRTC_Free(server);
      end.

  All strings are UTF-8: PAnsiChar(UTF8Encode(text)). The library calls callbacks on a thread of its own, so on Linux
  and macOS Free Pascal needs cthreads as the program's first unit. A callback must not raise an exception. }
unit bass_webrtc;

interface

{ Records are aligned as in C. }
{$IFDEF FPC}{$PACKRECORDS C}{$ELSE}{$ALIGN 8}{$ENDIF}

const
  { The file name of the library. }
{$IFDEF MSWINDOWS}
  BassWebRtcLibrary = 'bass_webrtc.dll';
{$ENDIF}
{$IFDEF LINUX}
  BassWebRtcLibrary = 'libbass_webrtc.so';
{$ENDIF}
{$IFDEF DARWIN}
  BassWebRtcLibrary = 'libbass_webrtc.dylib';
{$ENDIF}
{$IFDEF MACOS}
  BassWebRtcLibrary = 'libbass_webrtc.dylib';
{$ENDIF}

  BASS_WEBRTC_VERSION = $00010000;

  // WebRtcConfigFFI.signaling_mode
  BASS_WEBRTC_SIGNALING_CALLBACK = 0;
  BASS_WEBRTC_SIGNALING_WHIP = 1;
  BASS_WEBRTC_SIGNALING_WHEP = 2;
  BASS_WEBRTC_SIGNALING_HTTP = 5;

  // mode of BASS_WEBRTC_SetReceiveEnhancement
  BASS_WEBRTC_ENHANCEMENT_AUTO = 0;
  BASS_WEBRTC_ENHANCEMENT_ON = 1;
  BASS_WEBRTC_ENHANCEMENT_OFF = 2;

  // source_channel, if it is not a BASS channel
  BASS_WEBRTC_SOURCE_NONE = 0;
  BASS_WEBRTC_SOURCE_PCM = $FFFFFFFF;

  // peer_id of BASS_WEBRTC_ReadPcm: the mix of all peers
  BASS_WEBRTC_ALL_PEERS = $FFFFFFFF;

  // kind of BASS_WEBRTC_CreateOffer: what the remote peer does
  BASS_WEBRTC_PEER_SENDRECV = 0;
  BASS_WEBRTC_PEER_PLAYER = 1;
  BASS_WEBRTC_PEER_PUBLISHER = 2;

  // states of a call; NONE in BASS_WEBRTC_SetCalls only
  BASS_WEBRTC_CALL_STATE_NONE = 0;
  BASS_WEBRTC_CALL_STATE_WAITING = 1;
  BASS_WEBRTC_CALL_STATE_ON_AIR = 2;
  BASS_WEBRTC_CALL_STATE_PRIVATE = 3;
  BASS_WEBRTC_CALL_STATE_ENDED = 4;

  // event_type of on_call
  BASS_WEBRTC_CALL_EVENT_BEGAN = 0;
  BASS_WEBRTC_CALL_EVENT_CHANGED = 1;
  BASS_WEBRTC_CALL_EVENT_ENDED = 2;

  // minimum size of answer_sdp in BASS_WEBRTC_AddPeer, in bytes
  BASS_WEBRTC_ANSWER_CAPACITY = 4096;

  // sizes of url and invite_id in BASS_WEBRTC_CreateInvite, in bytes
  BASS_WEBRTC_LINK_CAPACITY = 1024;
  BASS_WEBRTC_INVITE_ID_CAPACITY = 64;

  // BASS_WEBRTC_ErrorGetCode
  BASS_WEBRTC_OK = 0;
  BASS_WEBRTC_ERROR_HANDLE = 5;
  BASS_WEBRTC_ERROR_START = 9;
  BASS_WEBRTC_ERROR_ALREADY = 14;
  BASS_WEBRTC_ERROR_ILLPARAM = 20;
  BASS_WEBRTC_ERROR_CREATE = 33;
  BASS_WEBRTC_ERROR_NOTAVAIL = 37;
  BASS_WEBRTC_ERROR_TIMEOUT = 40;
  BASS_WEBRTC_ERROR_VERSION = 43;
  BASS_WEBRTC_ERROR_BUSY = 46;
  BASS_WEBRTC_ERROR_UNKNOWN = -1;
  BASS_WEBRTC_ERROR_PYTHON = 5001;
  BASS_WEBRTC_ERROR_SDP = 5002;
  BASS_WEBRTC_ERROR_SIGNALING = 5003;
  BASS_WEBRTC_ERROR_ICE = 5004;
  BASS_WEBRTC_ERROR_DTLS = 5005;
  BASS_WEBRTC_ERROR_PEERS = 5006;
  BASS_WEBRTC_ERROR_BUFFER = 5007;

  // on_peer_state, and WebRtcPeerStatsFFI.state
  PEER_STATE_NEW = 0;
  PEER_STATE_CONNECTING = 1;
  PEER_STATE_CONNECTED = 2;
  PEER_STATE_DISCONNECTED = 3;
  PEER_STATE_FAILED = 4;
  PEER_STATE_CLOSED = 5;

type
  HSTREAM = Cardinal; // as in bass.pas

  // Settings of a server. A 0 in one of the first five selects the default.
  PWebRtcConfigFFI = ^WebRtcConfigFFI;
  WebRtcConfigFFI = record
    sample_rate: Cardinal;  // sample rate of the audio passed to BASS_WEBRTC_PushPcm, in Hz; default 48000
    channels: Word;         // channels of the audio passed to BASS_WEBRTC_PushPcm; default 2
    opus_bitrate: Cardinal; // in kbit/s, 6 to 510; default 128
    buffer_ms: Cardinal;    // upper limit of the initial delay of a jitter buffer, in ms; default 100
    max_peers: Byte;        // how many peers may be connected at the same time; default 5
    signaling_mode: Byte;   // BASS_WEBRTC_SIGNALING_*
    http_port: Word;        // TCP port; 0: any free port, see BASS_WEBRTC_GetPort
    decode_stream: Byte;    // 1: the streams that the library returns are decoding channels, for a mixer
  end;

  // Statistics of a server. The totals are since BASS_WEBRTC_Start.
  WebRtcStatsFFI = record
    active_peers: Cardinal;
    total_packets_sent: UInt64;
    total_packets_received: UInt64;
    total_bytes_sent: UInt64;
    total_bytes_received: UInt64;
    total_encode_errors: UInt64;
    total_decode_errors: UInt64;
    output_underruns: UInt64;
    input_buffer_level: Cardinal; // delay of the longest jitter buffer, in ms
    input_is_buffering: Byte;     // 1: a jitter buffer is waiting for packets before it starts
  end;

  // Statistics of one peer. The totals are since it was added.
  WebRtcPeerStatsFFI = record
    peer_id: Cardinal;
    state: Cardinal; // PEER_STATE_*
    packets_sent: UInt64;
    packets_received: UInt64;
    bytes_sent: UInt64;
    bytes_received: UInt64;
    packets_lost: Int64;
    late_packets: UInt64;
    duplicate_packets: UInt64;
    fec_packets_used: UInt64;
    red_packets_used: UInt64;
    concealed_samples: UInt64;
    fraction_lost: Double;
    jitter_ms: Double;
    round_trip_time_ms: Double; // in ms; -1: not measured yet
    jitter_buffer_ms: Double;
    jitter_buffer_target_ms: Double;
    audio_level_dbfs: Double;   // RMS level, in dBFS; -127: silence
    local_address: array[0..63] of AnsiChar; // HOST:PORT; empty until a network path is found
    remote_address: array[0..63] of AnsiChar;
  end;

  // One call.
  PWebRtcCallStatsFFI = ^WebRtcCallStatsFFI;
  WebRtcCallStatsFFI = record
    call_id: Cardinal;
    peer_id: Cardinal;    // number of its peer, until the call has ended
    state: Cardinal;      // BASS_WEBRTC_CALL_STATE_*
    bitrate_kbps: Cardinal;
    gain: Double;         // factor of what everybody hears of the caller, 0 to 4
    return_gain: Double;  // factor of what the caller hears, 0 to 4
    level_dbfs: Double;   // RMS level of the caller before its gain, in dBFS; -127: silence
    duration_s: Double;   // since the caller was connected, in s
    muted: Byte;
    talkback: Byte;       // 1: it hears the producers
    recording: Byte;
    name: array[0..255] of AnsiChar;     // UTF-8
    invite_id: array[0..63] of AnsiChar; // of the invite; empty if the caller came without one
  end;

  // The server has made an offer or an answer: sdp_type is 'offer' or 'answer'.
  TOnSdp = procedure(peer_id: Cardinal; sdp_type, sdp: PAnsiChar; user: Pointer); cdecl;

  // The server has found a candidate to send to the peer; an empty one means that there are no more. sdp_mid may be
  // nil.
  TOnIceCandidate = procedure(peer_id: Cardinal; candidate, sdp_mid: PAnsiChar; sdp_mline_index: Cardinal;
    user: Pointer); cdecl;

  // The state of a peer has changed: PEER_STATE_*.
  TOnPeerState = procedure(peer_id, state: Cardinal; user: Pointer); cdecl;

  // Your callbacks, which the library calls on its event thread. Any may be nil.
  PSignalingCallbacks = ^SignalingCallbacks;
  SignalingCallbacks = record
    on_sdp: TOnSdp;
    on_ice_candidate: TOnIceCandidate;
    on_peer_state: TOnPeerState;
    user_data: Pointer;
  end;

  // A call has begun, has changed or has ended: event_type is BASS_WEBRTC_CALL_EVENT_*. reason: why it has ended.
  TOnCall = procedure(event_type: Cardinal; call: PWebRtcCallStatsFFI; reason: PAnsiChar; user: Pointer); cdecl;

  // Your callbacks for calls, which the library calls on its event thread.
  PCallCallbacks = ^CallCallbacks;
  CallCallbacks = record
    on_call: TOnCall;
    user_data: Pointer;
  end;

// ------------------------------------------------------------------ library

// Returns the version of the library: $AABBCCDD.
function BASS_WEBRTC_GetVersion: Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns why this thread's last call failed: BASS_WEBRTC_ERROR_*, or an error code of BASS.
function BASS_WEBRTC_ErrorGetCode: Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns the same in words. The text is the library's, and valid until this thread's next call.
function BASS_WEBRTC_ErrorGetMessage: PAnsiChar;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ server (option 1)

// Creates a server; nil on failure. config may be nil. Free it with BASS_WEBRTC_Free.
function BASS_WEBRTC_Create(source_channel: Cardinal; config: PWebRtcConfigFFI): Pointer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the addresses of a server. Call it before BASS_WEBRTC_Start.
function BASS_WEBRTC_SetAddress(handle: Pointer; http_host: PAnsiChar; udp_port: Word; public_ips: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the names of a server, separated by commas; "*" for all.
function BASS_WEBRTC_SetAllowedHosts(handle: Pointer; names: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the web origins whose pages may use a server, separated by commas; "*" for all.
function BASS_WEBRTC_SetAllowedOrigins(handle: Pointer; origins: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the reverse proxies whose X-Forwarded-For a server trusts, separated by commas.
function BASS_WEBRTC_SetTrustedProxies(handle: Pointer; networks: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the URL at which clients reach a server through a reverse proxy.
function BASS_WEBRTC_SetPublicUrl(handle: Pointer; url: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets how many peers may come over HTTP from one address; 0 for half of max_peers.
function BASS_WEBRTC_SetMaxPeersPerAddress(handle: Pointer; peers: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets when received speech is enhanced: BASS_WEBRTC_ENHANCEMENT_*.
function BASS_WEBRTC_SetReceiveEnhancement(handle: Pointer; mode: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the bearer token that a server requires from every client, or that a client sends.
function BASS_WEBRTC_SetToken(handle: Pointer; token: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Adds a STUN or TURN server. Call it before the server or client is started.
function BASS_WEBRTC_AddIceServer(handle: Pointer; url, username, credential: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the callbacks of a server; nil for none.
function BASS_WEBRTC_SetCallbacks(handle: Pointer; callbacks: PSignalingCallbacks): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the bitrate in kbit/s. The server may be running.
function BASS_WEBRTC_SetBitrate(handle: Pointer; opus_bitrate: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Starts a server: opens its ports and begins to send.
function BASS_WEBRTC_Start(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Stops a server: disconnects all peers, closes the ports and frees the streams.
function BASS_WEBRTC_Stop(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Stops a server and frees its handle.
function BASS_WEBRTC_Free(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns the TCP port of the HTTP server, or 0 on failure.
function BASS_WEBRTC_GetPort(handle: Pointer): Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns the mix of everything that the peers send, as a BASS stream; 0 on failure.
function BASS_WEBRTC_GetInputStream(handle: Pointer): HSTREAM;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Fills in the current statistics of a server.
function BASS_WEBRTC_GetStats(handle: Pointer; var stats: WebRtcStatsFFI): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns how many peers are connected.
function BASS_WEBRTC_GetPeerCount(handle: Pointer): Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns whether a server is running.
function BASS_WEBRTC_IsRunning(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns whether the source has ended, and why: an error code of BASS.
function BASS_WEBRTC_GetSourceEnd(handle: Pointer; error, ends: PCardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ channels of a server

// Adds a channel: another programme, at /?channel=NAME and /whep/NAME.
function BASS_WEBRTC_AddChannel(handle: Pointer; name: PAnsiChar; source_channel: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Exchanges the source of a channel, with a cross-fade that it waits for; 'main' is the first.
function BASS_WEBRTC_SetChannelSource(handle: Pointer; name: PAnsiChar; source_channel, fade_ms: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Removes a channel and disconnects its listeners.
function BASS_WEBRTC_RemoveChannel(handle: Pointer; name: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns how many peers hear a channel.
function BASS_WEBRTC_GetListenerCount(handle: Pointer; name: PAnsiChar): Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ callback signaling (option 3)

// Answers an offer. Returns the peer's number, or -1. answer_sdp: BASS_WEBRTC_ANSWER_CAPACITY bytes or more.
function BASS_WEBRTC_AddPeer(handle: Pointer; offer_sdp, answer_sdp: PAnsiChar; answer_len: PCardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// As BASS_WEBRTC_AddPeer, with a buffer of any size.
function BASS_WEBRTC_AddPeerEx(handle: Pointer; offer_sdp, answer_sdp: PAnsiChar; capacity: Cardinal;
  answer_len: PCardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Makes an offer to a peer. Returns the peer's number, or -1. kind: BASS_WEBRTC_PEER_*.
function BASS_WEBRTC_CreateOffer(handle: Pointer; kind: Cardinal; offer_sdp: PAnsiChar; capacity: Cardinal;
  offer_len: PCardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the peer's answer to that offer.
function BASS_WEBRTC_SetAnswer(handle: Pointer; peer_id: Cardinal; answer_sdp: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Adds a candidate of the peer; an empty one means that there are no more.
function BASS_WEBRTC_AddIceCandidate(handle: Pointer; peer_id: Cardinal; candidate: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Disconnects a peer, in every signaling mode.
function BASS_WEBRTC_RemovePeer(handle: Pointer; peer_id: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ peers of a server

// Returns one peer's audio as a BASS stream; 0 on failure. Removes the peer from the mix.
function BASS_WEBRTC_GetPeerStream(handle: Pointer; peer_id: Cardinal): HSTREAM;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Fills in the current statistics of one peer; peer_id is 0 for a client.
function BASS_WEBRTC_GetPeerStats(handle: Pointer; peer_id: Cardinal; var stats: WebRtcPeerStatsFFI): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ calls of a server (option 4)

// Lets guests call. state: in which a call begins; max_calls: 0 for 20.
function BASS_WEBRTC_SetCalls(handle: Pointer; state, max_calls: Cardinal; requires_invite: Byte): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the bearer token of the producers at /desk; nil for no desk.
function BASS_WEBRTC_SetDeskToken(handle: Pointer; token: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Records calls and the programme; nil: not. rotate_seconds: 0 for one file each.
function BASS_WEBRTC_SetRecordings(handle: Pointer; calls_folder, programme_file: PAnsiChar;
  rotate_seconds: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the callbacks for calls; nil for none.
function BASS_WEBRTC_SetCallCallbacks(handle: Pointer; callbacks: PCallCallbacks): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the producers' microphone, a BASS channel; 0 for none.
function BASS_WEBRTC_SetTalkbackSource(handle: Pointer; source_channel: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets what callers who wait hear instead of the programme.
function BASS_WEBRTC_SetHoldSource(handle: Pointer; source_channel: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Makes a link with which a guest may call. url: BASS_WEBRTC_LINK_CAPACITY bytes; invite_id:
// BASS_WEBRTC_INVITE_ID_CAPACITY bytes, or nil.
function BASS_WEBRTC_CreateInvite(handle: Pointer; name: PAnsiChar; max_uses, expires_s: Cardinal; url: PAnsiChar;
  capacity: Cardinal; url_len: PCardinal; invite_id: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Ends an invite, and the calls that were made with it.
function BASS_WEBRTC_RevokeInvite(handle: Pointer; invite_id: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns the lowest number of a call above call_id, or 0 if there is none.
function BASS_WEBRTC_GetNextCall(handle: Pointer; call_id: Cardinal): Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Fills in what is known of a call now.
function BASS_WEBRTC_GetCallStats(handle: Pointer; call_id: Cardinal; var stats: WebRtcCallStatsFFI): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets who hears a caller, and what it hears: BASS_WEBRTC_CALL_STATE_*.
function BASS_WEBRTC_SetCallState(handle: Pointer; call_id, state: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the factor of what everybody hears of a caller, 0 to 4.
function BASS_WEBRTC_SetCallGain(handle: Pointer; call_id: Cardinal; gain: Double): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the factor of what a caller hears, 0 to 4.
function BASS_WEBRTC_SetCallReturnGain(handle: Pointer; call_id: Cardinal; gain: Double): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets whether a caller is muted: 1 or 0.
function BASS_WEBRTC_SetCallMuted(handle: Pointer; call_id: Cardinal; muted: Byte): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets whether a caller hears the producers: 1 or 0.
function BASS_WEBRTC_SetCallTalkback(handle: Pointer; call_id: Cardinal; talkback: Byte): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the name of a caller.
function BASS_WEBRTC_SetCallName(handle: Pointer; call_id: Cardinal; name: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Ends a call. reason: passed to on_call; may be nil.
function BASS_WEBRTC_HangUpCall(handle: Pointer; call_id: Cardinal; reason: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns one caller alone as a BASS stream; 0 on failure. It stays in the mix.
function BASS_WEBRTC_GetCallStream(handle: Pointer; call_id: Cardinal): HSTREAM;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ audio without BASS

// Passes audio to send, channels interleaved. Returns how many frames were taken, or -1.
function BASS_WEBRTC_PushPcm(handle: Pointer; samples: PSingle; frames: Cardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Reads the next received audio: 2 * frames samples, 48 kHz, stereo. Returns frames, or -1.
function BASS_WEBRTC_ReadPcm(handle: Pointer; peer_id: Cardinal; samples: PSingle; frames: Cardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ clients (option 2)

// Creates a client that sends to a WHIP server; nil on failure.
function BASS_WEBRTC_ConnectWhip(source_channel: Cardinal; whip_url: PAnsiChar; sample_rate: Cardinal;
  channels: Word; opus_bitrate: Cardinal): Pointer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Starts a WHIP client: connects in the background, and reconnects after each loss.
function BASS_WEBRTC_WhipStart(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Stops a WHIP client: ends the session at the server.
function BASS_WEBRTC_WhipStop(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns whether a WHIP client is connected, so that audio flows.
function BASS_WEBRTC_WhipIsConnected(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Stops a WHIP client and frees its handle.
function BASS_WEBRTC_WhipFree(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Creates a client that plays from a WHEP server; nil on failure.
function BASS_WEBRTC_ConnectWhep(whep_url: PAnsiChar; sample_rate: Cardinal; channels: Word; buffer_ms: Cardinal;
  decode_stream: Byte): Pointer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns the received audio as a BASS stream; 0 on failure.
function BASS_WEBRTC_WhepGetStream(handle: Pointer): HSTREAM;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Returns whether a WHEP client is connected; the server may be sending nothing.
function BASS_WEBRTC_WhepIsConnected(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Ends the session of a WHEP client at the server and frees the client's handle.
function BASS_WEBRTC_WhepFree(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets whether a client's server may send the client to any address: 1; default: 0.
function BASS_WEBRTC_SetAllowPrivate(handle: Pointer; allow: Byte): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the origins that get a client's token besides that of its URL, separated by commas.
function BASS_WEBRTC_SetTrustedOrigins(handle: Pointer; origins: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

implementation

end.
