"""Push a tone or file to MediaMTX, or pull a stream and play it. Works with any WHIP or WHEP server.

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
    where.add_argument("--whip", metavar="URL", help="push to this WHIP endpoint")
    where.add_argument("--whep", metavar="URL", help="pull from this WHEP endpoint")
    parser.add_argument("--source", metavar="FILE", help="file to push (default: a 440 Hz tone)")
    parser.add_argument("--token", help="bearer token")
    parser.add_argument("--device", type=int, default=-1, help="BASS output; 0 is silent")
    arguments = parser.parse_args()
    if arguments.whip:
        push(arguments.whip, arguments.source, arguments.token)
    else:
        pull(arguments.whep, arguments.token, arguments.device)


def push(url: str, path: str | None, token: str | None) -> None:
    """Push until Return is pressed, reconnecting if the server restarts."""
    source = bw.BassFile(path, loop=True) if path else bw.Tone(440.0)
    with bw.WhipClient(source, url, token) as client:
        client.start()
        client.wait_connected()
        input(f"Pushing to {url}. Press Return to quit.\n")


def pull(url: str, token: str | None, device: int) -> None:
    """Play the stream with the program's own BASS. It is an ordinary channel and survives reconnects."""
    from sound_lib.external import pybass as bass

    if not bass.BASS_Init(device, 48_000, 0, 0, None):
        raise SystemExit(f"BASS cannot open output {device}: error {bass.BASS_ErrorGetCode()}")
    with bw.WhepClient(url, token) as client:
        client.start()
        bass.BASS_ChannelPlay(client.stream, False)
        client.wait_connected()
        input(f"Playing {url}. Press Return to quit.\n")
        print(f"{client.stats().packets_received} packets received")
    bass.BASS_Free()


main()
