// Show: a phone-in that puts each caller on air at half its level, and hangs up when a line is entered. Prints a link,
// and what the callback is told.
using System;
using System.Text;
using BassWebRtc;
using static BassWebRtc.Native;

static class Show
{
    static CallCallbacks callbacks; // static, so that the delegate is not collected
    static IntPtr server;
    static string invite;

    static void Check(bool condition, string what)
    {
        if (condition)
            return;
        Console.Error.WriteLine("check failed: {0} (error {1}: {2})", what, BASS_WEBRTC_ErrorGetCode(), ErrorMessage());
        Environment.Exit(1);
    }

    static void TellCall(uint eventType, ref WebRtcCallStatsFFI call, string reason, IntPtr user)
    {
        WebRtcCallStatsFFI same;
        Check(user == (IntPtr)42 && call.invite_id == invite && call.recording == 0, "OnCall");
        Console.WriteLine(
            "{0} {1} {2} {3} {4} [{5}]", eventType, call.call_id, Text(call.name), call.state, call.gain * 100, reason);
        if (eventType != BASS_WEBRTC_CALL_EVENT_BEGAN)
            return;
        Check(BASS_WEBRTC_GetCallStats(server, call.call_id, out same), "GetCallStats");
        Check(Text(same.name) == Text(call.name) && same.invite_id == invite && same.return_gain == 1.0, "same");
        Check(BASS_WEBRTC_SetCallGain(server, call.call_id, 0.5), "SetCallGain");
        Check(BASS_WEBRTC_SetCallState(server, call.call_id, BASS_WEBRTC_CALL_STATE_ON_AIR), "SetCallState");
        Check(BASS_WEBRTC_SetCallName(server, call.call_id, "Zoë"), "SetCallName");
    }

    static void Main()
    {
        var config = new WebRtcConfigFFI { signaling_mode = (byte)BASS_WEBRTC_SIGNALING_HTTP };
        var link = new byte[BASS_WEBRTC_LINK_CAPACITY];
        var id = new byte[BASS_WEBRTC_INVITE_ID_CAPACITY];
        uint length;
        Console.OutputEncoding = new UTF8Encoding(false);
        server = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, ref config);
        callbacks = new CallCallbacks { on_call = TellCall, user_data = (IntPtr)42 };
        Check(BASS_WEBRTC_SetCalls(server, BASS_WEBRTC_CALL_STATE_WAITING, 0, 1), "SetCalls");
        Check(BASS_WEBRTC_SetCallCallbacks(server, ref callbacks) && BASS_WEBRTC_Start(server), "Start");
        Check(BASS_WEBRTC_CreateInvite(server, "Änne", 0, 0, link, (uint)link.Length, out length, id), "CreateInvite");
        invite = Text(id);
        Check(length == Text(link).Length && invite != "", "link");
        Console.WriteLine(Text(link));
        Console.ReadLine();
        Check(BASS_WEBRTC_HangUpCall(server, BASS_WEBRTC_GetNextCall(server, 0), "schön"), "HangUpCall");
        Console.ReadLine();
        Check(BASS_WEBRTC_GetNextCall(server, 0) == 0, "GetNextCall");
        Check(BASS_WEBRTC_SetCallCallbacks(server, IntPtr.Zero) && BASS_WEBRTC_Free(server), "Free");
    }
}
