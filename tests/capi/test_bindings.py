"""``scripts/check-bindings.py``: the C# and Pascal declarations match the header, and the script detects mistakes."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bass_webrtc.capi.header import HEADER
from support import other_languages

SCRIPT = Path(__file__).parents[2] / "scripts" / "check-bindings.py"
CSHARP, PASCAL = other_languages.CSHARP, other_languages.PASCAL
VERSION = "        public static extern uint BASS_WEBRTC_GetVersion"
STDCALL = "CallingConvention = CallingConvention.StdCall"
SYSTEM_CALL = "{$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def lines_for_mistake(script: dict[str, Any], folder: Path, wrong: Path, old: str, new: str) -> list[str]:
    """The lines that the script prints when one of the files has a mistake."""
    text = wrong.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    copy = folder / wrong.name
    copy.write_text(text.replace(old, new), encoding="utf-8")
    printed = script["main"](*(copy if path == wrong else path for path in (HEADER, CSHARP, PASCAL)))
    return (printed or "").splitlines()


def test_declarations_match_the_header() -> None:
    result = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, encoding="utf-8", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_difference_makes_the_script_fail(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.cs"
    wrong.write_text(
        CSHARP.read_text(encoding="utf-8").replace("SIGNALING_WHEP = 2", "SIGNALING_WHEP = 3"), encoding="utf-8"
    )
    command = [sys.executable, str(SCRIPT), *map(str, (HEADER, wrong, PASCAL))]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "wrong.cs: BASS_WEBRTC_SIGNALING_WHEP is 3; the header: 2\n"


def test_every_declaration_of_the_header_is_parsed(script: dict[str, Any]) -> None:
    text = HEADER.read_text(encoding="utf-8")
    header = script["read_header"](text)
    functions = [name for name in header.entries if name.startswith("BASS_WEBRTC_")]
    assert len(functions) == text.count("* Returns: ")
    assert len(header.constants) == text.count("#define BASS_WEBRTC_") - 3 + text.count("    PEER_STATE_")
    assert {*header.entries} - {*functions} == {
        *("WebRtcConfigFFI", "WebRtcStatsFFI", "WebRtcPeerStatsFFI", "WebRtcCallStatsFFI"),
        *("SignalingCallbacks", "CallCallbacks"),
        *("on_sdp", "on_ice_candidate", "on_peer_state", "on_call"),
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ERROR_BUSY = 46", "ERROR_BUSY = 64", "BASS_WEBRTC_ERROR_BUSY is 64; the header: 46"),
        ("ALL_PEERS = 0xFFFFFFFF", "ALL_PEERS = 0xFFFF", "BASS_WEBRTC_ALL_PEERS is 65535; the header: 4294967295"),
        ("        PEER_STATE_FAILED,\n", "", "PEER_STATE_FAILED is missing, or cannot be parsed"),
        ("enum PeerState : uint", "enum PeerState : byte", "state of type byte; the header: state of type uint32_t"),
        ("byte max_peers;", "uint max_peers;", "max_peers of type uint; the header: max_peers of type uint8_t"),
        ("long packets_lost", "ulong packets_lost", "WebRtcPeerStatsFFI has packets_lost of type ulong"),
        ("double jitter_ms", "float jitter_ms", "WebRtcPeerStatsFFI has jitter_ms of type float"),
        ("SizeConst = 64)] public string remote", "SizeConst = 65)] public string remote", "remote_address of type"),
        ("public OnSdp on_sdp;", "public OnPeerState on_sdp;", "on_sdp of type callback_on_peer_state; the"),
        (
            "OnPeerState on_peer_state;\n        public IntPtr user_data;\n",
            "OnPeerState on_peer_state;\n",
            "SignalingCallbacks has on_sdp of type callback_on_sdp, on_ice",
        ),
        (
            "SizeConst = 256)] public byte[] name",
            "SizeConst = 255)] public byte[] name",
            "WebRtcCallStatsFFI has name of",
        ),
        ("public byte talkback", "public uint talkback", "talkback of type uint; the header: talkback of type uint8_t"),
        ("ref WebRtcCallStatsFFI call", "ref WebRtcStatsFFI call", "on_call has call of type ref WebRtcStatsFFI"),
        (
            "SetCallGain(IntPtr handle, uint call_id, double",
            "SetCallGain(IntPtr handle, uint call_id, float",
            "of type float",
        ),
        (
            "ref CallCallbacks callbacks",
            "ref SignalingCallbacks callbacks2",
            "callbacks2 of type ref SignalingCallbacks",
        ),
        (
            ")]\n    public struct WebRtcStats",
            ", Pack = 1)]\n    public struct WebRtcStats",
            "WebRtcStatsFFI has LayoutKind",
        ),
        ("Cdecl)]\n    public delegate void OnSdp", "StdCall)]\n    public delegate void OnSdp", "on_sdp has stdcall"),
        ("OnPeerState(uint peer_id, ", "OnPeerState(", "on_peer_state has result of type void, state of type uint,"),
        ("extern bool BASS_WEBRTC_Stop(", "extern bool Stop(", "BASS_WEBRTC_Stop is missing, or cannot be parsed"),
        ("BASS_WEBRTC_WhipStop", "BASS_WEBRTC_WhipHalt", "BASS_WEBRTC_WhipHalt is not in the header"),
        ("_Start(IntPtr handle)", "_Start(int handle)", "BASS_WEBRTC_Start has handle of type int"),
        ("_Free(IntPtr handle)", "_Free()", "BASS_WEBRTC_Free has result of type bool; the"),
        ("ushort udp_port", "byte udp_port", "BASS_WEBRTC_SetAddress has udp_port of type byte"),
        (
            "BASS_WEBRTC_SetToken(\n            IntPtr handle, [MarshalAs(UnmanagedType.LPUTF8Str)]",
            "BASS_WEBRTC_SetToken(\n            IntPtr handle, [MarshalAs(UnmanagedType.LPStr)]",
            "BASS_WEBRTC_SetToken has token of type [MarshalAs(Unm",
        ),
        ("LPUTF8Str)] string public_ips", "LPUTF8Str)] string ips", "has ips of type"),
        ("extern int BASS_WEBRTC_PushPcm", "extern bool BASS_WEBRTC_PushPcm", "PushPcm has result of type bool"),
        ("extern bool BASS_WEBRTC_WhepIsConnected", "extern byte BASS_WEBRTC_WhepIsConnected", "result of type byte"),
        ("uint source_channel, IntPtr config", "ulong source_channel, IntPtr config", "Create has source_channel of"),
        ("ref SignalingCallbacks callbacks", "ref WebRtcStatsFFI callbacks", "callbacks of type ref WebRtcStatsFFI"),
        ("out WebRtcPeerStatsFFI stats", "out WebRtcStatsFFI stats", "BASS_WEBRTC_GetPeerStats has stats"),
        (
            f"[DllImport(Library)]\n{VERSION}",
            f"[DllImport(Library, {STDCALL})]\n{VERSION}",
            "GetVersion has Library, CallingC",
        ),
    ],
)
def test_mistake_in_csharp_is_detected(
    script: dict[str, Any], tmp_path: Path, old: str, new: str, expected: str
) -> None:
    lines = lines_for_mistake(script, tmp_path, CSHARP, old, new)
    assert any(expected in line for line in lines), lines
    assert all(line.startswith("BassWebRtc.cs: ") for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ERROR_BUSY = 46", "ERROR_BUSY = 64", "BASS_WEBRTC_ERROR_BUSY is 64; the header: 46"),
        ("ALL_PEERS = $FFFFFFFF", "ALL_PEERS = $FFFF", "BASS_WEBRTC_ALL_PEERS is 65535; the header: 4294967295"),
        ("  PEER_STATE_FAILED = 4;\n", "", "PEER_STATE_FAILED is missing, or cannot be parsed"),
        ("max_peers: Byte", "max_peers: Word", "max_peers of type Word; the header: max_peers of type uint8_t"),
        (
            "bytes_sent: UInt64;\n    bytes_received: ",
            "bytes_received, bytes_sent: ",
            "; the header: bytes_sent of type uint64_t",
        ),
        ("packets_lost: Int64", "packets_lost: UInt64", "WebRtcPeerStatsFFI has packets_lost of type UInt64"),
        ("jitter_ms: Double;\n    round", "jitter_ms: Extended;\n    round", "jitter_ms of type Extended"),
        ("remote_address: array[0..63]", "remote_address: array[0..64]", "remote_address of type array[0..64]"),
        ("on_sdp: TOnSdp", "on_sdp: TOnPeerState", "SignalingCallbacks has on_sdp of type callback_on_peer_state"),
        (
            "on_peer_state: TOnPeerState;\n    user_data: Pointer;\n",
            "on_peer_state: TOnPeerState;\n",
            "SignalingCallbacks has on_sdp of type callback_on_sdp, on_ice",
        ),
        ("name: array[0..255]", "name: array[0..254]", "WebRtcCallStatsFFI has name of type array[0..254] of AnsiChar"),
        ("PCallCallbacks = ^CallCallbacks", "PCallCallbacks = ^SignalingCallbacks", "callbacks of type ^Sig"),
        (
            "call: PWebRtcCallStatsFFI",
            "call: Pointer",
            "on_call has call of type Pointer; the header: call of type const",
        ),
        (
            "var stats: WebRtcCallStatsFFI",
            "stats: WebRtcCallStatsFFI",
            "BASS_WEBRTC_GetCallStats has stats of type WebRtcCall",
        ),
        ("WebRtcStatsFFI = record", "WebRtcStatsFFI = packed record", "WebRtcStatsFFI has another alignment"),
        ("{$PACKRECORDS C}", "{$PACKRECORDS 1}", "WebRtcConfigFFI has another alignment"),
        ("PWebRtcConfigFFI = ^WebRtcConfigFFI", "PWebRtcConfigFFI = ^WebRtcStatsFFI", "config of type ^WebRtcStatsFFI"),
        (
            "state: Cardinal; user: Pointer); cdecl;",
            "state: Cardinal; user: Pointer);",
            "on_peer_state has no convention",
        ),
        ("(peer_id, state: Cardinal", "(state: Cardinal", "on_peer_state has result of type void, state of type Card"),
        ("HSTREAM = Cardinal", "HSTREAM = UInt64", "BASS_WEBRTC_GetInputStream has result of type UInt64"),
        ("function BASS_WEBRTC_Stop(", "function Stop(", "BASS_WEBRTC_Stop is missing, or cannot be parsed"),
        ("BASS_WEBRTC_WhipStop", "BASS_WEBRTC_WhipHalt", "BASS_WEBRTC_WhipHalt is not in the header"),
        ("_Start(handle: Pointer)", "_Start(handle: Integer)", "BASS_WEBRTC_Start has handle of type Integer"),
        ("_Free(handle: Pointer)", "_Free", "BASS_WEBRTC_Free has result of type LongBool; the header: result of type"),
        ("udp_port: Word", "udp_port: Byte", "BASS_WEBRTC_SetAddress has udp_port of type Byte"),
        (
            "SetToken(handle: Pointer; token: PAnsiChar",
            "SetToken(handle: Pointer; token: PWideChar",
            "BASS_WEBRTC_SetToken has token of type PWideChar",
        ),
        ("url, username, credential", "url, credential, username", "credential of type PAnsiChar; the"),
        (
            "kind: Cardinal; offer_sdp: PAnsiChar",
            "kind: Cardinal; offer_sdp: PSingle",
            "CreateOffer has offer_sdp of type",
        ),
        ("WhepIsConnected(handle: Pointer): LongBool", "WhepIsConnected(handle: Pointer): Boolean", "of type Boolean"),
        (
            "var stats: WebRtcPeerStatsFFI",
            "stats: WebRtcPeerStatsFFI",
            "has stats of type WebRtcPeerStatsFFI; the header",
        ),
        (
            f"GetVersion: Cardinal;\n  {SYSTEM_CALL}",
            "GetVersion: Cardinal;\n  cdecl",
            "GetVersion has cdecl; the header: stdcall",
        ),
        (
            f"GetVersion: Cardinal;\n  {SYSTEM_CALL};",
            "GetVersion: Cardinal;",
            "BASS_WEBRTC_GetVersion has no convention",
        ),
    ],
)
def test_mistake_in_pascal_is_detected(
    script: dict[str, Any], tmp_path: Path, old: str, new: str, expected: str
) -> None:
    lines = lines_for_mistake(script, tmp_path, PASCAL, old, new)
    assert any(expected in line for line in lines), lines
    assert all(line.startswith("bass_webrtc.pas: ") for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ERROR_BUSY 46", "ERROR_BUSY 64", "BASS_WEBRTC_ERROR_BUSY is 46; the header: 64"),
        ("    PEER_STATE_NEW,\n", "    PEER_STATE_NEW = 1,\n", "PEER_STATE_NEW is 0; the header: 1"),
        ("    uint8_t max_peers;", "    uint32_t max_peers;", "WebRtcConfigFFI has max_peers of type"),
        ("BASS_WEBRTC_Stop(void *handle);", "BASS_WEBRTC_Stop(void *handle, int now);", "now of type int"),
        ("WEBRTC_OK 0", "WEBRTC_OK (1 - 1)", "bass_webrtc.h: BASS_WEBRTC_OK cannot be parsed"),
        ("WEBRTC_OK 0", "WEBRTC_OK 0\n#define BASS_WEBRTC_MORE 1", "BASS_WEBRTC_MORE is missing"),
    ],
)
def test_change_of_the_header_is_detected_in_both_languages(
    script: dict[str, Any], tmp_path: Path, old: str, new: str, expected: str
) -> None:
    lines = lines_for_mistake(script, tmp_path, HEADER, old, new)
    assert any(expected in line for line in lines), lines
    assert {"BassWebRtc.cs", "bass_webrtc.pas"} <= {line.partition(":")[0] for line in lines}
