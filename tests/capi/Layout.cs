// layout.c in C#: prints the size of each marshalled structure and the offsets of its fields.
using System;
using System.Reflection;
using System.Runtime.InteropServices;
using BassWebRtc;

static class Layout
{
    static void Main()
    {
        foreach (Type type in new[] {
            typeof(WebRtcConfigFFI), typeof(WebRtcStatsFFI), typeof(SignalingCallbacks), typeof(WebRtcPeerStatsFFI),
            typeof(WebRtcCallStatsFFI), typeof(CallCallbacks) })
        {
            Console.WriteLine("{0} {1}", type.Name, Marshal.SizeOf(type));
            foreach (FieldInfo field in type.GetFields())
                Console.WriteLine("{0}.{1} {2}", type.Name, field.Name, Marshal.OffsetOf(type, field.Name));
        }
    }
}
