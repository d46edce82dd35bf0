"""A phone-in show: guests call with a browser, wait, and go on air; the producer runs it here or at the desk.

Listeners hear the programme and the guests on air. Guests hear the same, but never themselves. The audio never passes
through Python.

python examples/phone_in.py programme.mp3          then, for example:

    invite Anna     print a link for Anna
    1 air           put caller 1 on air; also: 1 hold, 1 private, 1 bye
    1 0.5           set the fader of caller 1, 0 to 4
"""

from __future__ import annotations

import secrets
import sys

import bass_webrtc as bw


def announce(call: bw.Call) -> None:
    """Tell the producer of a new caller."""
    print(f"call {call.id}: {call.name} is {call.state}")


def obey(server: bw.Server, what: str, how: str) -> None:
    """Carry out one line of the producer's."""
    if what == "invite":
        print(server.invite(how, uses=5).url)
        return
    call = next((call for call in server.calls if str(call.id) == what), None)
    if call is None:
        raise bw.ConfigError(f"there is no call {what}; expected one of {[one.id for one in server.calls]}")
    if how == "air":
        call.state = "on_air"
    elif how == "hold":
        call.state = "waiting"
    elif how == "private":
        call.state = "private"
    elif how == "bye":
        call.hang_up("the show is over")
    else:
        call.gain = float(how)


if len(sys.argv) != 2:
    sys.exit(__doc__)
desk_token = secrets.token_urlsafe()
config = bw.ServerConfig(calls="waiting", desk_token=desk_token, max_peers=50)
with bw.Server(bw.BassFile(sys.argv[1], loop=True), config) as server:
    server.on("call", announce)
    server.on("call_ended", lambda call, reason: print(f"call {call.id}: {call.name} has left: {reason}"))
    server.start()
    print(f"Open {server.url} to listen, {server.url}call to call, {server.url}desk#token={desk_token} for the desk.")
    print("Type a command, or only Return to quit:")
    while words := input().split(maxsplit=1):
        try:
            obey(server, words[0], words[-1])
        except (bw.BassWebRtcError, ValueError) as error:
            print(error)
