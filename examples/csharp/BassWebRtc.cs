// BassWebRtc.cs: the C library for C# and the other languages of .NET and Mono. Add this file to your project.
//
// bass_webrtc.h is the manual: names, results and errors are the same here. The library, bass_webrtc.dll or
// libbass_webrtc.so, is searched for beside the program and in the system's library path, on Linux LD_LIBRARY_PATH. On
// Windows build for x64.
//
//     using System;
//     using BassWebRtc;
//     using static BassWebRtc.Native;
//
//     var config = new WebRtcConfigFFI { signaling_mode = BASS_WEBRTC_SIGNALING_HTTP, http_port = 8080 };
//     IntPtr server = BASS_WEBRTC_Create(song, ref config);      // song: a BASS decoding channel
//     if (!BASS_WEBRTC_Start(server))
//         Console.WriteLine(ErrorMessage());
//     Console.ReadLine();                                        // open http://127.0.0.1:8080/ and press Listen
//     BASS_WEBRTC_Free(server);
//
// Keep the callbacks alive: the garbage collector does not know that the library calls your delegates. Store the
// SignalingCallbacks and CallCallbacks in fields until BASS_WEBRTC_Free has returned. A callback must not throw an
// exception.
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace BassWebRtc
{
    /// <summary>State of a peer.</summary>
    public enum PeerState : uint
    {
        PEER_STATE_NEW,
        PEER_STATE_CONNECTING,
        PEER_STATE_CONNECTED,
        PEER_STATE_DISCONNECTED,
        PEER_STATE_FAILED,
        PEER_STATE_CLOSED
    }

    /// <summary>Settings of a server. A 0 in one of the first five selects the default.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct WebRtcConfigFFI
    {
        /// <summary>Sample rate of the audio passed to BASS_WEBRTC_PushPcm, in Hz; default 48000.</summary>
        public uint sample_rate;
        /// <summary>Channels of the audio passed to BASS_WEBRTC_PushPcm; default 2.</summary>
        public ushort channels;
        /// <summary>In kbit/s, 6 to 510; default 128.</summary>
        public uint opus_bitrate;
        /// <summary>Upper limit of the initial delay of a jitter buffer, in ms; default 100.</summary>
        public uint buffer_ms;
        /// <summary>How many peers may be connected at the same time; default 5.</summary>
        public byte max_peers;
        /// <summary>BASS_WEBRTC_SIGNALING_*.</summary>
        public byte signaling_mode;
        /// <summary>TCP port; 0: any free port, see BASS_WEBRTC_GetPort.</summary>
        public ushort http_port;
        /// <summary>1: the streams that the library returns are decoding channels, for a mixer.</summary>
        public byte decode_stream;
    }

    /// <summary>Statistics of a server. The totals are since BASS_WEBRTC_Start.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct WebRtcStatsFFI
    {
        public uint active_peers;
        public ulong total_packets_sent;
        public ulong total_packets_received;
        public ulong total_bytes_sent;
        public ulong total_bytes_received;
        public ulong total_encode_errors;
        public ulong total_decode_errors;
        public ulong output_underruns;
        /// <summary>Delay of the longest jitter buffer, in ms.</summary>
        public uint input_buffer_level;
        /// <summary>1: a jitter buffer is waiting for packets before it starts.</summary>
        public byte input_is_buffering;
    }

    /// <summary>Statistics of one peer. The totals are since it was added.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct WebRtcPeerStatsFFI
    {
        public uint peer_id;
        public PeerState state;
        public ulong packets_sent;
        public ulong packets_received;
        public ulong bytes_sent;
        public ulong bytes_received;
        public long packets_lost;
        public ulong late_packets;
        public ulong duplicate_packets;
        public ulong fec_packets_used;
        public ulong red_packets_used;
        public ulong concealed_samples;
        public double fraction_lost;
        public double jitter_ms;
        /// <summary>In ms; -1: not measured yet.</summary>
        public double round_trip_time_ms;
        public double jitter_buffer_ms;
        public double jitter_buffer_target_ms;
        /// <summary>RMS level, in dBFS; -127: silence.</summary>
        public double audio_level_dbfs;
        /// <summary>HOST:PORT; empty until a network path is found.</summary>
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 64)] public string local_address;
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 64)] public string remote_address;
    }

    /// <summary>One call.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct WebRtcCallStatsFFI
    {
        public uint call_id;
        /// <summary>Number of its peer, until the call has ended.</summary>
        public uint peer_id;
        /// <summary>BASS_WEBRTC_CALL_STATE_*.</summary>
        public uint state;
        public uint bitrate_kbps;
        /// <summary>Factor of what everybody hears of the caller, 0 to 4.</summary>
        public double gain;
        /// <summary>Factor of what the caller hears, 0 to 4.</summary>
        public double return_gain;
        /// <summary>RMS level of the caller before its gain, in dBFS; -127: silence.</summary>
        public double level_dbfs;
        /// <summary>Since the caller was connected, in s.</summary>
        public double duration_s;
        public byte muted;
        /// <summary>1: it hears the producers.</summary>
        public byte talkback;
        public byte recording;
        /// <summary>UTF-8, terminated by 0; Native.Text makes a string of it.</summary>
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 256)] public byte[] name;
        /// <summary>Of the invite; empty if the caller came without one.</summary>
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 64)] public string invite_id;
    }

    /// <summary>The server has made an offer or an answer: sdp_type is "offer" or "answer".</summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void OnSdp(
        uint peer_id,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string sdp_type,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string sdp,
        IntPtr user);

    /// <summary>
    /// The server has found a candidate to send to the peer; an empty one means that there are no more. sdp_mid may be
    /// null.
    /// </summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void OnIceCandidate(
        uint peer_id,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string candidate,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string sdp_mid,
        uint sdp_mline_index,
        IntPtr user);

    /// <summary>The state of a peer has changed.</summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void OnPeerState(uint peer_id, PeerState state, IntPtr user);

    /// <summary>Your callbacks, which the library calls on its event thread. Any may be null.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct SignalingCallbacks
    {
        public OnSdp on_sdp;
        public OnIceCandidate on_ice_candidate;
        public OnPeerState on_peer_state;
        public IntPtr user_data;
    }

    /// <summary>
    /// A call has begun, has changed or has ended: event_type is BASS_WEBRTC_CALL_EVENT_*. reason: why it has ended.
    /// </summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void OnCall(
        uint event_type,
        ref WebRtcCallStatsFFI call,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string reason,
        IntPtr user);

    /// <summary>Your callbacks for calls, which the library calls on its event thread.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct CallCallbacks
    {
        public OnCall on_call;
        public IntPtr user_data;
    }

    /// <summary>The constants and functions of bass_webrtc.h.</summary>
    public static class Native
    {
        /// <summary>Name of the library's file; the system's loader appends .so, .dylib or .dll.</summary>
        public const string Library = "bass_webrtc";

        public const int BASS_WEBRTC_VERSION = 0x00010000;

        // WebRtcConfigFFI.signaling_mode
        public const int BASS_WEBRTC_SIGNALING_CALLBACK = 0;
        public const int BASS_WEBRTC_SIGNALING_WHIP = 1;
        public const int BASS_WEBRTC_SIGNALING_WHEP = 2;
        public const int BASS_WEBRTC_SIGNALING_HTTP = 5;

        // mode of BASS_WEBRTC_SetReceiveEnhancement
        public const uint BASS_WEBRTC_ENHANCEMENT_AUTO = 0;
        public const uint BASS_WEBRTC_ENHANCEMENT_ON = 1;
        public const uint BASS_WEBRTC_ENHANCEMENT_OFF = 2;

        // source_channel, if it is not a BASS channel
        public const uint BASS_WEBRTC_SOURCE_NONE = 0;
        public const uint BASS_WEBRTC_SOURCE_PCM = 0xFFFFFFFF;

        // peer_id of BASS_WEBRTC_ReadPcm: the mix of all peers
        public const uint BASS_WEBRTC_ALL_PEERS = 0xFFFFFFFF;

        // kind of BASS_WEBRTC_CreateOffer: what the remote peer does
        public const int BASS_WEBRTC_PEER_SENDRECV = 0;
        public const int BASS_WEBRTC_PEER_PLAYER = 1;
        public const int BASS_WEBRTC_PEER_PUBLISHER = 2;

        // states of a call; NONE in BASS_WEBRTC_SetCalls only
        public const uint BASS_WEBRTC_CALL_STATE_NONE = 0;
        public const uint BASS_WEBRTC_CALL_STATE_WAITING = 1;
        public const uint BASS_WEBRTC_CALL_STATE_ON_AIR = 2;
        public const uint BASS_WEBRTC_CALL_STATE_PRIVATE = 3;
        public const uint BASS_WEBRTC_CALL_STATE_ENDED = 4;

        // event_type of OnCall
        public const uint BASS_WEBRTC_CALL_EVENT_BEGAN = 0;
        public const uint BASS_WEBRTC_CALL_EVENT_CHANGED = 1;
        public const uint BASS_WEBRTC_CALL_EVENT_ENDED = 2;

        // minimum size of answer_sdp in BASS_WEBRTC_AddPeer, in bytes
        public const int BASS_WEBRTC_ANSWER_CAPACITY = 4096;

        // sizes of url and invite_id in BASS_WEBRTC_CreateInvite, in bytes
        public const int BASS_WEBRTC_LINK_CAPACITY = 1024;
        public const int BASS_WEBRTC_INVITE_ID_CAPACITY = 64;

        // BASS_WEBRTC_ErrorGetCode
        public const int BASS_WEBRTC_OK = 0;
        public const int BASS_WEBRTC_ERROR_HANDLE = 5;
        public const int BASS_WEBRTC_ERROR_START = 9;
        public const int BASS_WEBRTC_ERROR_ALREADY = 14;
        public const int BASS_WEBRTC_ERROR_ILLPARAM = 20;
        public const int BASS_WEBRTC_ERROR_CREATE = 33;
        public const int BASS_WEBRTC_ERROR_NOTAVAIL = 37;
        public const int BASS_WEBRTC_ERROR_TIMEOUT = 40;
        public const int BASS_WEBRTC_ERROR_VERSION = 43;
        public const int BASS_WEBRTC_ERROR_BUSY = 46;
        public const int BASS_WEBRTC_ERROR_UNKNOWN = -1;
        public const int BASS_WEBRTC_ERROR_PYTHON = 5001;
        public const int BASS_WEBRTC_ERROR_SDP = 5002;
        public const int BASS_WEBRTC_ERROR_SIGNALING = 5003;
        public const int BASS_WEBRTC_ERROR_ICE = 5004;
        public const int BASS_WEBRTC_ERROR_DTLS = 5005;
        public const int BASS_WEBRTC_ERROR_PEERS = 5006;
        public const int BASS_WEBRTC_ERROR_BUFFER = 5007;

        // -------------------------------------------------------------- library
        // DllImport's default calling convention is that of the header: stdcall on Windows, cdecl elsewhere.

        /// <summary>Returns the version of the library: 0xAABBCCDD.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetVersion();

        /// <summary>Returns why this thread's last call failed: BASS_WEBRTC_ERROR_*, or an error code of BASS.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_ErrorGetCode();

        /// <summary>Returns the same in words, as a pointer to UTF-8 text; ErrorMessage returns a string.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_ErrorGetMessage();

        /// <summary>Returns the text of BASS_WEBRTC_ErrorGetMessage as a string.</summary>
        public static string ErrorMessage()
        {
            IntPtr text = BASS_WEBRTC_ErrorGetMessage();
            int length = 0;
            while (Marshal.ReadByte(text, length) != 0)
                length++;
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes); // The .NET Framework has no Marshal.PtrToStringUTF8.
        }

        /// <summary>Returns a text that the library has written into a buffer, or the name of a call.</summary>
        public static string Text(byte[] buffer)
        {
            int end = Array.IndexOf(buffer, (byte)0);
            return Encoding.UTF8.GetString(buffer, 0, end < 0 ? buffer.Length : end);
        }

        // -------------------------------------------------------------- server (option 1)

        /// <summary>Creates a server; IntPtr.Zero on failure. Free it with BASS_WEBRTC_Free.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_Create(uint source_channel, ref WebRtcConfigFFI config);

        /// <summary>Creates a server with the default settings: config is IntPtr.Zero.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_Create(uint source_channel, IntPtr config);

        /// <summary>Sets the addresses of a server. Call it before BASS_WEBRTC_Start.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetAddress(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string http_host,
            ushort udp_port,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string public_ips);

        /// <summary>Sets the names of a server, separated by commas; "*" for all.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetAllowedHosts(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string names);

        /// <summary>Sets the web origins whose pages may use a server, separated by commas; "*" for all.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetAllowedOrigins(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string origins);

        /// <summary>Sets the reverse proxies whose X-Forwarded-For a server trusts, separated by commas.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetTrustedProxies(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string networks);

        /// <summary>Sets the URL at which clients reach a server through a reverse proxy.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetPublicUrl(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string url);

        /// <summary>Sets how many peers may come over HTTP from one address; 0 for half of max_peers.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetMaxPeersPerAddress(IntPtr handle, uint peers);

        /// <summary>Sets when received speech is enhanced: BASS_WEBRTC_ENHANCEMENT_*.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetReceiveEnhancement(IntPtr handle, uint mode);

        /// <summary>Sets the bearer token that a server requires from every client, or that a client sends.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetToken(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string token);

        /// <summary>Adds a STUN or TURN server. Call it before the server or client is started.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_AddIceServer(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string url,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string username,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string credential);

        /// <summary>Sets the callbacks of a server. Keep them alive.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallbacks(IntPtr handle, ref SignalingCallbacks callbacks);

        /// <summary>Removes the callbacks of a server: callbacks is IntPtr.Zero.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallbacks(IntPtr handle, IntPtr callbacks);

        /// <summary>Sets the bitrate in kbit/s. The server may be running.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetBitrate(IntPtr handle, uint opus_bitrate);

        /// <summary>Starts a server: opens its ports and begins to send.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_Start(IntPtr handle);

        /// <summary>Stops a server: disconnects all peers, closes the ports and frees the streams.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_Stop(IntPtr handle);

        /// <summary>Stops a server and frees its handle.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_Free(IntPtr handle);

        /// <summary>Returns the TCP port of the HTTP server, or 0 on failure.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetPort(IntPtr handle);

        /// <summary>Returns the mix of everything that the peers send, as a BASS stream; 0 on failure.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetInputStream(IntPtr handle);

        /// <summary>Fills in the current statistics of a server.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_GetStats(IntPtr handle, out WebRtcStatsFFI stats);

        /// <summary>Returns how many peers are connected.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetPeerCount(IntPtr handle);

        /// <summary>Returns whether a server is running.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_IsRunning(IntPtr handle);

        /// <summary>Returns whether the source has ended, and why: an error code of BASS.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_GetSourceEnd(IntPtr handle, out uint error, out uint ends);

        // -------------------------------------------------------------- channels of a server

        /// <summary>Adds a channel: another programme, at /?channel=NAME and /whep/NAME.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_AddChannel(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string name, uint source_channel);

        /// <summary>Exchanges the source of a channel, with a cross-fade that it waits for; "main" is the first.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetChannelSource(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string name, uint source_channel, uint fade_ms);

        /// <summary>Removes a channel and disconnects its listeners.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_RemoveChannel(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string name);

        /// <summary>Returns how many peers hear a channel.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetListenerCount(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string name);

        // -------------------------------------------------------------- callback signaling (option 3)

        /// <summary>
        /// Answers an offer. Returns the peer's number, or -1. answer_sdp: BASS_WEBRTC_ANSWER_CAPACITY bytes or more.
        /// </summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_AddPeer(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string offer_sdp,
            [Out] byte[] answer_sdp,
            out uint answer_len);

        /// <summary>As BASS_WEBRTC_AddPeer, with a buffer of any size.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_AddPeerEx(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string offer_sdp,
            [Out] byte[] answer_sdp,
            uint capacity,
            out uint answer_len);

        /// <summary>Makes an offer to a peer. Returns the peer's number, or -1. kind: BASS_WEBRTC_PEER_*.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_CreateOffer(
            IntPtr handle, uint kind, [Out] byte[] offer_sdp, uint capacity, out uint offer_len);

        /// <summary>Sets the peer's answer to that offer.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetAnswer(
            IntPtr handle, uint peer_id, [MarshalAs(UnmanagedType.LPUTF8Str)] string answer_sdp);

        /// <summary>Adds a candidate of the peer; an empty one means that there are no more.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_AddIceCandidate(
            IntPtr handle, uint peer_id, [MarshalAs(UnmanagedType.LPUTF8Str)] string candidate);

        /// <summary>Disconnects a peer, in every signaling mode.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_RemovePeer(IntPtr handle, uint peer_id);

        // -------------------------------------------------------------- peers of a server

        /// <summary>Returns one peer's audio as a BASS stream; 0 on failure. Removes the peer from the mix.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetPeerStream(IntPtr handle, uint peer_id);

        /// <summary>Fills in the current statistics of one peer; peer_id is 0 for a client.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_GetPeerStats(IntPtr handle, uint peer_id, out WebRtcPeerStatsFFI stats);

        // -------------------------------------------------------------- calls of a server (option 4)

        /// <summary>Lets guests call. state: in which a call begins; max_calls: 0 for 20.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCalls(
            IntPtr handle, uint state, uint max_calls, byte requires_invite);

        /// <summary>Sets the bearer token of the producers at /desk; null for no desk.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetDeskToken(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string token);

        /// <summary>Records calls and the programme; null: not. rotate_seconds: 0 for one file each.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetRecordings(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string calls_folder,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string programme_file, uint rotate_seconds);

        /// <summary>Sets the callbacks for calls. Keep them alive.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallCallbacks(IntPtr handle, ref CallCallbacks callbacks);

        /// <summary>Removes the callbacks for calls: callbacks is IntPtr.Zero.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallCallbacks(IntPtr handle, IntPtr callbacks);

        /// <summary>Sets the producers' microphone, a BASS channel; 0 for none.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetTalkbackSource(IntPtr handle, uint source_channel);

        /// <summary>Sets what callers who wait hear instead of the programme.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetHoldSource(IntPtr handle, uint source_channel);

        /// <summary>
        /// Makes a link with which a guest may call. url: BASS_WEBRTC_LINK_CAPACITY bytes; invite_id:
        /// BASS_WEBRTC_INVITE_ID_CAPACITY bytes, or null. Text makes strings of them.
        /// </summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_CreateInvite(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string name,
            uint max_uses,
            uint expires_s,
            [Out] byte[] url,
            uint capacity,
            out uint url_len,
            [Out] byte[] invite_id);

        /// <summary>Ends an invite, and the calls that were made with it.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_RevokeInvite(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string invite_id);

        /// <summary>Returns the lowest number of a call above call_id, or 0 if there is none.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetNextCall(IntPtr handle, uint call_id);

        /// <summary>Fills in what is known of a call now.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_GetCallStats(IntPtr handle, uint call_id, out WebRtcCallStatsFFI stats);

        /// <summary>Sets who hears a caller, and what it hears: BASS_WEBRTC_CALL_STATE_*.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallState(IntPtr handle, uint call_id, uint state);

        /// <summary>Sets the factor of what everybody hears of a caller, 0 to 4.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallGain(IntPtr handle, uint call_id, double gain);

        /// <summary>Sets the factor of what a caller hears, 0 to 4.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallReturnGain(IntPtr handle, uint call_id, double gain);

        /// <summary>Sets whether a caller is muted: 1 or 0.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallMuted(IntPtr handle, uint call_id, byte muted);

        /// <summary>Sets whether a caller hears the producers: 1 or 0.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallTalkback(IntPtr handle, uint call_id, byte talkback);

        /// <summary>Sets the name of a caller.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallName(
            IntPtr handle, uint call_id, [MarshalAs(UnmanagedType.LPUTF8Str)] string name);

        /// <summary>Ends a call. reason: passed to OnCall; may be null.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_HangUpCall(
            IntPtr handle, uint call_id, [MarshalAs(UnmanagedType.LPUTF8Str)] string reason);

        /// <summary>Returns one caller alone as a BASS stream; 0 on failure. It stays in the mix.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetCallStream(IntPtr handle, uint call_id);

        // -------------------------------------------------------------- audio without BASS

        /// <summary>Passes audio to send, channels interleaved. Returns how many frames were taken, or -1.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_PushPcm(IntPtr handle, [In] float[] samples, uint frames);

        /// <summary>Reads the next received audio: 2 * frames samples, 48 kHz, stereo. Returns frames, or -1.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_ReadPcm(IntPtr handle, uint peer_id, [Out] float[] samples, uint frames);

        // -------------------------------------------------------------- clients (option 2)

        /// <summary>Creates a client that sends to a WHIP server; IntPtr.Zero on failure.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_ConnectWhip(
            uint source_channel,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string whip_url,
            uint sample_rate,
            ushort channels,
            uint opus_bitrate);

        /// <summary>Starts a WHIP client: connects in the background, and reconnects after each loss.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhipStart(IntPtr handle);

        /// <summary>Stops a WHIP client: ends the session at the server.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhipStop(IntPtr handle);

        /// <summary>Returns whether a WHIP client is connected, so that audio flows.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhipIsConnected(IntPtr handle);

        /// <summary>Stops a WHIP client and frees its handle.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhipFree(IntPtr handle);

        /// <summary>Creates a client that plays from a WHEP server; IntPtr.Zero on failure.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_ConnectWhep(
            [MarshalAs(UnmanagedType.LPUTF8Str)] string whep_url,
            uint sample_rate,
            ushort channels,
            uint buffer_ms,
            byte decode_stream);

        /// <summary>Returns the received audio as a BASS stream; 0 on failure.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_WhepGetStream(IntPtr handle);

        /// <summary>Returns whether a WHEP client is connected; the server may be sending nothing.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhepIsConnected(IntPtr handle);

        /// <summary>Ends the session of a WHEP client at the server and frees the client's handle.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhepFree(IntPtr handle);

        /// <summary>Sets whether a client's server may send the client to any address: 1; default: 0.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetAllowPrivate(IntPtr handle, byte allow);

        /// <summary>Sets the origins that get a client's token besides that of its URL, separated by commas.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetTrustedOrigins(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string origins);
    }
}
