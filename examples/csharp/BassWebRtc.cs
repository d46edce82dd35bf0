// BassWebRtc.cs: libbass_webrtc for C# and the other languages of .NET and Mono. Add this one file to your project.
//
// Names, results and errors are those of bass_webrtc.h, the manual. "bass-webrtc capi build" makes the library, which is
// looked for beside the program and where the system looks, on Linux in LD_LIBRARY_PATH.
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
// Keep callbacks alive: the garbage collector does not know that the library calls your delegates. Hold the
// SignalingCallbacks in a field until BASS_WEBRTC_Free has returned. No exception may leave a callback.
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace BassWebRtc
{
    /// <summary>How far a peer's connection is.</summary>
    public enum PeerState : uint
    {
        PEER_STATE_NEW,
        PEER_STATE_CONNECTING,
        PEER_STATE_CONNECTED,
        PEER_STATE_DISCONNECTED,
        PEER_STATE_FAILED,
        PEER_STATE_CLOSED
    }

    /// <summary>Settings of a server. A 0 in the first five is the default.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct WebRtcConfigFFI
    {
        /// <summary>Hz of what BASS_WEBRTC_PushPcm brings; default 48000.</summary>
        public uint sample_rate;
        /// <summary>Of the same; default 2.</summary>
        public ushort channels;
        /// <summary>kbit/s, 6 to 510; default 128.</summary>
        public uint opus_bitrate;
        /// <summary>With how much delay a jitter buffer begins at most; default 100.</summary>
        public uint buffer_ms;
        /// <summary>How many may be connected at once; default 5.</summary>
        public byte max_peers;
        /// <summary>BASS_WEBRTC_SIGNALING_*.</summary>
        public byte signaling_mode;
        /// <summary>TCP; 0 takes any that is free, see BASS_WEBRTC_GetPort.</summary>
        public ushort http_port;
        /// <summary>1: the library's streams are decoding channels, for mixers.</summary>
        public byte decode_stream;
    }

    /// <summary>Statistics of a server; totals since BASS_WEBRTC_Start.</summary>
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
        /// <summary>ms in the longest of the jitter buffers.</summary>
        public uint input_buffer_level;
        /// <summary>1: some jitter buffer waits for packets to begin.</summary>
        public byte input_is_buffering;
    }

    /// <summary>Statistics of one peer; totals since it came.</summary>
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
        /// <summary>-1: not known yet.</summary>
        public double round_trip_time_ms;
        public double jitter_buffer_ms;
        public double jitter_buffer_target_ms;
        /// <summary>RMS; -127: silence.</summary>
        public double audio_level_dbfs;
        /// <summary>host:port; empty before there is a path.</summary>
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 64)] public string local_address;
        [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 64)] public string remote_address;
    }

    /// <summary>An offer or answer of ours: sdp_type is "offer" or "answer".</summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void OnSdp(
        uint peer_id,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string sdp_type,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string sdp,
        IntPtr user);

    /// <summary>A candidate of ours, for the peer; an empty one: there are no more. sdp_mid may be null.</summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void OnIceCandidate(
        uint peer_id,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string candidate,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string sdp_mid,
        uint sdp_mline_index,
        IntPtr user);

    /// <summary>A peer has another state.</summary>
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void OnPeerState(uint peer_id, PeerState state, IntPtr user);

    /// <summary>Your functions, called on a thread of the library's; any may be null.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct SignalingCallbacks
    {
        public OnSdp on_sdp;
        public OnIceCandidate on_ice_candidate;
        public OnPeerState on_peer_state;
        public IntPtr user_data;
    }

    /// <summary>The constants and functions of bass_webrtc.h.</summary>
    public static class Native
    {
        /// <summary>Its file, to which the system's loader adds .so, .dylib or .dll.</summary>
        public const string Library = "libbass_webrtc";

        public const int BASS_WEBRTC_VERSION = 0x00010000;

        // WebRtcConfigFFI.signaling_mode
        public const int BASS_WEBRTC_SIGNALING_CALLBACK = 0;
        public const int BASS_WEBRTC_SIGNALING_WHIP = 1;
        public const int BASS_WEBRTC_SIGNALING_WHEP = 2;
        public const int BASS_WEBRTC_SIGNALING_HTTP = 5;

        // source_channel, in the place of a BASS channel
        public const uint BASS_WEBRTC_SOURCE_NONE = 0;
        public const uint BASS_WEBRTC_SOURCE_PCM = 0xFFFFFFFF;

        // peer_id of BASS_WEBRTC_ReadPcm: the mix
        public const uint BASS_WEBRTC_ALL_PEERS = 0xFFFFFFFF;

        // kind of BASS_WEBRTC_CreateOffer: what the peer is to do
        public const int BASS_WEBRTC_PEER_SENDRECV = 0;
        public const int BASS_WEBRTC_PEER_PLAYER = 1;
        public const int BASS_WEBRTC_PEER_PUBLISHER = 2;

        // bytes that answer_sdp of BASS_WEBRTC_AddPeer has at least
        public const int BASS_WEBRTC_ANSWER_CAPACITY = 4096;

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

        // -------------------------------------------------------------- the library
        // DllImport's own calling convention is the header's: stdcall on Windows, cdecl elsewhere.

        /// <summary>The version of the library: 0xAABBCCDD.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetVersion();

        /// <summary>Why the calling thread's last call failed: BASS_WEBRTC_ERROR_*, or a code of BASS.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_ErrorGetCode();

        /// <summary>The same in words, which are the library's: see ErrorMessage.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_ErrorGetMessage();

        /// <summary>What BASS_WEBRTC_ErrorGetMessage says, as a string.</summary>
        public static string ErrorMessage()
        {
            IntPtr text = BASS_WEBRTC_ErrorGetMessage();
            int length = 0;
            while (Marshal.ReadByte(text, length) != 0)
                length++;
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes); // Marshal.PtrToStringUTF8 is not in the .NET Framework.
        }

        // -------------------------------------------------------------- a server: Option 1

        /// <summary>Makes a server; IntPtr.Zero on failure. Free it with BASS_WEBRTC_Free.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_Create(uint source_channel, ref WebRtcConfigFFI config);

        /// <summary>The same with the default settings: config is IntPtr.Zero.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_Create(uint source_channel, IntPtr config);

        /// <summary>Says where the server is reached, before it is started.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetAddress(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string http_host,
            ushort udp_port,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string public_ips);

        /// <summary>Sets the bearer token: what a server asks of everybody, or what a client sends.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetToken(
            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)] string token);

        /// <summary>Names one more STUN or TURN server, before the start.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_AddIceServer(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string url,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string username,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string credential);

        /// <summary>Sets the functions that are told what happens. Keep callbacks alive.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallbacks(IntPtr handle, ref SignalingCallbacks callbacks);

        /// <summary>Nobody is told any more: callbacks is IntPtr.Zero.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetCallbacks(IntPtr handle, IntPtr callbacks);

        /// <summary>Sets the bitrate in kbit/s, also while it runs.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetBitrate(IntPtr handle, uint opus_bitrate);

        /// <summary>Starts it: opens the ports and sends.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_Start(IntPtr handle);

        /// <summary>Says goodbye to all peers, closes the ports, frees the streams.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_Stop(IntPtr handle);

        /// <summary>Stops it and forgets the handle.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_Free(IntPtr handle);

        /// <summary>The TCP port of the HTTP server, or 0.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetPort(IntPtr handle);

        /// <summary>The mix of all who send to us, as a BASS stream, or 0.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetInputStream(IntPtr handle);

        /// <summary>Statistics of the server, now.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_GetStats(IntPtr handle, out WebRtcStatsFFI stats);

        /// <summary>How many peers are connected.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetPeerCount(IntPtr handle);

        /// <summary>Whether it runs.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_IsRunning(IntPtr handle);

        // -------------------------------------------------------------- callback signaling: Option 3

        /// <summary>Answers an offer; the peer's number, or -1. Give BASS_WEBRTC_ANSWER_CAPACITY bytes.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_AddPeer(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string offer_sdp,
            [Out] byte[] answer_sdp,
            out uint answer_len);

        /// <summary>The same, into a buffer of any size.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_AddPeerEx(
            IntPtr handle,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string offer_sdp,
            [Out] byte[] answer_sdp,
            uint capacity,
            out uint answer_len);

        /// <summary>Makes an offer to a peer; its number, or -1. kind: BASS_WEBRTC_PEER_*.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_CreateOffer(
            IntPtr handle, uint kind, [Out] byte[] offer_sdp, uint capacity, out uint offer_len);

        /// <summary>Gives the peer's answer to that offer.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_SetAnswer(
            IntPtr handle, uint peer_id, [MarshalAs(UnmanagedType.LPUTF8Str)] string answer_sdp);

        /// <summary>Gives a candidate of the peer; an empty one: there are no more.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_AddIceCandidate(
            IntPtr handle, uint peer_id, [MarshalAs(UnmanagedType.LPUTF8Str)] string candidate);

        /// <summary>Says goodbye to a peer, in every signaling mode.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_RemovePeer(IntPtr handle, uint peer_id);

        // -------------------------------------------------------------- peers of a server

        /// <summary>What one peer sends, as a BASS stream, or 0. Takes it out of the mix.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_GetPeerStream(IntPtr handle, uint peer_id);

        /// <summary>Statistics of one peer, now; a client's is number 0.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_GetPeerStats(IntPtr handle, uint peer_id, out WebRtcPeerStatsFFI stats);

        // -------------------------------------------------------------- audio without BASS

        /// <summary>Gives audio to be sent, channels interleaved; how many frames were taken, or -1.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_PushPcm(IntPtr handle, [In] float[] samples, uint frames);

        /// <summary>The next sound of what comes in: 48 kHz, stereo, 2 * frames samples; frames, or -1.</summary>
        [DllImport(Library)]
        public static extern int BASS_WEBRTC_ReadPcm(IntPtr handle, uint peer_id, [Out] float[] samples, uint frames);

        // -------------------------------------------------------------- clients: Option 2

        /// <summary>Makes a client that sends to a WHIP server; IntPtr.Zero on failure.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_ConnectWhip(
            uint source_channel,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string whip_url,
            uint sample_rate,
            ushort channels,
            uint opus_bitrate);

        /// <summary>Begins to connect, and again after each loss.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhipStart(IntPtr handle);

        /// <summary>Ends the session at the server.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhipStop(IntPtr handle);

        /// <summary>Whether audio flows.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhipIsConnected(IntPtr handle);

        /// <summary>Stops it and forgets the handle.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhipFree(IntPtr handle);

        /// <summary>Makes a client that plays what a WHEP server sends; IntPtr.Zero on failure.</summary>
        [DllImport(Library)]
        public static extern IntPtr BASS_WEBRTC_ConnectWhep(
            [MarshalAs(UnmanagedType.LPUTF8Str)] string whep_url,
            uint sample_rate,
            ushort channels,
            uint buffer_ms,
            byte decode_stream);

        /// <summary>What comes, as a BASS stream, or 0.</summary>
        [DllImport(Library)]
        public static extern uint BASS_WEBRTC_WhepGetStream(IntPtr handle);

        /// <summary>Whether audio flows, or could.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhepIsConnected(IntPtr handle);

        /// <summary>Ends the session at the server and forgets the handle.</summary>
        [DllImport(Library)]
        public static extern bool BASS_WEBRTC_WhepFree(IntPtr handle);
    }
}
