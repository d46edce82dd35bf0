"""Play music in three rooms, each with a channel of its own that fades from one file into the next.

python examples/jukebox.py song.mp3 another.mp3
"""

from __future__ import annotations

import random
import sys

import bass_webrtc as bw

ROOMS = ("bar", "garden")
FADE_MS = 2000

files = sys.argv[1:]
if not files:
    sys.exit(__doc__)


def pick() -> bw.BassFile:
    return bw.BassFile(random.choice(files))


def play_another(name: str) -> None:
    """Cross-fade; a file that has ended is followed at once. The listeners stay connected."""
    server.channels[name].set_source(pick(), FADE_MS)


with bw.Server(pick()) as server:
    for room in ROOMS:
        server.add_channel(room, pick())
    server.on("source_ended", lambda end: play_another(end.channel))
    server.start()
    print(f"Open {server.url} and choose a channel: {', '.join(server.channels)}.")
    while name := input("Type its name to play another file there. Press Return to quit.\n"):
        if name in server.channels:
            play_another(name)
