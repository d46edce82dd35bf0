"""Serve a BASS channel of your own program, made here with sound_lib's pybass; any wrapper works.

It must be a decoding channel, because bass-webrtc reads it. To play it locally as well, make two BASSmix splitters of
it: pass one to bass-webrtc and play the other.

python examples/own_channel.py song.mp3
"""

from __future__ import annotations

import os
import sys

from sound_lib.external import pybass as bass

import bass_webrtc as bw

if len(sys.argv) != 2:
    sys.exit(__doc__)

bass.BASS_Init(0, 48_000, 0, 0, None)  # Device 0 is "no sound": decoding needs no sound card.
# BASS reads file names as UTF-16 on Windows, which str becomes there, and as UTF-8 elsewhere.
file_name, unicode = (sys.argv[1], bass.BASS_UNICODE) if os.name == "nt" else (os.fsencode(sys.argv[1]), 0)
channel = bass.BASS_StreamCreateFile(False, file_name, 0, 0, bass.BASS_STREAM_DECODE | unicode)
if not channel:
    sys.exit(f"BASS cannot open {sys.argv[1]}: error {bass.BASS_ErrorGetCode()}")

# You can still seek and set effects while it plays.
with bw.Server(channel) as server:
    server.on("source_ended", lambda: print("source ended; sending silence"))
    server.start()
    input(f"Open {server.url} and press Listen. Press Return to quit.\n")
bass.BASS_StreamFree(channel)  # After closing the server, which reads the channel until then.
