"""A phone-in desk: a programme and two callers in a BASSmix mixer, each on a fader of its own.

Listeners and callers hear the mix. No Python touches the sound: the server pulls the mixer, which pulls the callers.

python examples/phone_in.py programme.mp3          then, for example: 0 0.3 for caller 0, p 0.5 for the programme
"""

from __future__ import annotations

import os
import sys

import libloader
from sound_lib.external import paths
from sound_lib.external import pybass as bass

import bass_webrtc as bw

if len(sys.argv) != 2:
    sys.exit(__doc__)

bassmix = libloader.load_library("bassmix", x86_path=paths.x86_path, x64_path=paths.x64_path)
MIXER_NONSTOP = 0x20000
MIXER_MATRIX = 0x10000  # Without it BASSmix 2.4.5.2 crashes on channels that have the mixer's own rate.
DECODE = bass.BASS_STREAM_DECODE | bass.BASS_SAMPLE_FLOAT

bass.BASS_Init(0, 48_000, 0, None, None)
programme = bass.BASS_StreamCreateFile(False, os.fsencode(sys.argv[1]), 0, 0, DECODE | bass.BASS_SAMPLE_LOOP)
if not programme:
    sys.exit(f"BASS cannot open {sys.argv[1]}: error {bass.BASS_ErrorGetCode()}")
mixer = bassmix.BASS_Mixer_StreamCreate(48_000, 2, DECODE | MIXER_NONSTOP)
bassmix.BASS_Mixer_StreamAddChannel(mixer, programme, MIXER_MATRIX)


def put_through(peer: bw.Peer) -> None:
    """A caller's stream leaves the server's own mix when it is asked for, and the mixer when the caller is gone."""
    if peer.kind == "publisher":
        bassmix.BASS_Mixer_StreamAddChannel(mixer, peer.input_stream, MIXER_MATRIX)
        print(f"caller {peer.id} is on the air")


def set_fader(server: bw.Server, name: str, level: float) -> None:
    """Callers' faders are the server's, because those make no click."""
    if name == "p":
        bass.BASS_ChannelSetAttribute(programme, bass.BASS_ATTRIB_VOL, level)
    for peer in server.peers:
        if name == str(peer.id):
            peer.gain = level


# decode_stream: callers' streams are for a mixer, not for a sound card.
with bw.Server(mixer, bw.ServerConfig(decode_stream=True)) as server:
    server.admit = lambda request: request.kind == "player" or sum(p.kind == "publisher" for p in server.peers) < 2
    server.on("peer_connected", put_through)
    server.start()
    print(f"Open {server.url} to listen and talk. A fader and its level, or Return alone, which ends it:")
    while command := input("").split():
        set_fader(server, command[0], float(command[1]))
bass.BASS_Free()  # With the mixer, before the process ends: BASSmix may be unloaded after the BASS that it calls.
