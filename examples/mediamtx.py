"""MediaMTX, or any server that speaks WHIP and WHEP: push a tone or a file to it, pull a stream from it and play it.

python examples/mediamtx.py --whip http://127.0.0.1:8889/live/whip
python examples/mediamtx.py --whip http://127.0.0.1:8889/live/whip --source song.mp3
python examples/mediamtx.py --whep http://127.0.0.1:8889/live/whep
"""

from __future__ import annotations

import argparse

import bass_webrtc as bw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--whip", metavar="URL", help="push to it")
    where.add_argument("--whep", metavar="URL", help="pull from it")
    parser.add_argument("--source", metavar="FILE", help="what is pushed; a tone of 440 Hz by default")
    parser.add_argument("--token", help="bearer token")
    parser.add_argument("--device", type=int, default=-1, help="BASS output; 0 makes no sound")
    arguments = parser.parse_args()
    if arguments.whip:
        push(arguments.whip, arguments.source, arguments.token)
    else:
        pull(arguments.whep, arguments.token, arguments.device)


def push(url: str, path: str | None, token: str | None) -> None:
    """Until Return is pressed; through restarts of the server, too."""
    source = bw.BassFile(path, loop=True) if path else bw.Tone(440.0)
    with bw.WhipClient(source, url, token) as client:
        client.start()
        client.wait_connected()
        input(f"Pushing to {url}. Return ends it.\n")


def pull(url: str, token: str | None, device: int) -> None:
    """The program's own BASS plays the stream: it is a channel as any other, and the same over reconnects."""
    from sound_lib.external import pybass as bass

    if not bass.BASS_Init(device, 48_000, 0, None, None):
        raise SystemExit(f"BASS cannot open output {device}: error {bass.BASS_ErrorGetCode()}")
    with bw.WhepClient(url, token) as client:
        client.start()
        bass.BASS_ChannelPlay(client.stream, False)
        client.wait_connected()
        input(f"Playing {url}. Return ends it.\n")
        print(f"{client.stats().packets_received} packets came")
    bass.BASS_Free()


main()
