// Radio.cs: plays a file in browsers.
//
//     mcs Radio.cs BassWebRtc.cs && mono Radio.exe song.mp3          (with .NET: a project with both files)
//
// The libraries of BASS and bass_webrtc, and the latter's folder bass_webrtc, are beside the program.
using System;
using System.Runtime.InteropServices;
using BassWebRtc;
using static BassWebRtc.Native;

static class Radio
{
    const uint BASS_SAMPLE_LOOP = 4, BASS_STREAM_DECODE = 0x200000, BASS_UNICODE = 0x80000000;

    [DllImport("bass")]
    static extern bool BASS_Init(int device, uint freq, uint flags, IntPtr window, IntPtr guid);
    [DllImport("bass", CharSet = CharSet.Unicode)]
    static extern uint BASS_StreamCreateFile(bool inMemory, string file, long offset, long length, uint flags);
    [DllImport("bass")]
    static extern bool BASS_ChannelPlay(uint channel, bool restart);
    [DllImport("bass")]
    static extern bool BASS_Free();

    static int Main(string[] arguments)
    {
        if (arguments.Length < 1)
            return Fail("usage: Radio FILE [PORT]");
        if (!BASS_Init(-1, 48000, 0, IntPtr.Zero, IntPtr.Zero) && !BASS_Init(0, 48000, 0, IntPtr.Zero, IntPtr.Zero))
            return Fail("BASS_Init failed"); // Device 0 is no sound: it needs no sound card.
        uint flags = BASS_STREAM_DECODE | BASS_SAMPLE_LOOP | BASS_UNICODE;
        uint song = BASS_StreamCreateFile(false, arguments[0], 0, 0, flags);
        if (song == 0)
            return Fail("BASS cannot open " + arguments[0]);
        var config = new WebRtcConfigFFI { signaling_mode = BASS_WEBRTC_SIGNALING_HTTP, http_port = 8080 };
        if (arguments.Length > 1)
            config.http_port = ushort.Parse(arguments[1]);
        IntPtr server = BASS_WEBRTC_Create(song, ref config);
        if (server == IntPtr.Zero || !BASS_WEBRTC_Start(server))
            return Fail(ErrorMessage());
        BASS_ChannelPlay(BASS_WEBRTC_GetInputStream(server), false); // what browsers send
        Console.WriteLine("Open http://127.0.0.1:{0}/ and press Listen. Press Return to stop.", BASS_WEBRTC_GetPort(server));
        Console.ReadLine();
        BASS_WEBRTC_Free(server);
        BASS_Free();
        return 0;
    }

    static int Fail(string message)
    {
        Console.Error.WriteLine(message);
        return 1;
    }
}
