"""PATCH requests of a client: candidates, ICE restarts, answers to counter-offers; and successor sessions."""

from __future__ import annotations

import asyncio
import logging

import pytest
from client_servers import (
    ANSWER,
    FRAGMENT,
    LOCATION,
    NEW_ICE,
    OFFER,
    PASSWORD,
    SDP,
    SECRET_PATH,
    TOKEN,
    UFRAG,
    A,
    B,
    C,
    Gated,
    Seen,
    answering,
    created,
    failure,
    named_elsewhere,
    posted,
    response,
    serving,
    session_at,
    settle,
)

from bass_webrtc.errors import SdpError, SignalingError
from bass_webrtc.rtc.candidate import Candidate
from bass_webrtc.rtc.sdp import IceCredentials
from bass_webrtc.rtc.sdp_fragment import IceFragment, build_fragment, parse_fragment
from bass_webrtc.signaling.client.patches import IceSession, PendingCandidates
from bass_webrtc.signaling.client.rules import CounterOffer
from bass_webrtc.stats import Kind
from support.conformance import covers

THEIR_ICE = IceCredentials("tHeI", "tHeIrPaSsWoRdOf22ChArS")
RESTARTED = build_fragment(THEIR_ICE, [A], mid="0")

# Trickle


@covers("CL7")
async def test_candidates_wait_for_the_answer_and_are_sent_together() -> None:
    """In one PATCH, with credentials and entity tag."""
    script = Gated(created(LOCATION, ("ETag", '"x"')))
    async with serving(script) as server, session_at(server) as session, asyncio.TaskGroup() as group:
        group.create_task(session.post(OFFER))
        await script.arrived.wait()
        trickles = [group.create_task(session.trickle([candidate])) for candidate in (A, B)]
        trickles.append(group.create_task(session.trickle(end_of_candidates=True)))
        await settle()
        assert server.methods() == ["POST"]
        script.gate.set()
        await asyncio.gather(*trickles)
    assert server.methods() == ["POST", "PATCH", "DELETE"]
    patch = server.of("PATCH")[0]
    fragment = parse_fragment(patch.body)
    assert (patch.target, patch.headers["if-match"]) == (SECRET_PATH, '"x"')
    assert patch.headers["content-type"] == "application/trickle-ice-sdpfrag"
    assert (fragment.ice, fragment.mid) == (IceCredentials(UFRAG, PASSWORD), "0")
    assert [candidate.port for candidate in fragment.candidates] == [1001, 1002]
    assert fragment.end_of_candidates


class HeldPatches:
    """Holds each PATCH until ``release`` is called."""

    def __init__(self) -> None:
        self.held: list[tuple[Seen, asyncio.Future[bytes]]] = []
        self._changed = asyncio.Condition()

    async def __call__(self, seen: Seen) -> bytes:
        if seen.method != "PATCH":
            return created(LOCATION, ("ETag", '"x"')) if seen.method == "POST" else response(200)
        future = asyncio.get_running_loop().create_future()
        async with self._changed:
            self.held.append((seen, future))
            self._changed.notify_all()
        answer: bytes = await future
        return answer

    async def arrived(self, count: int) -> None:
        async with self._changed, asyncio.timeout(5.0):
            await self._changed.wait_for(lambda: len(self.held) >= count)

    def release(self, index: int, answer: bytes) -> None:
        self.held[index][1].set_result(answer)

    def ports(self, index: int) -> list[int]:
        return [candidate.port for candidate in parse_fragment(self.held[index][0].body).candidates]


@covers("CL7")
async def test_candidates_are_collected_during_a_patch() -> None:
    """Only one request is sent at a time."""
    script = HeldPatches()
    async with posted(script) as (_server, session), asyncio.TaskGroup() as group:
        group.create_task(session.trickle([A]))
        await script.arrived(1)
        group.create_task(session.trickle([B]))
        group.create_task(session.trickle([C]))
        await settle()
        script.release(0, response(204))
        await script.arrived(2)
        script.release(1, response(204))
    assert [script.ports(index) for index in range(len(script.held))] == [[A.port], [B.port, C.port]]


@covers("CL7", "CL9")
async def test_restart_discards_candidates_that_wait() -> None:
    """They belong to the previous ICE session."""
    script = HeldPatches()
    async with posted(script) as (_server, session), asyncio.TaskGroup() as group:
        group.create_task(session.trickle([A]))
        await script.arrived(1)
        group.create_task(session.trickle([B]))
        await settle()
        restart = group.create_task(session.restart(NEW_ICE))
        await script.arrived(2)
        group.create_task(session.trickle([C]))
        script.release(0, response(204))
        await settle()
        script.release(1, response(200, FRAGMENT, ("ETag", '"y"'), body=RESTARTED))
        await restart
        await script.arrived(3)
        script.release(2, response(204))
    assert [script.ports(index) for index in range(len(script.held))] == [[A.port], [], [C.port]]
    assert [seen.headers["if-match"] for seen, _ in script.held] == ['"x"', "*", '"y"']


@covers("CL9")
async def test_candidates_wait_for_the_last_restart() -> None:
    """Not for one that was overtaken."""
    script, newest = HeldPatches(), IceCredentials("nEwE", "nEwEsTpAsSwOrDoF22cHaRs")
    async with posted(script) as (_server, session), asyncio.TaskGroup() as group:
        first = asyncio.create_task(session.restart(NEW_ICE))
        await script.arrived(1)
        group.create_task(session.restart(newest))
        await script.arrived(2)
        group.create_task(session.trickle([C]))
        script.release(0, response(200, FRAGMENT, ("ETag", '"first"'), body=RESTARTED))
        with pytest.raises(SignalingError, match="overtook"):
            await first
        await settle()
        assert len(script.held) == 2
        script.release(1, response(200, FRAGMENT, ("ETag", '"second"'), body=RESTARTED))
        await script.arrived(3)
        script.release(2, response(204))
    assert script.held[2][0].headers["if-match"] == '"second"'


@covers("CL6")
@pytest.mark.parametrize("tag", ['"x"', "unquoted", "*", 'W/"x"', None])
async def test_entity_tag_is_sent_back_unchanged(tag: str | None) -> None:
    """LiveKit (unquoted), MediaMTX (asterisk), Broadcast Box (none)."""
    fields = [LOCATION] + ([] if tag is None else [("ETag", tag)])
    async with posted(answering(POST=created(*fields), PATCH=response(204))) as (server, session):
        await session.trickle([A])
    assert server.of("PATCH")[0].headers.get("if-match") == tag


@covers("CL6")
async def test_entity_tag_of_a_204_is_ignored() -> None:
    """Janus sends one there, but it belongs to no new ICE session."""
    script = answering(POST=created(LOCATION, ("ETag", '"x"')), PATCH=response(204, ("ETag", '"y"')))
    async with posted(script) as (server, session):
        await session.trickle([A])
        await session.trickle([B])
    assert [seen.headers["if-match"] for seen in server.of("PATCH")] == ['"x"', '"x"']


@covers("CL8")
@pytest.mark.parametrize(
    ("status", "patches"),
    [(405, 1), (501, 1), (404, 1), (415, 1), (410, 1), (422, 2), (428, 2), (412, 2), (400, 2), (503, 2)],
)
async def test_refused_trickle_is_only_logged(status: int, patches: int, caplog: pytest.LogCaptureFixture) -> None:
    """go2rtc answers 405, GStreamer's server 501. If trickle is not supported, no further PATCH is sent."""
    caplog.set_level(logging.DEBUG)
    refusal = response(status, ("Content-Type", "text/plain"), body=f"no {SECRET_PATH} {TOKEN}")
    async with posted(answering(POST=created(), PATCH=refusal), token=TOKEN) as (server, session):
        await session.trickle([A])
        await session.trickle([B])
    assert len(server.of("PATCH")) == patches
    assert server.methods()[-1] == "DELETE"
    assert f"HTTP {status}" in caplog.text
    assert TOKEN not in caplog.text
    assert "s3cr3t" not in caplog.text


@covers("CL8")
async def test_trickle_without_a_response_is_ignored() -> None:

    def script(seen: Seen) -> bytes | None:
        return {"POST": created(), "PATCH": None}.get(seen.method, response(200))

    async with posted(script) as (server, session):
        await session.trickle([A])
    assert server.methods() == ["POST", "PATCH", "DELETE"]


async def test_trickle_returns_if_post_fails() -> None:
    async with serving(answering(POST=response(503))) as server:
        session = session_at(server)
        with pytest.raises(SignalingError):
            await session.post(OFFER)
        async with asyncio.timeout(1.0):
            await session.trickle([A])
    assert server.methods() == ["POST"]


# ICE restarts


@covers("CL9", "CL6")
async def test_ice_restart() -> None:
    """``If-Match: *``, new credentials, and the new entity tag from then on."""
    restarted = response(200, FRAGMENT, ("ETag", '"y"'), body=RESTARTED)
    script = answering(POST=created(LOCATION, ("ETag", '"x"')), PATCH=[response(204), restarted, response(204)])
    async with posted(script) as (server, session):
        await session.trickle([A])
        fragment = await session.restart(NEW_ICE, [B], end_of_candidates=False)
        await session.trickle([C])
    assert fragment.ice == THEIR_ICE
    assert [candidate.port for candidate in fragment.candidates] == [1001]
    trickle, restart, later = server.of("PATCH")
    assert [seen.headers["if-match"] for seen in (trickle, restart, later)] == ['"x"', "*", '"y"']
    ours = parse_fragment(restart.body)
    assert (ours.ice, [candidate.port for candidate in ours.candidates]) == (NEW_ICE, [1002])
    afterwards = parse_fragment(later.body)
    assert (afterwards.ice, [candidate.port for candidate in afterwards.candidates]) == (NEW_ICE, [1003])


@covers("CL6")
async def test_restart_without_new_entity_tag_forgets_the_old_one() -> None:
    script = answering(POST=created(LOCATION, ("ETag", '"x"')), PATCH=[response(200, FRAGMENT, body=RESTARTED)])
    async with posted(script) as (server, session):
        await session.restart(NEW_ICE)
        await session.trickle([C])
    assert "if-match" not in server.of("PATCH")[1].headers


@covers("CL9")
@pytest.mark.parametrize("status", [412, 428])
async def test_restart_is_retried_once_with_a_quoted_asterisk(status: int) -> None:
    """Janus requires it."""
    script = answering(POST=created(), PATCH=[response(status), response(200, FRAGMENT, body=RESTARTED)])
    async with posted(script) as (server, session):
        assert (await session.restart(NEW_ICE)).ice == THEIR_ICE
    assert [seen.headers["if-match"] for seen in server.of("PATCH")] == ["*", '"*"']
    async with posted(answering(POST=created(), PATCH=response(status))) as (server, session):
        with pytest.raises(SignalingError):
            await session.restart(NEW_ICE)
    assert len(server.of("PATCH")) == 2


@covers("CL9")
@pytest.mark.parametrize(
    "given", [response(405), response(500), response(204), response(200, FRAGMENT, body="malformed"), response(422)]
)
async def test_failed_restart_keeps_the_old_ice_session(given: bytes) -> None:
    """RFC 9725, 4.3.3: later candidates belong to the old ICE session again."""
    script = answering(POST=created(LOCATION, ("ETag", '"x"')), PATCH=[given, response(204)])
    async with posted(script) as (server, session):
        with pytest.raises(SignalingError):
            await session.restart(NEW_ICE, [B])
        await session.trickle([C])
    trickle = server.of("PATCH")[1]
    assert trickle.headers["if-match"] == '"x"'
    assert parse_fragment(trickle.body).ice == IceCredentials(UFRAG, PASSWORD)
    assert server.methods()[-1] == "DELETE"


@covers("CL7")
async def test_candidates_wait_for_a_restart() -> None:
    """They need its entity tag."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def script(seen: Seen) -> bytes:
        if seen.method == "PATCH" and seen.headers.get("if-match") == "*":
            begun.set()
            await gate.wait()
            return response(200, FRAGMENT, ("ETag", '"y"'), body=RESTARTED)
        return created() if seen.method == "POST" else response(204)

    async with posted(script) as (server, session), asyncio.TaskGroup() as group:
        restart = group.create_task(session.restart(NEW_ICE))
        await begun.wait()
        trickle = group.create_task(session.trickle([C]))
        await settle()
        assert len(server.of("PATCH")) == 1
        gate.set()
        await asyncio.gather(restart, trickle)
    assert [seen.headers["if-match"] for seen in server.of("PATCH")] == ["*", '"y"']


@covers("CL9")
async def test_only_the_last_restart_counts() -> None:
    """RFC 9725, 4.3.3: "apply only the answer to the last request"."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def script(seen: Seen) -> bytes:
        if seen.method != "PATCH":
            return created() if seen.method == "POST" else response(200)
        if b"NeWu" in seen.body:
            begun.set()
            await gate.wait()
            return response(200, FRAGMENT, ("ETag", '"first"'), body=RESTARTED)
        return response(200, FRAGMENT, ("ETag", '"second"'), body=RESTARTED)

    newest = IceCredentials("nEwE", "nEwEsTpAsSwOrDoF22cHaRs")
    async with posted(script) as (server, session):
        first = asyncio.create_task(session.restart(NEW_ICE))
        await begun.wait()
        assert (await session.restart(newest)).ice == THEIR_ICE
        gate.set()
        with pytest.raises(SignalingError, match="overtook"):
            await first
        await session.trickle([C])
    last = server.of("PATCH")[-1]
    assert last.headers["if-match"] == '"second"'
    assert parse_fragment(last.body).ice == newest


# Counter-offers and reconnects (WHEP)

COUNTER_OFFER = response(406, SDP, LOCATION, ("ETag", '"x"'), body=ANSWER)


@covers("CL20")
async def test_counter_offer_is_answered() -> None:
    """By PATCH; after the 204 the session is like any other."""
    script = answering(POST=COUNTER_OFFER, PATCH=response(204))
    async with serving(script) as server, session_at(server, "player") as session:
        counter_offer = await session.post(OFFER)
        assert isinstance(counter_offer, CounterOffer)
        assert (counter_offer.sdp, counter_offer.valid_for_s) == (ANSWER, 30.0)
        await session.answer(OFFER)
        await session.trickle([A])
    assert server.methods() == ["POST", "PATCH", "PATCH", "DELETE"]
    answer, trickle = server.of("PATCH")
    assert (answer.target, answer.headers["content-type"]) == (SECRET_PATH, "application/sdp")
    assert answer.body.decode() == OFFER
    assert "if-match" not in answer.headers
    assert trickle.headers["if-match"] == '"x"'


async def test_candidates_are_sent_with_the_mid_of_the_counter_offer() -> None:
    """Those gathered for our own offer, too: the ICE session is the same."""
    script = answering(POST=COUNTER_OFFER, PATCH=response(204))
    async with serving(script) as server, session_at(server, "player") as session, asyncio.TaskGroup() as group:
        await session.post(OFFER)
        group.create_task(session.trickle([A]))
        await settle()
        await session.answer(OFFER.replace("a=mid:0", "a=mid:audio"))
    _, trickle = server.of("PATCH")
    assert "a=mid:audio\r\n" in trickle.body.decode()
    assert A.to_sdp() in trickle.body.decode()


@covers("CL20", "CL7")
async def test_candidates_wait_for_the_answer_to_a_long_counter_offer() -> None:
    """The body is read completely, although the status is that of an error."""
    long = ANSWER + "a=x\r\n" * 10_000
    script = Gated(response(406, SDP, LOCATION, body=long))
    async with serving(script) as server, session_at(server, "player") as session, asyncio.TaskGroup() as group:
        posting = group.create_task(session.post(OFFER))
        await script.arrived.wait()
        group.create_task(session.trickle([A]))
        await settle()
        script.gate.set()
        assert (await posting).sdp == long
        await session.answer(OFFER)
    assert [seen.headers["content-type"] for seen in server.of("PATCH")] == [
        "application/sdp",
        "application/trickle-ice-sdpfrag",
    ]
    assert parse_fragment(server.of("PATCH")[1].body).candidates == (A,)


@covers("CL20", "CL10")
async def test_unanswered_counter_offer_is_deleted() -> None:
    async with serving(answering(POST=COUNTER_OFFER)) as server, session_at(server, "player") as session:
        await session.post(OFFER)
    assert server.methods() == ["POST", "DELETE"]


@covers("CL20")
async def test_expired_counter_offer_is_not_answered() -> None:
    script = answering(
        POST=response(
            406,
            ("Content-Type", 'application/sdp; valid-until="Sun, 06 Nov 1994 08:49:38 GMT"'),
            ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            LOCATION,
            body=ANSWER,
        )
    )
    async with serving(script) as server, session_at(server, "player") as session:
        await session.post(OFFER)
        session._answer_by_s -= 2.0
        with pytest.raises(SignalingError, match="expired"):
            await session.answer(OFFER)
        assert server.methods() == ["POST", "DELETE"]


@covers("CL20", "CL10")
async def test_refused_answer_to_a_counter_offer_is_an_error() -> None:
    script = answering(POST=COUNTER_OFFER, PATCH=response(422))
    async with serving(script) as server, session_at(server, "player") as session:
        await session.post(OFFER)
        with pytest.raises(SignalingError) as caught:
            await session.answer(OFFER)
        assert server.methods() == ["POST", "PATCH", "DELETE"]
    assert caught.value.status == 422


@covers("CL20")
@pytest.mark.parametrize("kind", ["player", "publisher"])
async def test_406_without_description_is_a_refusal(kind: Kind) -> None:
    """As sent by MediaMTX for unsupported tracks."""
    refusal = response(406, ("Content-Type", "application/json"), body='{"error":"unsupported tracks"}')
    error, server = await failure(answering(POST=refusal), kind)
    assert (error.status, error.detail, server.methods()) == (406, "unsupported tracks", ["POST"])


@covers("CL20")
async def test_counter_offer_to_a_publisher_is_refused() -> None:
    """Counter-offers belong to WHEP only. The session is deleted."""
    error, server = await failure(answering(POST=COUNTER_OFFER))
    assert (error.status, server.methods()) == (406, ["POST", "DELETE"])


@covers("CL23", "SE62")
async def test_url_of_a_successor_is_not_shown() -> None:

    def script(seen: Seen) -> bytes:
        if seen.target == "/whip":
            return created()
        return response(404, ("Content-Type", "text/plain"), body=f"nothing at {seen.target}")

    async with posted(script, "player") as (server, session):
        with pytest.raises(SignalingError) as caught:
            await session.successor("/s3cr3t-0f-another").post(OFFER)
    assert str(caught.value) == f"{server.origin}/…: HTTP 404: nothing at /…"


@covers("CL23", "SE66")
async def test_successor_posts_to_the_url_of_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is sent only to its origin."""
    name = named_elsewhere(monkeypatch)
    async with (
        serving(answering(POST=created())) as other,
        posted(answering(POST=created()), "player", token=TOKEN) as (server, session),
    ):
        here, there = session.successor("/whep2"), session.successor(f"http://{name}:{other.port}/whip")
        for new in (here, there):
            async with new:
                await new.post(OFFER)
        for bad in ("ftp://a.example", "https://[", "http://a.example:0x1/"):
            with pytest.raises(SignalingError, match="reconnect"):
                session.successor(bad)
    assert [(seen.method, seen.target) for seen in server.requests] == [
        ("POST", "/whip"),
        ("POST", "/whep2"),
        ("DELETE", SECRET_PATH),
        ("DELETE", SECRET_PATH),
    ]
    assert all("authorization" in seen.headers for seen in server.requests)
    assert not any("authorization" in seen.headers for seen in other.requests)


# Pending candidates, without a socket

OFFERED_ICE = IceCredentials(UFRAG, PASSWORD)


def read(fragment: str | None) -> IceFragment:
    assert fragment is not None
    return parse_fragment(fragment)


def addresses(candidates: tuple[Candidate, ...]) -> list[tuple[str, int]]:
    return [(candidate.host, candidate.port) for candidate in candidates]


@pytest.fixture
def pending() -> PendingCandidates:
    return PendingCandidates(IceSession.of(OFFER))


@covers("CL7")
def test_ice_session_of_an_offer() -> None:
    assert IceSession.of(OFFER) == IceSession(OFFERED_ICE, "0")


@pytest.mark.parametrize("sdp", ["v=0\r\n", "malformed", OFFER.replace("a=ice-pwd", "a=ice-pw")])
def test_description_without_credentials_is_an_error(sdp: str) -> None:
    with pytest.raises(SdpError):
        IceSession.of(sdp)


@covers("CL7")
def test_fragment_contains_all_new_candidates(pending: PendingCandidates) -> None:
    """With ufrag, password and mid."""
    pending.add([A])
    pending.add([B])
    fragment = read(pending.take())
    assert (fragment.ice, fragment.mid) == (OFFERED_ICE, "0")
    assert addresses(fragment.candidates) == addresses((A, B))
    assert not fragment.end_of_candidates


@covers("CL7")
def test_candidates_are_not_sent_twice(pending: PendingCandidates) -> None:
    assert pending.take() is None
    pending.add([A])
    pending.take()
    pending.add([A])
    assert pending.take() is None
    pending.add([A, C])
    assert addresses(read(pending.take()).candidates) == addresses((C,))


@covers("CL7")
def test_end_of_candidates_is_sent_once(pending: PendingCandidates) -> None:
    pending.add([A])
    pending.take()
    pending.add([], end_of_candidates=True)
    fragment = read(pending.take())
    assert (fragment.candidates, fragment.end_of_candidates) == ((), True)
    assert pending.take() is None


@covers("CL9")
def test_restart_sends_all_candidates(pending: PendingCandidates) -> None:
    """Or just the credentials, if there are no candidates."""
    assert read(pending.take_all()).ice == OFFERED_ICE
    pending.add([A])
    pending.take()
    pending.add([B], end_of_candidates=True)
    assert addresses(read(pending.take_all()).candidates) == addresses((A, B))
    assert pending.take() is None
