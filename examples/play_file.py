"""Serve a file or the URL of a radio stream to browsers.

python examples/play_file.py song.mp3
"""

from __future__ import annotations

import sys

import bass_webrtc as bw

if len(sys.argv) != 2:
    sys.exit(__doc__)

with bw.Server(bw.BassFile(sys.argv[1], loop=True)) as server:
    server.start()
    input(f"Open {server.url} and press Listen. Press Return to quit.\n")
