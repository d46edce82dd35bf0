// Original OFFER ANSWER CANDIDATE ICE_SERVER: original.c in C#.
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using BassWebRtc;
using static BassWebRtc.Native;

static class Original
{
    const uint BASS_SAMPLE_FLOAT = 0x100, BASS_STREAM_DECODE = 0x200000;

    [DllImport("libbass")]
    static extern bool BASS_Init(int device, uint freq, uint flags, IntPtr window, IntPtr guid);

    [DllImport("libbass")]
    static extern uint BASS_StreamCreate(uint freq, uint channels, uint flags, StreamProc proc, IntPtr user);

    [UnmanagedFunctionPointer(CallingConvention.Winapi)]
    delegate uint StreamProc(uint handle, IntPtr buffer, uint length, IntPtr user);

    [DllImport("libbass")]
    static extern bool BASS_Free();

    static readonly StreamProc play = PlaySilence; // static, as those below, so that the delegates are not collected
    static SignalingCallbacks callbacks;
    static volatile string receivedAnswer, receivedCandidate;
    static volatile PeerState receivedState;

    static void Check(bool condition, string what)
    {
        if (condition)
            return;
        Console.Error.WriteLine("check failed: {0} (error {1}: {2})", what, BASS_WEBRTC_ErrorGetCode(), ErrorMessage());
        Environment.Exit(1);
    }

    static void CheckWorks(bool result, string what)
    {
        Check(result && BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK && ErrorMessage() == "", what);
    }

    // Waits for 30 s at most. Collects garbage meanwhile, as may happen in a program at any time.
    static void WaitUntil(Func<bool> condition, string what)
    {
        for (int waited = 0; !condition(); waited++)
        {
            Check(waited < 3000, what);
            GC.Collect();
            Thread.Sleep(10);
        }
    }

    // Runs on a thread of the library, which a collection of garbage stops.
    static uint PlaySilence(uint handle, IntPtr buffer, uint length, IntPtr user)
    {
        Marshal.Copy(new byte[length], 0, buffer, (int)length);
        return length;
    }

    static void SaveSdp(uint peer, string type, string sdp, IntPtr user)
    {
        Check(peer == 0 && type == "answer" && user == (IntPtr)42, "OnSdp");
        receivedAnswer = sdp;
    }

    static void SaveCandidate(uint peer, string candidate, string mid, uint index, IntPtr user)
    {
        Check(peer == 0 && mid != null && index == 0 && user == (IntPtr)42, "OnIceCandidate");
        if (candidate != "") // "": no more candidates
            receivedCandidate = candidate;
    }

    static void SaveState(uint peer, PeerState state, IntPtr user)
    {
        Check(peer == 0 && user == (IntPtr)42, "OnPeerState");
        receivedState = state;
    }

    static void CheckErrorMessage(IntPtr server)
    {
        Check(!BASS_WEBRTC_AddIceServer(server, "stün:ä", null, null), "AddIceServer refuses an invalid URL");
        Check(BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_ERROR_ILLPARAM, "error code of AddIceServer");
        Check(ErrorMessage().Contains("stün:ä"), "the message has the URL in UTF-8");
    }

    static void Main(string[] arguments)
    {
        var config = new WebRtcConfigFFI
        {
            sample_rate = 48000, channels = 2, opus_bitrate = 128, buffer_ms = 100, max_peers = 5,
            signaling_mode = BASS_WEBRTC_SIGNALING_CALLBACK, http_port = 8080, decode_stream = 0
        };
        callbacks = new SignalingCallbacks
        {
            on_sdp = SaveSdp, on_ice_candidate = SaveCandidate, on_peer_state = SaveState, user_data = (IntPtr)42
        };
        var buffer = new byte[BASS_WEBRTC_ANSWER_CAPACITY];
        WebRtcStatsFFI stats = default(WebRtcStatsFFI);
        WebRtcPeerStatsFFI peerStats;
        uint length;
        Marshal.PrelinkAll(typeof(Native)); // Every function exists in the library, and its types can be marshalled.
        Check(BASS_WEBRTC_GetVersion() == BASS_WEBRTC_VERSION, "GetVersion");
        Check(BASS_Init(0, 48000, 0, IntPtr.Zero, IntPtr.Zero), "BASS_Init");
        uint song = BASS_StreamCreate(48000, 2, BASS_STREAM_DECODE | BASS_SAMPLE_FLOAT, play, IntPtr.Zero);

        IntPtr server = BASS_WEBRTC_Create(song, ref config);
        CheckWorks(server != IntPtr.Zero, "Create");
        CheckErrorMessage(server);
        CheckWorks(BASS_WEBRTC_AddIceServer(server, arguments[3], null, null), "AddIceServer");
        CheckWorks(BASS_WEBRTC_SetCallbacks(server, ref callbacks), "SetCallbacks");
        CheckWorks(BASS_WEBRTC_Start(server), "Start");
        int peer = BASS_WEBRTC_AddPeer(server, File.ReadAllText(arguments[0]), buffer, out length);
        CheckWorks(peer == 0, "AddPeer");
        string answer = Encoding.UTF8.GetString(buffer, 0, (int)length);
        File.WriteAllText(arguments[1], answer);
        Console.WriteLine("answered");
        CheckWorks(BASS_WEBRTC_AddIceCandidate(server, 0, arguments[2]), "AddIceCandidate");
        WaitUntil(() => receivedCandidate != null, "on_ice_candidate was called");
        Console.WriteLine(receivedCandidate);
        WaitUntil(() => receivedState == PeerState.PEER_STATE_CONNECTED, "the peer is connected");
        Check(receivedAnswer == answer, "on_sdp received the answer");
        CheckWorks(BASS_WEBRTC_GetInputStream(server) != 0, "GetInputStream");
        WaitUntil(() => BASS_WEBRTC_GetStats(server, out stats) && stats.total_packets_sent > 0, "GetStats");
        Check(stats.active_peers == 1, "active_peers is 1");
        CheckWorks(BASS_WEBRTC_GetPeerStats(server, 0, out peerStats), "GetPeerStats");
        Check(peerStats.local_address.Contains(":") && peerStats.remote_address.Contains(":"), "addresses of the peer");
        CheckWorks(BASS_WEBRTC_RemovePeer(server, 0), "RemovePeer");
        WaitUntil(() => receivedState == PeerState.PEER_STATE_CLOSED, "the peer is closed");
        CheckWorks(BASS_WEBRTC_SetCallbacks(server, IntPtr.Zero), "SetCallbacks to null");
        CheckWorks(BASS_WEBRTC_Stop(server), "Stop");
        Check(!BASS_WEBRTC_IsRunning(server), "IsRunning");
        CheckWorks(BASS_WEBRTC_Free(server), "Free");
        Check(!BASS_WEBRTC_Free(server) && BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_ERROR_HANDLE, "Free twice");
        CheckWorks((server = BASS_WEBRTC_Create(song, IntPtr.Zero)) != IntPtr.Zero, "Create with the defaults");
        CheckWorks(BASS_WEBRTC_Free(server), "Free of the second server");
        Check(BASS_Free(), "BASS_Free");
        Console.WriteLine("passed");
    }
}
