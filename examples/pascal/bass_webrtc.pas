{ bass_webrtc.pas: libbass_webrtc for Delphi and Free Pascal. Add this unit to your program.

  Names, results and errors are those of bass_webrtc.h, which is the manual. "bass-webrtc capi build" makes the library.

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

  Strings are UTF-8, in and out: PAnsiChar(UTF8Encode(text)). Callbacks come on a thread of the library's, so that Free
  Pascal on Linux and macOS wants cthreads as the program's first unit. No exception may leave a callback. }
unit bass_webrtc;

interface

{ Records have C's alignment. }
{$IFDEF FPC}{$PACKRECORDS C}{$ELSE}{$ALIGN 8}{$ENDIF}

const
  { Its file, as the system's loader knows it. }
{$IFDEF MSWINDOWS}
  BassWebRtcLibrary = 'libbass_webrtc.dll';
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

  // source_channel, in the place of a BASS channel
  BASS_WEBRTC_SOURCE_NONE = 0;
  BASS_WEBRTC_SOURCE_PCM = $FFFFFFFF;

  // peer_id of BASS_WEBRTC_ReadPcm: the mix
  BASS_WEBRTC_ALL_PEERS = $FFFFFFFF;

  // kind of BASS_WEBRTC_CreateOffer: what the peer is to do
  BASS_WEBRTC_PEER_SENDRECV = 0;
  BASS_WEBRTC_PEER_PLAYER = 1;
  BASS_WEBRTC_PEER_PUBLISHER = 2;

  // bytes that answer_sdp of BASS_WEBRTC_AddPeer has at least
  BASS_WEBRTC_ANSWER_CAPACITY = 4096;

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

  // Settings of a server. A 0 in the first five is the default.
  PWebRtcConfigFFI = ^WebRtcConfigFFI;
  WebRtcConfigFFI = record
    sample_rate: Cardinal;  // Hz of what BASS_WEBRTC_PushPcm brings; default 48000
    channels: Word;         // of the same; default 2
    opus_bitrate: Cardinal; // kbit/s, 6 to 510; default 128
    buffer_ms: Cardinal;    // with how much delay a jitter buffer begins at most; default 100
    max_peers: Byte;        // how many may be connected at once; default 5
    signaling_mode: Byte;   // BASS_WEBRTC_SIGNALING_*
    http_port: Word;        // TCP; 0 takes any that is free, see BASS_WEBRTC_GetPort
    decode_stream: Byte;    // 1: the library's streams are decoding channels, for mixers
  end;

  // Statistics of a server; totals since BASS_WEBRTC_Start.
  WebRtcStatsFFI = record
    active_peers: Cardinal;
    total_packets_sent: UInt64;
    total_packets_received: UInt64;
    total_bytes_sent: UInt64;
    total_bytes_received: UInt64;
    total_encode_errors: UInt64;
    total_decode_errors: UInt64;
    output_underruns: UInt64;
    input_buffer_level: Cardinal; // ms in the longest of the jitter buffers
    input_is_buffering: Byte;     // 1: some jitter buffer waits for packets to begin
  end;

  // Statistics of one peer; totals since it came.
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
    round_trip_time_ms: Double; // -1: not known yet
    jitter_buffer_ms: Double;
    jitter_buffer_target_ms: Double;
    audio_level_dbfs: Double;   // RMS; -127: silence
    local_address: array[0..63] of AnsiChar; // host:port; empty before there is a path
    remote_address: array[0..63] of AnsiChar;
  end;

  // An offer or answer of ours: sdp_type is 'offer' or 'answer'.
  TOnSdp = procedure(peer_id: Cardinal; sdp_type, sdp: PAnsiChar; user: Pointer); cdecl;

  // A candidate of ours, for the peer; an empty one: there are no more. sdp_mid may be nil.
  TOnIceCandidate = procedure(peer_id: Cardinal; candidate, sdp_mid: PAnsiChar; sdp_mline_index: Cardinal;
    user: Pointer); cdecl;

  // A peer has another state, PEER_STATE_*.
  TOnPeerState = procedure(peer_id, state: Cardinal; user: Pointer); cdecl;

  // Your procedures, called on a thread of the library's; any may be nil.
  PSignalingCallbacks = ^SignalingCallbacks;
  SignalingCallbacks = record
    on_sdp: TOnSdp;
    on_ice_candidate: TOnIceCandidate;
    on_peer_state: TOnPeerState;
    user_data: Pointer;
  end;

// ------------------------------------------------------------------ the library

// The version of the library: $AABBCCDD.
function BASS_WEBRTC_GetVersion: Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Why the calling thread's last call failed: BASS_WEBRTC_ERROR_*, or a code of BASS.
function BASS_WEBRTC_ErrorGetCode: Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// The same in words, which are the library's until this thread's next call.
function BASS_WEBRTC_ErrorGetMessage: PAnsiChar;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ a server: Option 1

// Makes a server; nil on failure. config may be nil. Free it with BASS_WEBRTC_Free.
function BASS_WEBRTC_Create(source_channel: Cardinal; config: PWebRtcConfigFFI): Pointer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Says where the server is reached, before it is started.
function BASS_WEBRTC_SetAddress(handle: Pointer; http_host: PAnsiChar; udp_port: Word; public_ips: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the bearer token: what a server asks of everybody, or what a client sends.
function BASS_WEBRTC_SetToken(handle: Pointer; token: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Names one more STUN or TURN server, before the start.
function BASS_WEBRTC_AddIceServer(handle: Pointer; url, username, credential: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the procedures that are told what happens; nil for none any more.
function BASS_WEBRTC_SetCallbacks(handle: Pointer; callbacks: PSignalingCallbacks): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Sets the bitrate in kbit/s, also while it runs.
function BASS_WEBRTC_SetBitrate(handle: Pointer; opus_bitrate: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Starts it: opens the ports and sends.
function BASS_WEBRTC_Start(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Says goodbye to all peers, closes the ports, frees the streams.
function BASS_WEBRTC_Stop(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Stops it and forgets the handle.
function BASS_WEBRTC_Free(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// The TCP port of the HTTP server, or 0.
function BASS_WEBRTC_GetPort(handle: Pointer): Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// The mix of all who send to us, as a BASS stream, or 0.
function BASS_WEBRTC_GetInputStream(handle: Pointer): HSTREAM;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Statistics of the server, now.
function BASS_WEBRTC_GetStats(handle: Pointer; var stats: WebRtcStatsFFI): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// How many peers are connected.
function BASS_WEBRTC_GetPeerCount(handle: Pointer): Cardinal;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Whether it runs.
function BASS_WEBRTC_IsRunning(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ callback signaling: Option 3

// Answers an offer; the peer's number, or -1. Give BASS_WEBRTC_ANSWER_CAPACITY bytes.
function BASS_WEBRTC_AddPeer(handle: Pointer; offer_sdp, answer_sdp: PAnsiChar; answer_len: PCardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// The same, into a buffer of any size.
function BASS_WEBRTC_AddPeerEx(handle: Pointer; offer_sdp, answer_sdp: PAnsiChar; capacity: Cardinal;
  answer_len: PCardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Makes an offer to a peer; its number, or -1. kind: BASS_WEBRTC_PEER_*.
function BASS_WEBRTC_CreateOffer(handle: Pointer; kind: Cardinal; offer_sdp: PAnsiChar; capacity: Cardinal;
  offer_len: PCardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Gives the peer's answer to that offer.
function BASS_WEBRTC_SetAnswer(handle: Pointer; peer_id: Cardinal; answer_sdp: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Gives a candidate of the peer; an empty one: there are no more.
function BASS_WEBRTC_AddIceCandidate(handle: Pointer; peer_id: Cardinal; candidate: PAnsiChar): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Says goodbye to a peer, in every signaling mode.
function BASS_WEBRTC_RemovePeer(handle: Pointer; peer_id: Cardinal): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ peers of a server

// What one peer sends, as a BASS stream, or 0. Takes it out of the mix.
function BASS_WEBRTC_GetPeerStream(handle: Pointer; peer_id: Cardinal): HSTREAM;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Statistics of one peer, now; a client's is number 0.
function BASS_WEBRTC_GetPeerStats(handle: Pointer; peer_id: Cardinal; var stats: WebRtcPeerStatsFFI): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ audio without BASS

// Gives audio to be sent, channels interleaved; how many frames were taken, or -1.
function BASS_WEBRTC_PushPcm(handle: Pointer; samples: PSingle; frames: Cardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// The next sound of what comes in: 48 kHz, stereo, 2 * frames samples; frames, or -1.
function BASS_WEBRTC_ReadPcm(handle: Pointer; peer_id: Cardinal; samples: PSingle; frames: Cardinal): Integer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// ------------------------------------------------------------------ clients: Option 2

// Makes a client that sends to a WHIP server; nil on failure.
function BASS_WEBRTC_ConnectWhip(source_channel: Cardinal; whip_url: PAnsiChar; sample_rate: Cardinal;
  channels: Word; opus_bitrate: Cardinal): Pointer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Begins to connect, and again after each loss.
function BASS_WEBRTC_WhipStart(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Ends the session at the server.
function BASS_WEBRTC_WhipStop(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Whether audio flows.
function BASS_WEBRTC_WhipIsConnected(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Stops it and forgets the handle.
function BASS_WEBRTC_WhipFree(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Makes a client that plays what a WHEP server sends; nil on failure.
function BASS_WEBRTC_ConnectWhep(whep_url: PAnsiChar; sample_rate: Cardinal; channels: Word; buffer_ms: Cardinal;
  decode_stream: Byte): Pointer;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// What comes, as a BASS stream, or 0.
function BASS_WEBRTC_WhepGetStream(handle: Pointer): HSTREAM;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Whether audio flows, or could.
function BASS_WEBRTC_WhepIsConnected(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

// Ends the session at the server and forgets the handle.
function BASS_WEBRTC_WhepFree(handle: Pointer): LongBool;
  {$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}; external BassWebRtcLibrary;

implementation

end.
