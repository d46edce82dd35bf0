"""A phone-in show: a programme and two callers in a BASSmix mixer, each with its own fader.

Listeners and callers hear the mix. The audio never passes through Python: the server reads the mixer, which reads the
callers' streams.

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
MIXER_MATRIX = 0x10000  # Without it BASSmix 2.4.5.2 crashes on channels with the sample rate of the mixer.
DECODE = bass.BASS_STREAM_DECODE | bass.BASS_SAMPLE_FLOAT

bass.BASS_Init(0, 48_000, 0, 0, None)
# BASS reads file names as UTF-16 on Windows, which str becomes there, and as UTF-8 elsewhere.
file_name, unicode = (sys.argv[1], bass.BASS_UNICODE) if os.name == "nt" else (os.fsencode(sys.argv[1]), 0)
programme = bass.BASS_StreamCreateFile(False, file_name, 0, 0, DECODE | bass.BASS_SAMPLE_LOOP | unicode)
if not programme:
    sys.exit(f"BASS cannot open {sys.argv[1]}: error {bass.BASS_ErrorGetCode()}")
mixer = bassmix.BASS_Mixer_StreamCreate(48_000, 2, DECODE | MIXER_NONSTOP)
bassmix.BASS_Mixer_StreamAddChannel(mixer, programme, MIXER_MATRIX)


def put_through(peer: bw.Peer) -> None:
    """Add a caller to the mixer. Accessing ``input_stream`` removes it from the server's own mix."""
    if peer.kind == "publisher":
        bassmix.BASS_Mixer_StreamAddChannel(mixer, peer.input_stream, MIXER_MATRIX)
        print(f"caller {peer.id} is on air")


def set_fader(server: bw.Server, name: str, level: float) -> None:
    """Set a level. Callers use the gain of the server, which changes without clicks."""
    if name == "p":
        bass.BASS_ChannelSetAttribute(programme, bass.BASS_ATTRIB_VOL, level)
    for peer in server.peers:
        if name == str(peer.id):
            peer.gain = level


# decode_stream: the callers' streams are read by a mixer, not played by a sound card.
with bw.Server(mixer, bw.ServerConfig(decode_stream=True)) as server:
    server.admit = lambda request: request.kind == "player" or sum(p.kind == "publisher" for p in server.peers) < 2
    server.on("peer_connected", put_through)
    server.start()
    print(f"Open {server.url} to listen and talk. Type a fader and its level, or only Return to quit:")
    while command := input("").split():
        set_fader(server, command[0], float(command[1]))
bass.BASS_Free()  # Frees the mixer now: at exit BASS may be unloaded before BASSmix, which calls it.
