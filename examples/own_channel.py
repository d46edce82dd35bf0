"""A BASS channel that your program made: here with pybass as sound_lib brings it. Any wrapper will do; only the handle
is passed.

The channel must be a decoding one, which bass-webrtc pulls. To hear it in the room as well, give bass-webrtc one
BASSmix splitter of it and play another.

python examples/own_channel.py song.mp3
"""

from __future__ import annotations

import os
import sys

from sound_lib.external import pybass as bass

import bass_webrtc as bw

if len(sys.argv) != 2:
    sys.exit(__doc__)

bass.BASS_Init(0, 48_000, 0, None, None)  # Device 0, "no sound": decoding needs no sound card.
channel = bass.BASS_StreamCreateFile(False, os.fsencode(sys.argv[1]), 0, 0, bass.BASS_STREAM_DECODE)
if not channel:
    sys.exit(f"BASS cannot open {sys.argv[1]}: error {bass.BASS_ErrorGetCode()}")

# It stays your channel: position and effects are yours to set while it plays.
with bw.Server(channel) as server:
    server.on("source_ended", lambda: print("That was all; silence goes on."))
    server.start()
    input(f"Open {server.url} and press play. Return ends it.\n")
bass.BASS_StreamFree(channel)  # After the server, which reads the channel until it is closed.
