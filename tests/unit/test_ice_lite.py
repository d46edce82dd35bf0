"""The ICE-lite agent with a peer made of plain STUN requests, in virtual time."""

from __future__ import annotations

import secrets
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.rtc import dtls, stun
from bass_webrtc.rtc.ice_lite import (
    IP_UDP_BYTES,
    MAX_AMPLIFICATION,
    MAX_PATHS,
    ConsentExpired,
    IceLite,
    Path,
    PathAdded,
    PathDropped,
    PathSelected,
    PathValidated,
    ReplayDropped,
    Restarted,
)
from bass_webrtc.rtc.sdp import IceCredentials
from support.conformance import covers

LOCAL = IceCredentials("server01", "the server's password 24")
REMOTE = IceCredentials("browser1", "the browser's password 2")
NEW_LOCAL = IceCredentials("server02", "the server's next one 24")
NEW_REMOTE = IceCredentials("browser2", "the browser's next one 2")
A = Path(0, "192.0.2.7", 50000)
B = Path(0, "192.0.2.7", 50001)
C = Path(1, "2001:db8::7", 50000)

PRIORITY = (stun.PRIORITY, struct.pack("!I", 1845494271))
CONTROLLING = (stun.ICE_CONTROLLING, bytes(range(8)))
CONTROLLED = (stun.ICE_CONTROLLED, bytes(range(8)))
USE_CANDIDATE = (stun.USE_CANDIDATE, b"")
TRANSACTION = b"transaction!"


def check(
    *attributes: tuple[int, bytes],
    local: IceCredentials = LOCAL,
    remote: IceCredentials = REMOTE,
    kind: int = 1,
    transaction: bytes = b"",
) -> bytes:
    """A connectivity check as the peer sends it (RFC 8445, 7.2.2), by default with a new transaction id."""
    username = (stun.USERNAME, f"{local.ufrag}:{remote.ufrag}".encode())
    transaction = transaction or secrets.token_bytes(12)
    return stun.build(kind, transaction, (username, *attributes), local.password.encode())


BROWSER = check(PRIORITY, CONTROLLING, transaction=TRANSACTION)


def browser() -> bytes:
    return check(PRIORITY, CONTROLLING)


def nominating() -> bytes:
    return check(PRIORITY, CONTROLLING, USE_CANDIDATE)


def answer_to(request: bytes, path: Path, remote: IceCredentials = REMOTE) -> bytes:
    """The peer's answer to a check of ours."""
    return stun.build_success(stun.Message.parse(request), "192.0.2.1", 3478, remote.password.encode())


def answer_checks(agent: IceLite, now_s: float, *paths: Path, remote: IceCredentials = REMOTE) -> None:
    """Answer our checks, as the peer does where it receives."""
    for request, path in agent.checks(now_s):
        if path in paths:
            agent.receive(answer_to(request, path, remote), path, now_s)


def client_hello() -> bytes:
    """Our first DTLS flight as a client."""
    certificate = dtls.Certificate.generate()
    session = dtls.DtlsSession(certificate, "client", [certificate.fingerprint])
    session.start(0.0)
    [hello] = session.to_send()
    return hello


def connected(path: Path = A, now_s: float = 0.0) -> IceLite:
    """An agent whose peer has nominated and validated this path and completed the handshake."""
    agent = ice(now_s)
    agent.receive(nominating(), path, now_s)
    answer_checks(agent, now_s, path)
    agent.handshake_completed(path, now_s)
    agent.to_send()
    agent.events()
    return agent


def ice(now_s: float = 0.0) -> IceLite:
    return IceLite(LOCAL, REMOTE, now_s=now_s)


def only_answer(agent: IceLite) -> tuple[stun.Message, Path]:
    [(data, path)] = agent.to_send()
    return stun.Message.parse(data), path


class TestChecks:
    def test_answers_to_source_of_check(self) -> None:
        agent = ice()
        agent.receive(BROWSER, C, 1.0)
        answer, path = only_answer(agent)
        assert path == C
        assert answer.kind == stun.BINDING_SUCCESS
        assert answer.transaction_id == TRANSACTION
        assert answer.has_fingerprint
        assert answer.is_authentic(LOCAL.password.encode())
        mapped = stun.xor_mapped_address(C.host, C.port, TRANSACTION)
        assert answer.attributes[stun.XOR_MAPPED_ADDRESS] == mapped

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(check(), id="FFmpeg-neither-priority-nor-role"),
            pytest.param(check(CONTROLLING), id="no-priority"),
            pytest.param(check(PRIORITY), id="no-role"),
            pytest.param(check(PRIORITY, CONTROLLING, (0xC057, bytes(4))), id="Chrome-network-info"),
        ],
    )
    def test_accepts_checks_without_priority_or_role(self, data: bytes) -> None:
        """FFmpeg's checks have neither."""
        agent = ice()
        agent.receive(data, A, 1.0)
        assert agent.events() == [PathAdded(A), PathSelected(A)]
        assert agent.selected == A

    @covers("SE27")
    def test_sends_nothing_without_a_request(self) -> None:
        """A lite agent cannot be used to flood a victim: it sends only to the source of an authentic request."""
        agent = ice()
        for second in range(30):
            agent.handle_timeout(float(second))
            assert agent.to_send() == []
            assert agent.checks(float(second)) == []

    def test_to_send_and_events_clear_their_lists(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 1.0)
        agent.to_send()
        agent.events()
        assert agent.to_send() == []
        assert agent.events() == []


class TestSelection:
    def test_first_valid_path_is_selected_and_nomination_changes_it(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 1.0)
        agent.receive(browser(), B, 1.1)
        assert agent.events() == [PathAdded(A), PathSelected(A), PathAdded(B)]
        agent.receive(nominating(), B, 1.2)
        assert agent.events() == [PathSelected(B)]
        agent.receive(browser(), A, 1.3)
        agent.receive(nominating(), B, 1.4)
        assert agent.events() == []
        assert agent.selected == B

    def test_follows_peer_that_moved_and_never_nominates(self) -> None:
        """The peer's NAT assigned another port, so checks on the old path stop."""
        agent = ice()
        for second in (0.0, 5.0):
            agent.receive(check(), A, second)
        agent.receive(check(), B, 19.9)
        assert agent.selected == A
        agent.receive(check(), B, 20.0)
        assert agent.selected == B

    def test_peer_with_many_ports_keeps_newest_paths(self) -> None:
        agent = ice()
        agent.receive(nominating(), A, 0.0)
        agent.events()
        for port in range(MAX_PATHS + 5):
            agent.receive(browser(), Path(0, "192.0.2.8", port), 1.0 + port / 1000)
        dropped = [event.path.port for event in agent.events() if isinstance(event, PathDropped)]
        assert dropped == list(range(6))
        assert agent.selected == A
        assert len(agent.paths) == MAX_PATHS
        assert A in agent.paths


class TestValidation:
    def test_our_check_has_the_credentials_of_the_peer(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 1.0)
        [(data, path)] = agent.checks(1.0)
        request = stun.Message.parse(data)
        assert (request.kind, path) == (stun.BINDING_REQUEST, A)
        assert request.attributes[stun.USERNAME] == b"browser1:server01"
        assert request.is_authentic(REMOTE.password.encode())
        assert request.has_fingerprint
        assert {stun.PRIORITY, stun.ICE_CONTROLLED} <= set(request.attributes)

    @covers("SE32")
    def test_answer_validates_the_path(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 1.0)
        assert not agent.is_validated(A)
        answer_checks(agent, 1.0, A)
        assert agent.is_validated(A)
        assert agent.events() == [PathAdded(A), PathSelected(A), PathValidated(A)]

    @covers("SE32")
    def test_wrong_answers_do_not_validate_the_path(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 1.0)
        agent.receive(browser(), B, 1.0)
        (of_a, _), (of_b, _) = agent.checks(1.0)
        agent.receive(answer_to(of_a, A, IceCredentials("browser1", "x" * 24)), A, 1.1)
        agent.receive(answer_to(of_a, A, LOCAL), A, 1.1)
        agent.receive(answer_to(of_b, A), A, 1.1)
        agent.receive(answer_to(of_a, A), C, 1.1)
        error = stun.build_error(stun.Message.parse(of_a), 487, "Role Conflict", REMOTE.password.encode())
        agent.receive(error, A, 1.1)
        unsolicited = stun.build(stun.BINDING_SUCCESS, TRANSACTION, (), REMOTE.password.encode())
        agent.receive(unsolicited, A, 1.1)
        assert not agent.is_validated(A)
        assert not agent.is_validated(B)

    def test_our_checks_are_few_and_begin_again_with_the_next_of_the_peer(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 0.0)
        agent.count_received(A, 1000)
        sent = [round(second / 100, 1) for second in range(2800) if agent.checks(second / 100)]
        assert sent == [0.0, 0.1, 0.3, 0.7]
        agent.receive(browser(), A, 29.0)
        assert len(agent.checks(29.0)) == 1

    @covers("SE32")
    def test_media_stays_until_the_new_path_is_validated(self) -> None:
        """As after a NAT rebinding: it moves as soon as our check is answered, within one round trip."""
        agent = connected(A)
        agent.receive(nominating(), B, 5.0)
        assert agent.events() == [PathAdded(B)]
        assert agent.selected == A
        answer_checks(agent, 5.05, B)
        assert agent.events() == [PathValidated(B), PathSelected(B)]

    def test_nomination_of_the_selected_path_withdraws_an_older_one(self) -> None:
        agent = connected(A)
        agent.receive(nominating(), B, 5.0)
        agent.receive(nominating(), A, 5.1)
        answer_checks(agent, 5.2, B)
        assert agent.selected == A
        agent.receive(nominating(), B, 5.3)
        assert agent.selected == B

    def test_validated_path_replaces_one_that_is_not(self) -> None:
        """Somebody copied the first check and was faster; the handshake continues where the peer receives."""
        agent = ice()
        agent.receive(BROWSER, B, 0.0)
        agent.receive(browser(), A, 0.1)
        assert agent.selected == B
        answer_checks(agent, 0.1, A)
        assert agent.selected == A

    @covers("SE32")
    def test_handshake_validates_the_path_on_which_it_ended(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 0.0)
        agent.receive(browser(), B, 0.0)
        agent.handshake_completed(B, 0.2)
        assert not agent.is_validated(A)
        assert not agent.is_validated(B)
        agent.handshake_completed(A, 0.2)
        assert agent.is_validated(A)

    @covers("SE32")
    def test_recorded_checks_from_many_addresses_do_not_evict_validated_paths(self) -> None:
        agent = connected(A)
        agent.receive(browser(), B, 1.0)
        answer_checks(agent, 1.0, B)
        for port in range(3 * MAX_PATHS):
            agent.receive(nominating(), Path(0, "192.0.2.8", port), 2.0 + port / 1000)
        assert agent.is_validated(A)
        assert agent.is_validated(B)
        assert agent.selected == A
        assert len(agent.paths) == MAX_PATHS


class TestAmplification:
    """RFC 9000, 8.1: before an address is validated, at most three times as much is sent there as came from there."""

    @covers("SE32")
    def test_one_check_brings_at_most_three_times_its_size(self) -> None:
        agent = ice()
        request = browser()
        agent.receive(request, A, 0.0)
        sent = [data for data, _ in agent.to_send()]
        for millisecond in range(0, 30_000, 50):
            now_s = millisecond / 1000
            sent += [data for data, _ in agent.checks(now_s)]
            sent += [b"DTLS" * 50] if agent.may_send(A, 200) else []
        wire = sum(len(data) + IP_UDP_BYTES for data in sent)
        assert len(request) + IP_UDP_BYTES < wire <= MAX_AMPLIFICATION * (len(request) + IP_UDP_BYTES)

    def test_what_the_peer_sends_allows_more(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 0.0)
        assert not agent.may_send(A, 700)
        agent.count_received(A, 170)
        assert agent.may_send(A, 700)
        assert not agent.may_send(A, 700)

    def test_one_check_allows_its_answer_our_client_hello_and_our_check(self) -> None:
        """If the ClientHello is lost, our check validates the path, which the retransmission needs.

        The peer may send nothing else until then. The check has the length of Firefox's; Chrome's is longer.
        """
        agent = ice()
        agent.receive(nominating(), A, 0.0)
        assert len(agent.to_send()) == 1
        assert agent.may_send(A, len(client_hello()))
        assert len(agent.checks(0.0)) == 1

    def test_shortest_check_allows_our_client_hello(self) -> None:
        """FFmpeg 8.0's has no priority and no role."""
        agent = ice()
        agent.receive(check(USE_CANDIDATE), A, 0.0)
        assert len(agent.to_send()) == 1
        assert agent.may_send(A, len(client_hello()))

    def test_peer_that_waits_for_our_client_hello_answers_our_check_first(self) -> None:
        """FFmpeg answers no check once it has our answer to its own, and needs two ClientHellos."""
        agent = IceLite(LOCAL, REMOTE, now_s=0.0, checks_first=True)
        agent.receive(nominating(), A, 0.0)
        assert agent.to_send() == []
        assert not agent.may_send(A, len(client_hello()))
        repeated = nominating()
        agent.receive(repeated, A, 0.05)
        answer_checks(agent, 0.05, A)
        answer, path = only_answer(agent)
        assert (answer.transaction_id, path) == (stun.Message.parse(repeated).transaction_id, A)
        assert all(agent.may_send(A, len(client_hello())) for _ in range(5))

    def test_peer_that_answers_nothing_gets_its_answer_after_half_a_second(self) -> None:
        agent = IceLite(LOCAL, REMOTE, now_s=0.0, checks_first=True)
        for tenths in range(5):
            agent.receive(nominating(), A, tenths / 10)
        assert agent.to_send() == []
        agent.receive(nominating(), A, 0.5)
        assert len(agent.to_send()) == 1
        assert agent.may_send(A, len(client_hello()))

    def test_check_and_client_hello_allow_our_certificate(self) -> None:
        """Our flight with the certificate has 635 bytes. A peer's ClientHello is at least as long as ours."""
        agent = ice()
        agent.receive(nominating(), A, 0.0)
        assert len(agent.to_send() + agent.checks(0.0)) == 2
        agent.count_received(A, len(client_hello()))
        assert agent.may_send(A, 635)

    def test_validated_path_has_no_limit_and_an_unknown_one_gets_nothing(self) -> None:
        agent = connected(A)
        assert all(agent.may_send(A, 1200) for _ in range(1000))
        assert not agent.may_send(B, 1)


class TestReplays:
    @covers("SE32")
    def test_check_from_another_address_is_dropped(self) -> None:
        agent = connected(A)
        recorded = nominating()
        agent.receive(recorded, A, 1.0)
        agent.to_send()
        for second in range(2, 29, 3):
            agent.receive(recorded, B, float(second))
        assert agent.events() == [ReplayDropped(B)] * 9
        assert agent.to_send() == []
        assert agent.paths == (A,)

    def test_retransmission_on_the_same_path_is_answered_but_changes_nothing(self) -> None:
        agent = connected(A)
        recorded = nominating()
        agent.receive(recorded, A, 1.0)
        agent.to_send()
        agent.receive(recorded, A, 20.0)
        assert len(agent.to_send()) == 1
        agent.handle_timeout(31.0)
        assert agent.events() == [PathDropped(A), ConsentExpired()]

    def test_faster_copy_does_not_make_a_validated_path_lose_its_check(self) -> None:
        agent = connected(A)
        for second in range(5, 60, 5):
            original = browser()
            agent.receive(original, B, float(second))
            agent.receive(original, A, second + 0.1)
            answer_checks(agent, second + 0.2, A)
            agent.handle_timeout(second + 0.2)
        assert agent.selected == A
        assert ConsentExpired() not in agent.events()

    @covers("SE32")
    def test_more_checks_than_are_remembered_do_not_keep_a_session_that_the_peer_left(self) -> None:
        agent = connected(A)
        answer_checks(agent, 1.0, A)  # It answers our checks, so it must go on to do so.
        recorded = [nominating() for _ in range(200)]
        for request in recorded:
            agent.receive(request, A, 2.0)
        for second in range(3, 100):
            agent.receive(recorded[second], A, float(second))
            agent.checks(float(second))
            agent.handle_timeout(float(second))
        assert agent.events()[-2:] == [PathDropped(A), ConsentExpired()]

    def test_peer_that_answers_none_of_our_checks_needs_only_its_own(self) -> None:
        """FFmpeg answers during the handshake only."""
        agent = connected(A)
        for second in range(5, 300, 5):
            agent.receive(check(), A, float(second))
            agent.checks(float(second))
            agent.handle_timeout(float(second))
        assert agent.events() == []

    def test_peer_that_answers_stays_connected(self) -> None:
        agent = connected(A)
        for second in range(300):
            if second % 5 == 0:
                agent.receive(browser(), A, float(second))
            answer_checks(agent, float(second), A)
            agent.handle_timeout(float(second))
        assert agent.events() == []

    def test_peer_that_answers_is_checked_every_25_s(self) -> None:
        agent = connected(A)
        sent = []
        for second in range(100):
            for request, path in agent.checks(float(second)):
                sent.append(second)
                agent.receive(answer_to(request, path), path, float(second))
        assert sent == [1, 26, 51, 76]


class TestRoundTrips:
    def test_requested_check_is_sent_at_once_and_measured(self) -> None:
        agent = connected(A)
        agent.take_round_trip_s()
        agent.request_check(0.5)
        [(request, path)] = agent.checks(0.5)
        assert agent.checks(0.6) == []
        agent.receive(answer_to(request, path), path, 0.75)
        assert agent.take_round_trip_s() == 0.25
        assert agent.take_round_trip_s() is None

    def test_each_of_several_checks_under_way_is_measured(self) -> None:
        agent = connected(A)
        requests = []
        for tenth in range(3):
            agent.request_check(tenth / 10)
            requests += [request for request, _ in agent.checks(tenth / 10)]
        for tenth, request in enumerate(requests):
            agent.receive(answer_to(request, A), A, 1.0)
            assert agent.take_round_trip_s() == pytest.approx(1.0 - tenth / 10)
            agent.receive(answer_to(request, A), A, 2.0)  # Once only.
            assert agent.take_round_trip_s() is None

    def test_other_paths_are_not_measured(self) -> None:
        agent = connected(A)
        agent.take_round_trip_s()
        agent.receive(browser(), B, 1.0)
        answer_checks(agent, 1.0, B)
        assert agent.take_round_trip_s() is None

    def test_nothing_is_checked_without_a_validated_path(self) -> None:
        agent = ice()
        agent.request_check(0.0)
        assert agent.checks(0.0) == []


class TestSettled:
    """On a settled path the caller answers checks itself."""

    def test_path_is_settled_once_it_is_selected_and_validated(self) -> None:
        agent = ice()
        assert agent.settled is None
        agent.receive(nominating(), A, 0.0)
        assert agent.settled is None
        answer_checks(agent, 0.0, A)
        assert agent.settled == A

    def test_nomination_of_another_path_unsettles_until_it_is_validated(self) -> None:
        agent = connected(A)
        agent.receive(browser(), B, 1.0)
        assert agent.settled == A
        agent.receive(nominating(), B, 1.1)
        assert agent.settled is None
        answer_checks(agent, 1.2, B)
        assert agent.settled == B

    def test_restart_unsettles_until_a_path_is_validated_with_the_new_credentials(self) -> None:
        agent = connected(A)
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        assert agent.settled is None
        agent.receive(check(local=NEW_LOCAL, remote=NEW_REMOTE), B, 1.1)
        assert agent.settled is None
        answer_checks(agent, 1.2, B, remote=NEW_REMOTE)
        assert agent.settled == B

    def test_nothing_is_settled_after_expiry(self) -> None:
        agent = connected(A)
        agent.handle_timeout(31.0)
        assert agent.settled is None

    def test_checks_that_were_answered_elsewhere_keep_consent(self) -> None:
        agent = connected(A)
        for second in range(5, 300, 5):
            agent.note_check(A, float(second))
            agent.handle_timeout(float(second))
        assert agent.events() == []
        agent.note_check(A, 10.0)  # Earlier than the last one.
        agent.handle_timeout(324.9)
        assert agent.events() == []
        agent.handle_timeout(325.0)
        assert agent.events() == [PathDropped(A), ConsentExpired()]

    def test_selected_path_is_not_silent_while_its_checks_are_answered_elsewhere(self) -> None:
        agent = connected(A)
        agent.note_check(A, 20.0)
        agent.receive(browser(), B, 21.0)
        answer_checks(agent, 21.0, B)
        agent.receive(browser(), B, 22.0)
        assert agent.selected == A

    def test_checks_on_an_unknown_path_are_ignored(self) -> None:
        agent = connected(A)
        agent.note_check(B, 1.0)
        assert agent.paths == (A,)


class TestRefusals:
    @covers("SE24")
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(check(local=IceCredentials(LOCAL.ufrag, "x" * 24)), id="wrong-password"),
            pytest.param(check(local=IceCredentials("unknown1", LOCAL.password)), id="unknown-user"),
            pytest.param(check(local=IceCredentials(LOCAL.ufrag[:-1], LOCAL.password)), id="shorter-user"),
            pytest.param(stun.build(1, TRANSACTION, [PRIORITY], LOCAL.password.encode()), id="no-user"),
            pytest.param(BROWSER[:2] + struct.pack("!H", len(BROWSER) - 28) + BROWSER[4:-8], id="no-fingerprint"),
        ],
    )
    def test_drops_unauthenticated_requests(self, data: bytes) -> None:
        """No 400 or 401 response: the source address may be forged."""
        agent = ice()
        agent.receive(data, A, 1.0)
        assert agent.to_send() == []
        assert agent.events() == []

    @covers("SE24")
    def test_requires_message_integrity(self) -> None:
        username = struct.pack("!HH", stun.USERNAME, 17) + b"server01:browser1" + bytes(3)
        bare = struct.pack("!HHI", 1, len(username) + 8, 0x2112A442) + TRANSACTION + username
        fingerprint = struct.pack("!HHI", stun.FINGERPRINT, 4, zlib.crc32(bare) ^ 0x5354554E)
        agent = ice()
        agent.receive(bare + fingerprint, A, 1.0)
        assert (agent.to_send(), agent.events()) == ([], [])

    @covers("SE25")
    def test_junk_is_ignored(self) -> None:
        agent = ice()
        for data in (b"", b"\x00", bytes(65507), BROWSER[:-1], BROWSER + b"\x00" * 4):
            agent.receive(data, A, 1.0)
        assert agent.to_send() == []
        agent.receive(browser(), A, 1.0)
        assert agent.selected == A

    @covers("SE25")
    def test_unknown_required_attribute_gets_420(self) -> None:
        agent = ice()
        agent.receive(check(PRIORITY, (0x7F01, b"data")), A, 1.0)
        answer, path = only_answer(agent)
        assert path == A
        assert answer.attributes[stun.ERROR_CODE][2:4] == b"\x04\x14"
        assert answer.attributes[stun.UNKNOWN_ATTRIBUTES] == b"\x7f\x01"
        assert answer.is_authentic(LOCAL.password.encode())
        assert agent.events() == []

    @covers("SE28")
    def test_controlled_peer_gets_487(self) -> None:
        """RFC 8445, 7.3.1.1: a lite agent stays controlled, so the peer must switch, whatever the tie-breakers."""
        agent = ice()
        for tie_breaker in (bytes(8), b"\xff" * 8):
            agent.receive(check(PRIORITY, (stun.ICE_CONTROLLED, tie_breaker)), A, 1.0)
            answer, _ = only_answer(agent)
            assert answer.attributes[stun.ERROR_CODE][2:4] == b"\x04\x57"
        assert agent.events() == []
        agent.receive(browser(), A, 1.1)
        assert agent.selected == A

    @covers("SE21")
    @pytest.mark.parametrize("kind", [stun.BINDING_INDICATION, stun.BINDING_SUCCESS, stun.BINDING_ERROR, 0x0003])
    def test_other_messages_do_not_validate_a_path(self, kind: int) -> None:
        """Unsolicited responses and keepalives neither validate nor refresh a path."""
        agent = ice()
        agent.receive(check(PRIORITY, kind=kind), A, 1.0)
        assert agent.to_send() == []
        assert agent.events() == []
        agent.handle_timeout(30.0)
        assert agent.events() == [ConsentExpired()]


class TestConsent:
    @covers("SE20")
    def test_expires_30_s_after_the_last_check(self) -> None:
        agent = ice()
        agent.receive(browser(), A, 2.0)
        agent.receive(browser(), A, 7.5)
        for tenths in range(75, 95):
            agent.checks(tenths / 10)
        agent.events()
        assert agent.timeout_s() == 37.5
        agent.handle_timeout(37.4)
        assert agent.events() == []
        agent.handle_timeout(37.5)
        assert agent.events() == [PathDropped(A), ConsentExpired()]
        assert agent.selected is None
        assert agent.timeout_s() is None

    @covers("WS13")
    @pytest.mark.parametrize(
        "data",
        [b"", BROWSER[:-1], check(local=IceCredentials(LOCAL.ufrag, "x" * 24))],
        ids=["empty", "cut-short", "wrong-password"],
    )
    def test_expires_after_10_s_without_any_check(self, data: bytes) -> None:
        agent = ice(now_s=100.0)
        assert agent.timeout_s() == 110.0
        agent.receive(data, A, 109.0)
        agent.handle_timeout(109.9)
        assert agent.events() == []
        agent.handle_timeout(110.0)
        assert agent.events() == [ConsentExpired()]

    def test_restart_before_first_check_gives_10_s_more(self) -> None:
        """Our web page restarts ICE with TURN servers if it has not connected after two seconds."""
        agent = ice()
        agent.restart(NEW_LOCAL, NEW_REMOTE, 9.0)
        agent.handle_timeout(18.9)
        assert agent.events() == []
        agent.handle_timeout(19.0)
        assert agent.events() == [ConsentExpired()]

    @covers("SE21")
    def test_nothing_is_answered_after_expiry(self) -> None:
        """Expired credentials are never used again."""
        agent = ice()
        agent.handle_timeout(30.0)
        agent.events()
        agent.receive(nominating(), A, 30.1)
        agent.handle_timeout(90.0)
        assert agent.to_send() == []
        assert agent.events() == []

    @covers("SE21")
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(check(local=IceCredentials(LOCAL.ufrag, "x" * 24)), id="wrong-password"),
            pytest.param(check(CONTROLLED), id="role-conflict"),
            pytest.param(b"\x00\x01junk", id="junk"),
        ],
    )
    def test_only_valid_checks_refresh_consent(self, data: bytes) -> None:
        agent = ice()
        agent.receive(browser(), A, 0.0)
        agent.receive(data, A, 29.0)
        agent.events()
        agent.handle_timeout(30.0)
        assert agent.events() == [PathDropped(A), ConsentExpired()]

    def test_consent_is_kept_per_path(self) -> None:
        """RFC 7675, 5.1: consent belongs to a 5-tuple. If the selected path expires, a valid one replaces it."""
        agent = ice()
        agent.receive(nominating(), A, 0.0)
        agent.receive(browser(), C, 10.0)
        agent.receive(browser(), B, 12.0)
        agent.events()
        agent.handle_timeout(30.0)
        assert agent.events() == [PathDropped(A), PathSelected(B)]
        agent.handle_timeout(42.0)
        assert agent.events() == [PathDropped(C), PathDropped(B), ConsentExpired()]


class TestRestart:
    @covers("WS28")
    def test_old_credentials_are_accepted_until_first_check_with_new_ones(self) -> None:
        agent = connected(A)
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        assert list(agent.ufrags) == ["server01", "server02"]
        assert (agent.local, agent.remote) == (NEW_LOCAL, NEW_REMOTE)

        agent.receive(nominating(), A, 2.0)
        answer, _ = only_answer(agent)
        assert answer.is_authentic(LOCAL.password.encode())
        assert agent.selected == A
        assert agent.events() == []

        agent.receive(check(PRIORITY, local=NEW_LOCAL, remote=NEW_REMOTE), B, 3.0)
        answer, path = only_answer(agent)
        assert path == B
        assert answer.is_authentic(NEW_LOCAL.password.encode())
        assert agent.events() == [Restarted(), PathAdded(B)]
        assert agent.selected == A
        answer_checks(agent, 3.0, B, remote=NEW_REMOTE)
        assert agent.events() == [PathValidated(B), PathSelected(B)]
        assert list(agent.ufrags) == ["server02"]

        agent.receive(nominating(), A, 4.0)
        assert agent.to_send() == []
        assert agent.selected == B

    @covers("WS28")
    def test_restart_on_same_path_selects_it_again(self) -> None:
        agent = ice()
        agent.receive(nominating(), A, 0.0)
        agent.events()
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        agent.receive(check(local=NEW_LOCAL, remote=NEW_REMOTE), A, 2.0)
        assert agent.events() == [Restarted(), PathSelected(A)]

    @covers("WS28")
    def test_incomplete_restart_does_not_affect_old_session(self) -> None:
        agent = ice()
        agent.receive(nominating(), A, 0.0)
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        for second in range(5, 100, 5):
            agent.receive(nominating(), A, float(second))
            agent.handle_timeout(float(second))
        assert agent.events() == [PathAdded(A), PathSelected(A)]

    @covers("WS28")
    def test_new_user_name_with_old_password_does_not_complete_restart(self) -> None:
        agent = ice()
        agent.receive(nominating(), A, 0.0)
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        agent.receive(check(local=IceCredentials(NEW_LOCAL.ufrag, LOCAL.password)), B, 2.0)
        assert list(agent.ufrags) == ["server01", "server02"]
        assert agent.selected == A

    @covers("WS28")
    def test_restart_has_its_own_timeout_after_all_paths_are_lost(self) -> None:
        """The old path expires and sending stops, but the peer can still complete the restart."""
        agent = connected(A)
        agent.restart(NEW_LOCAL, NEW_REMOTE, 29.0)
        agent.handle_timeout(30.0)
        assert agent.events() == [PathDropped(A)]
        assert agent.selected is None
        agent.receive(check(local=NEW_LOCAL, remote=NEW_REMOTE), B, 31.0)
        assert agent.events() == [Restarted(), PathAdded(B)]
        answer_checks(agent, 31.0, B, remote=NEW_REMOTE)
        assert agent.events() == [PathValidated(B), PathSelected(B)]

    @covers("WS28")
    def test_second_restart_replaces_pending_one(self) -> None:
        agent = ice()
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        third = IceCredentials("server03", "yet another password 24c")
        agent.restart(third, NEW_REMOTE, 2.0)
        assert list(agent.ufrags) == ["server01", "server03"]
        agent.receive(check(local=NEW_LOCAL), A, 3.0)
        assert agent.to_send() == []


class TestAnyBytes:
    @covers("SE70")
    @given(st.lists(st.binary(max_size=200)))
    def test_never_raises(self, datagrams: list[bytes]) -> None:
        agent = ice()
        for data in datagrams:
            agent.receive(data, A, 1.0)
        assert agent.selected is None

    @covers("SE70")
    @given(st.integers(0, len(BROWSER) - 1), st.integers(1, 255))
    def test_changed_byte_is_never_accepted(self, at: int, flip: int) -> None:
        changed = bytearray(BROWSER)
        changed[at] ^= flip
        agent = ice()
        agent.receive(bytes(changed), A, 1.0)
        assert agent.selected is None
        assert agent.to_send() == []
