"""Records a channel and senders until it is killed: ``python -m support.recording_worker FOLDER``.

Prints the start of the recordings when their files exist. One sender loses packets, so that some are being waited for
when the process is killed.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from bass_webrtc.config import ServerConfig
from bass_webrtc.core import Engine, SourceHandle
from bass_webrtc.recording import Recordings

from .opus_senders import FRAME_S, OpusSender, Receiver, click_track, encode, send_in_real_time

SECONDS = 60.0


def main(folder: Path) -> None:
    engine = Engine(ServerConfig(), 4, SourceHandle.tone(440.0, 440.0, -20.0))
    packets = encode(click_track(2.0, [])) * round(SECONDS / 2)
    with Receiver(engine) as receiver:
        senders = [OpusSender(receiver, peer, packets) for peer in range(2)]
        recordings = Recordings(engine, "bass-webrtc test")
        start_ns = time.perf_counter_ns()
        for sender in senders:
            recordings.record_peer(sender.peer, folder / "{name}.opus", f"peer {sender.peer}", start_ns=start_ns)
        recordings.record_channel(0, folder / "{name}.opus", "programme", start_ns=start_ns, rotate_s=1.0)
        send_in_real_time(
            senders,
            round(SECONDS / FRAME_S),
            start_ns / 1e9,
            lost=lambda sender, number: sender == 1 and number % 20 < 2,
        )
        while not list(folder.glob("programme*.opus")):
            time.sleep(0.005)
        print(start_ns, flush=True)  # noqa: T201 - what the parent process waits for
        threading.Event().wait(SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
