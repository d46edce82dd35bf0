"""Calls as a program sees them: events, states, faders, invites, limits; and what guests and listeners hear."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from support import tones
from support.callers import CALLER_DBFS, Callers, connected, read, request
from support.patience import wait_until
from support.reruns import real_time_audio

PROGRAMME_HZ, ANNA_HZ, BEN_HZ, STUDIO_HZ = 440.0, 600.0, 800.0, 1000.0
SILENT_DBFS = CALLER_DBFS - 50.0
CONFIG: dict[str, Any] = {"http_port": 0, "udp_port": 0, "max_peers": 20, "max_peers_per_address": 20}


@pytest.fixture(scope="module")
def callers() -> Iterator[Callers]:
    with Callers() as callers:
        yield callers


def make_server(calls: Any = "on_air", **config: Any) -> bw.Server:
    programme = bw.Tone(hz=PROGRAMME_HZ, right_hz=PROGRAMME_HZ, level_dbfs=CALLER_DBFS)
    return bw.Server(programme, bw.ServerConfig(calls=calls, **(CONFIG | config)))


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with make_server() as server:
        server.start()
        yield server


class Events:
    """What a server has reported about calls."""

    def __init__(self, server: bw.Server) -> None:
        self._reported: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
        for name in ("call", "call_changed", "call_ended"):
            server.on(name, lambda *arguments, name=name: self._reported.put((name, arguments)))

    def next(self) -> tuple[str, tuple[Any, ...]]:
        """Return name and arguments of the next event."""
        return self._reported.get(timeout=20)


def levels(samples: tones.Samples) -> dict[float, bool]:
    """Return which tones are there, each at its full level, and which are not there at all."""
    found = {}
    for hz in (PROGRAMME_HZ, ANNA_HZ, BEN_HZ, STUDIO_HZ):
        level = tones.tone_dbfs(samples[:, 0], hz)
        found[hz] = abs(level - CALLER_DBFS) < 2
        assert found[hz] or level < SILENT_DBFS, (hz, level)
    return found


def heard(*hz: float) -> dict[float, bool]:
    return {one: one in hz for one in (PROGRAMME_HZ, ANNA_HZ, BEN_HZ, STUDIO_HZ)}


# -- what is heard


@real_time_audio
def test_each_hears_what_the_states_say(server: bw.Server, callers: Callers) -> None:
    """On air, waiting, private; in the mix, at the listeners of ``main``, and alone."""
    listener = bw.WhepClient(f"{server.url}whep", forbid_private=False)
    with listener:
        listener.start()
        anna = callers.call(f"{server.url}call?name=Anna", ANNA_HZ)
        ben = callers.call(f"{server.url}call?name=Ben", BEN_HZ)
        first, second = connected(server, 2)
        wait_until(lambda: listener.connected)
        assert levels(anna.hear(1.5)) == heard(PROGRAMME_HZ, BEN_HZ)
        assert levels(ben.hear(1.5)) == heard(PROGRAMME_HZ, ANNA_HZ)
        assert levels(read(server, 1.5)) == heard(ANNA_HZ, BEN_HZ)
        assert levels(read(listener, 1.5)) == heard(PROGRAMME_HZ, ANNA_HZ, BEN_HZ)
        second.state = "waiting"
        assert levels(anna.hear(1.5)) == heard(PROGRAMME_HZ)
        assert levels(ben.hear(1.5)) == heard(PROGRAMME_HZ, ANNA_HZ)
        assert levels(read(second, 1.5)) == heard(BEN_HZ)
        first.state = "private"
        assert levels(anna.hear(1.5)) == heard()
        assert levels(ben.hear(1.5)) == heard(PROGRAMME_HZ)
        assert levels(read(listener, 1.5)) == heard(PROGRAMME_HZ)


@real_time_audio
def test_talkback_reaches_only_whom_it_should(server: bw.Server, callers: Callers) -> None:
    """The studio's microphone, exchanged and taken away while the server runs."""
    anna = callers.call(f"{server.url}call", ANNA_HZ)
    ben = callers.call(f"{server.url}call", BEN_HZ)
    first, second = connected(server, 2)
    server.set_talkback(bw.Tone(hz=STUDIO_HZ, right_hz=STUDIO_HZ, level_dbfs=CALLER_DBFS))
    assert levels(anna.hear(1.0)) == heard(PROGRAMME_HZ, BEN_HZ)
    first.talkback = True
    second.state = "private"
    assert levels(anna.hear(1.5)) == heard(PROGRAMME_HZ, STUDIO_HZ)
    assert levels(ben.hear(1.5)) == heard(STUDIO_HZ)
    assert levels(read(server, 1.5)) == heard(ANNA_HZ)
    server.set_talkback(None)
    assert levels(anna.hear(1.5)) == heard(PROGRAMME_HZ)
    assert "talkback" not in server.channels


@real_time_audio
def test_callers_who_wait_hear_the_hold_source(callers: Callers) -> None:
    """Set before the start and while running; on air they hear the programme."""
    tone = bw.Tone(hz=STUDIO_HZ, right_hz=STUDIO_HZ, level_dbfs=CALLER_DBFS)
    with make_server("waiting") as server:
        server.set_hold(tone)
        server.start()
        anna = callers.call(f"{server.url}call", ANNA_HZ)
        (call,) = connected(server, 1)
        assert levels(anna.hear(1.5)) == heard(STUDIO_HZ)
        server.set_hold(None)
        assert levels(anna.hear(1.5)) == heard(PROGRAMME_HZ)
        server.set_hold(tone)
        assert levels(anna.hear(1.5)) == heard(STUDIO_HZ)
        call.state = "on_air"
        assert levels(anna.hear(1.5)) == heard(PROGRAMME_HZ)


@real_time_audio
def test_fader_mute_and_return_gain(server: bw.Server, callers: Callers) -> None:
    anna = callers.call(f"{server.url}call", ANNA_HZ)
    ben = callers.call(f"{server.url}call", BEN_HZ)
    first, second = connected(server, 2)
    first.gain, second.return_gain = 0.5, 2.0
    found = ben.hear(1.5)
    assert tones.tone_dbfs(found[:, 0], ANNA_HZ) == pytest.approx(CALLER_DBFS, abs=1)  # half, twice
    assert tones.tone_dbfs(found[:, 0], PROGRAMME_HZ) == pytest.approx(CALLER_DBFS + 6, abs=1)
    second.muted = True
    assert tones.tone_dbfs(anna.hear(1.5)[:, 0], BEN_HZ) < SILENT_DBFS


@real_time_audio
def test_callers_hear_each_other_without_a_programme(callers: Callers) -> None:
    """And listeners hear them, although the channel has no source."""
    with bw.Server(None, bw.ServerConfig(calls="on_air", **CONFIG)) as server:
        server.start()
        anna = callers.call(f"{server.url}call", ANNA_HZ)
        callers.call(f"{server.url}call", BEN_HZ)
        assert levels(anna.hear(1.5)) == heard(BEN_HZ)
        listener = bw.WhepClient(f"{server.url}whep", forbid_private=False)
        with listener:
            listener.start()
            assert listener.wait_connected(20)
            assert levels(read(listener, 1.5)) == heard(ANNA_HZ, BEN_HZ)


@real_time_audio
def test_program_that_signals_itself_has_calls_too(callers: Callers) -> None:
    """``add_peer`` with sendrecv, without HTTP."""
    with make_server(signaling_mode="callback") as server:
        events = Events(server)
        server.start()
        peer, offer = callers.make_offer(ANNA_HZ)
        _, answer = server.add_peer(offer)
        peer.set_answer(answer)
        name, (call,) = events.next()
        assert (name, call.state, call.peer.kind) == ("call", "on_air", "sendrecv")
        assert levels(read(server, 1.5)) == heard(ANNA_HZ)
        assert levels(read(peer, 1.0)) == heard(PROGRAMME_HZ)


# -- events and states


def test_program_is_told_of_calls(callers: Callers) -> None:
    with make_server("waiting") as server:
        events = Events(server)
        server.start()
        caller = callers.call(f"{server.url}call?name=%41nna%20%20B", ANNA_HZ)
        name, (call,) = events.next()
        assert (name, call.name, call.state, call.id) == ("call", "Anna B", "waiting", 1)
        assert connected(server, 1) == (call,)
        stats = call.stats()
        assert (stats.name, stats.state, stats.peer.kind, stats.recording) == ("Anna B", "waiting", "sendrecv", False)
        call.state = "on_air"
        assert events.next() == ("call_changed", (call,))
        assert json.loads(request(caller.session_url, "GET").body) == {
            "name": "Anna B",
            "state": "on_air",
            "position": None,
        }
        assert caller.hang_up() == 200
        assert events.next() == ("call_ended", (call, "closed by the peer"))
        assert call.state == "ended"
        assert not server.calls
        with pytest.raises(bw.ClosedError, match="call 1 has ended"):
            call.state = "on_air"
        call.hang_up()  # Without effect.
        assert request(caller.session_url, "GET").status == 404


def test_guest_that_waits_knows_its_place(callers: Callers) -> None:
    with make_server("waiting") as server:
        server.start()
        urls = [callers.call(f"{server.url}call", hz).session_url for hz in (ANNA_HZ, BEN_HZ)]
        connected(server, 2)
        assert [json.loads(request(url, "GET").body)["position"] for url in urls] == [1, 2]
        connected(server, 2)[0].state = "on_air"
        assert [json.loads(request(url, "GET").body)["position"] for url in urls] == [None, 1]


def test_call_that_is_hung_up_ends(server: bw.Server, callers: Callers) -> None:
    events = Events(server)
    caller = callers.call(f"{server.url}call", ANNA_HZ)
    _, (call,) = events.next()
    call.hang_up("thank you")
    assert call.state == "ended"
    assert events.next() == ("call_ended", (call, "thank you"))
    wait_until(lambda: caller.peer.state == "closed")


def test_guest_is_told_why_its_call_has_ended(server: bw.Server, callers: Callers) -> None:
    """While the call fades out, and afterwards."""
    events = Events(server)
    caller = callers.call(f"{server.url}call", ANNA_HZ)
    _, (call,) = events.next()
    call.hang_up("thank you")
    fading = request(caller.session_url, "GET")
    if fading.status == 200:
        state = json.loads(fading.body)
        assert (state["state"], state["reason"]) == ("ended", "thank you")
    events.next()
    after = request(caller.session_url, "GET")
    assert (after.status, json.loads(after.body)["detail"]) == (410, "thank you")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "ended"}, "state is 'ended'"),
        ({"state": "producer"}, "state is 'producer'"),
        ({"gain": 4.1}, "gain is 4.1; expected 0 to 4"),
        ({"gain": float("nan")}, "gain is nan"),
        ({"return_gain": -1}, "return_gain is -1"),
        ({"gain": True}, "gain is True"),
        ({"name": 3}, "the name is a int"),
    ],
)
def test_wrong_values_change_nothing(server: bw.Server, callers: Callers, change: dict[str, Any], message: str) -> None:
    caller = callers.call(f"{server.url}call?name=Anna", ANNA_HZ)
    (call,) = connected(server, 1)
    with pytest.raises(bw.ConfigError, match=message):
        call.change(muted=True, **change)
    assert (call.name, call.state, call.gain, call.return_gain, call.muted) == ("Anna", "on_air", 1.0, 1.0, False)
    caller.hang_up()


def test_caller_cannot_be_moved_to_a_channel(server: bw.Server, callers: Callers) -> None:
    server.add_channel("other", None)
    caller = callers.call(f"{server.url}call", ANNA_HZ)
    (call,) = connected(server, 1)
    assert call.peer.channel == "main"
    with pytest.raises(bw.ConfigError, match="is a caller"):
        call.peer.set_channel("other")
    caller.hang_up()


def test_callers_come_and_go_and_the_server_starts_again(callers: Callers) -> None:
    with make_server() as server:
        for _ in range(2):
            server.start()
            for _ in range(8):
                caller = callers.call(f"{server.url}call", ANNA_HZ)
                caller.hang_up()
            callers.call(f"{server.url}call", BEN_HZ)
            connected(server, 1)
            server.stop()
            assert not server.calls


# -- who may call


def test_there_are_no_calls_without_the_setting(callers: Callers) -> None:
    with make_server(None) as server:
        server.start()
        _, answer = callers.post(f"{server.url}call", ANNA_HZ)
        assert answer.status == 404
        assert request(f"{server.url}desk", "GET").status == 404
        with pytest.raises(bw.ConfigError, match="set calls"):
            server.set_talkback(bw.Tone())


def test_callers_are_asked_for_short_packets(server: bw.Server, callers: Callers) -> None:
    """10 ms, whatever the server sends: the rest of a packet is delay."""
    peer, answer = callers.post(f"{server.url}call", ANNA_HZ)
    assert "a=ptime:10\r\n" in answer.body
    peer.close()


def test_only_an_offer_of_both_directions_is_a_call(server: bw.Server) -> None:
    for direction in ("recvonly", "sendonly"):
        with bw.Server(bw.Tone(), bw.ServerConfig(signaling_mode="callback")) as other:
            other.start()
            _, offer = other.create_offer("sendrecv")
        fields = {"Content-Type": "application/sdp"}
        answer = request(f"{server.url}call", "POST", offer.replace("a=sendrecv", f"a={direction}"), fields)
        assert answer.status == 422
        assert "a caller's offer is" in answer.body


def test_callers_have_a_limit_of_their_own(callers: Callers) -> None:
    with make_server(max_calls=2) as server:
        server.start()
        first = callers.call(f"{server.url}call", ANNA_HZ)
        callers.call(f"{server.url}call", BEN_HZ)
        _, answer = callers.post(f"{server.url}call", BEN_HZ)
        assert answer.status == 503
        assert "2 callers are connected, which is the limit (max_calls)" in answer.body
        first.hang_up()
        connected(server, 1)
        callers.call(f"{server.url}call", ANNA_HZ)


def test_invite_admits_its_guest_once(server: bw.Server, callers: Callers) -> None:
    events = Events(server)
    invite = server.invite("Anna")
    assert invite.url == f"{server.url}call?invite={invite.secret}"
    caller = callers.call(f"{invite.url}&name=Somebody", ANNA_HZ)
    _, (call,) = events.next()
    assert (call.name, call.invite) == ("Anna", invite.id)
    assert callers.post(invite.url, BEN_HZ)[1].status == 409
    caller.hang_up()
    events.next()
    _, again = callers.post(invite.url, ANNA_HZ)
    assert (again.status, "used up" in again.body) == (410, True)
    assert not server.invites
    _, without = callers.post(f"{server.url}call", ANNA_HZ)
    assert (without.status, "invite is required" in without.body) == (403, True)
    _, wrong = callers.post(f"{server.url}call?invite={invite.secret}x", ANNA_HZ)
    assert wrong.status == 403
    connected(server, 0)


def test_revoked_invite_ends_its_call(server: bw.Server, callers: Callers) -> None:
    events = Events(server)
    invite = server.invite("Anna", uses=3)
    caller = callers.call(invite.url, ANNA_HZ)
    _, (call,) = events.next()
    server.revoke_invite(invite)
    assert events.next() == ("call_ended", (call, "the invite was revoked"))
    wait_until(lambda: caller.peer.state == "closed")
    _, answer = callers.post(invite.url, ANNA_HZ)
    assert (answer.status, "revoked" in answer.body) == (410, True)
    server.revoke_invite(invite)  # Without effect.


def test_invite_of_a_call_that_does_not_connect_is_not_used(server: bw.Server, callers: Callers) -> None:
    invite = server.invite("Anna")
    fields = {"Content-Type": "application/sdp"}
    assert request(invite.url, "POST", "v=0", fields).status == 422
    peer, answer = callers.post(invite.url, ANNA_HZ)
    peer.close()
    assert answer.status == 201
    assert request(server.url + answer.headers["Location"].lstrip("/"), "DELETE").status == 200
    callers.call(invite.url, ANNA_HZ)


def test_token_of_publishers_admits_callers_without_invites(callers: Callers) -> None:
    with make_server(publish_token="studio", call_requires_invite=False) as server:
        server.start()
        assert callers.post(f"{server.url}call", ANNA_HZ)[1].status == 401
        callers.call(f"{server.url}call", ANNA_HZ, {"Authorization": "Bearer studio"})
        callers.call(server.invite("Ben").url, BEN_HZ)


def test_invites_can_be_required_from_the_start(callers: Callers) -> None:
    with make_server(call_requires_invite=True) as server:
        server.start()
        assert callers.post(f"{server.url}call", ANNA_HZ)[1].status == 403
        callers.call(server.invite().url, ANNA_HZ)


# -- the desk


@real_time_audio
def test_producer_speaks_with_a_caller_in_private(callers: Callers) -> None:
    """``POST /desk/audio``: both hear each other, and nobody else hears them."""
    with make_server(desk_token="desk") as server:
        server.start()
        anna = callers.call(f"{server.url}call", ANNA_HZ)
        ben = callers.call(f"{server.url}call", BEN_HZ)
        assert callers.post(f"{server.url}desk/audio", STUDIO_HZ)[1].status == 401
        producer = callers.call(f"{server.url}desk/audio", STUDIO_HZ, {"Authorization": "Bearer desk"})
        connected(server, 2)[0].state = "private"
        assert levels(anna.hear(1.5)) == heard(STUDIO_HZ)
        assert levels(producer.hear(1.5)) == heard(ANNA_HZ)
        assert levels(ben.hear(1.5)) == heard(PROGRAMME_HZ)
        assert levels(read(server, 1.5)) == heard(BEN_HZ)


def test_desk_changes_calls(callers: Callers) -> None:
    fields = {"Authorization": "Bearer desk", "Content-Type": "application/json"}
    with make_server(desk_token="desk") as server:
        server.start()
        events = Events(server)
        caller = callers.call(f"{server.url}call", ANNA_HZ)
        _, (call,) = events.next()
        url = f"{server.url}api/calls/{call.id}"
        changed = request(url, "PATCH", '{"state": "private", "gain": 0.5, "name": "Anna"}', fields)
        assert changed.status == 200
        assert (call.state, call.gain, call.name) == ("private", 0.5, "Anna")
        assert request(url, "PATCH", '{"state": "on_air", "gain": 5}', fields).status == 422
        assert (call.state, call.gain) == ("private", 0.5)
        assert request(url, "DELETE", "", fields).status == 204
        wait_until(lambda: caller.peer.state == "closed")
        assert request(url, "DELETE", "", fields).status == 404


def test_there_is_no_desk_without_a_token(server: bw.Server) -> None:
    for path in ("desk", "desk/audio", "api/calls", "api/events", "desk.html"):
        assert request(f"{server.url}{path}", "GET").status == 404


def test_one_address_cannot_take_all_lines(callers: Callers) -> None:
    with make_server(max_calls=4, max_peers_per_address=19) as server:
        server.start()
        for hz in (ANNA_HZ, BEN_HZ):
            callers.call(f"{server.url}call", hz)
        _, answer = callers.post(f"{server.url}call", ANNA_HZ)
        assert (answer.status, "2 callers from your address" in answer.body) == (503, True)


@real_time_audio
def test_program_that_mixes_all_peers_does_not_put_callers_on_air(callers: Callers) -> None:
    """``Peer.read`` is silent for callers, who may be speaking in private; ``Call.read`` is not."""
    with make_server("waiting") as server:
        server.start()
        callers.call(f"{server.url}call", ANNA_HZ)
        (call,) = connected(server, 1)
        assert call.peer.input_stream == 0
        assert levels(read(call.peer, 1.0)) == heard()
        assert levels(read(call, 1.0)) == heard(ANNA_HZ)


def test_calls_are_numbered_on_after_a_restart(callers: Callers) -> None:
    with make_server() as server:
        for number in (1, 2):
            server.start()
            callers.call(f"{server.url}call", ANNA_HZ)
            assert [call.id for call in connected(server, 1)] == [number]
            server.stop()


def test_talkback_that_cannot_be_opened_changes_nothing(server: bw.Server) -> None:
    with pytest.raises(bw.BassWebRtcError):
        server.set_talkback(bw.BassFile("missing.mp3"))
    server.stop()
    server.start()


def test_call_page_has_one_address(server: bw.Server) -> None:
    assert request(f"{server.url}call", "GET").status == 200
    assert request(f"{server.url}call/", "GET").status in (200, 404)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"calls": "later"}, "calls is 'later'"),
        ({"calls": "waiting", "max_calls": 51}, "max_calls is 51"),
        ({"desk_token": "x"}, "desk_token"),
        ({"calls": "waiting", "desk_token": "x", "token": "x"}, "desk_token"),
        ({"calls": "waiting", "desk_token": "x", "signaling_mode": "callback"}, "desk_token"),
        ({"calls": "waiting", "signaling_mode": "whip"}, "calls is 'waiting'"),
        ({"call_requires_invite": True}, "call_requires_invite"),
        ({"record_calls": "calls"}, "record_calls"),
        ({"record_rotate_s": 0.5}, "record_rotate_s"),
        ({"record_rotate_s": "60"}, "record_rotate_s"),
    ],
)
def test_wrong_settings_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(bw.ConfigError, match=message):
        bw.ServerConfig(**config)
