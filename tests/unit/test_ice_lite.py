"""The ICE-lite agent with a peer made of plain STUN requests, in virtual time."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.rtc import stun
from bass_webrtc.rtc.ice_lite import (
    MAX_PATHS,
    ConsentExpired,
    IceLite,
    Path,
    PathDropped,
    PathSelected,
    PathValidated,
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
    *attributes: tuple[int, bytes], local: IceCredentials = LOCAL, remote: IceCredentials = REMOTE, kind: int = 1
) -> bytes:
    """A connectivity check as the peer sends it (RFC 8445, 7.2.2)."""
    username = (stun.USERNAME, f"{local.ufrag}:{remote.ufrag}".encode())
    return stun.build(kind, TRANSACTION, (username, *attributes), local.password.encode())


BROWSER = check(PRIORITY, CONTROLLING)
NOMINATING = check(PRIORITY, CONTROLLING, USE_CANDIDATE)


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
        assert agent.events() == [PathValidated(A), PathSelected(A)]
        assert agent.selected == A

    @covers("SE27")
    def test_sends_nothing_without_a_request(self) -> None:
        """A lite agent cannot be used to flood a victim: it sends only to the source of an authentic request."""
        agent = ice()
        for second in range(30):
            agent.handle_timeout(float(second))
        assert agent.to_send() == []

    def test_to_send_and_events_clear_their_lists(self) -> None:
        agent = ice()
        agent.receive(BROWSER, A, 1.0)
        agent.to_send()
        agent.events()
        assert agent.to_send() == []
        assert agent.events() == []


class TestSelection:
    def test_first_valid_path_is_selected_and_nomination_changes_it(self) -> None:
        agent = ice()
        agent.receive(BROWSER, A, 1.0)
        agent.receive(BROWSER, B, 1.1)
        assert agent.events() == [PathValidated(A), PathSelected(A), PathValidated(B)]
        agent.receive(NOMINATING, B, 1.2)
        assert agent.events() == [PathSelected(B)]
        agent.receive(BROWSER, A, 1.3)
        agent.receive(NOMINATING, B, 1.4)
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
        agent.receive(NOMINATING, A, 0.0)
        agent.events()
        for port in range(MAX_PATHS + 5):
            agent.receive(BROWSER, Path(0, "192.0.2.8", port), 1.0 + port / 1000)
        dropped = [event.path.port for event in agent.events() if isinstance(event, PathDropped)]
        assert dropped == list(range(6))
        assert agent.selected == A
        assert len(agent.paths) == MAX_PATHS
        assert A in agent.paths


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
        assert agent.unauthenticated == 1

    @covers("SE24")
    def test_requires_message_integrity(self) -> None:
        username = struct.pack("!HH", stun.USERNAME, 17) + b"server01:browser1" + bytes(3)
        bare = struct.pack("!HHI", 1, len(username) + 8, 0x2112A442) + TRANSACTION + username
        fingerprint = struct.pack("!HHI", stun.FINGERPRINT, 4, zlib.crc32(bare) ^ 0x5354554E)
        agent = ice()
        agent.receive(bare + fingerprint, A, 1.0)
        assert (agent.unauthenticated, agent.to_send(), agent.events()) == (1, [], [])

    @covers("SE25")
    def test_junk_is_counted_and_ignored(self) -> None:
        agent = ice()
        for data in (b"", b"\x00", bytes(65507), BROWSER[:-1], BROWSER + b"\x00" * 4):
            agent.receive(data, A, 1.0)
        assert agent.malformed == 5
        assert agent.to_send() == []
        agent.receive(BROWSER, A, 1.0)
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
        assert agent.rejected == 1

    @covers("SE28")
    def test_controlled_peer_gets_487(self) -> None:
        """RFC 8445, 7.3.1.1: a lite agent stays controlled, so the peer must switch, whatever the tie-breakers."""
        agent = ice()
        for tie_breaker in (bytes(8), b"\xff" * 8):
            agent.receive(check(PRIORITY, (stun.ICE_CONTROLLED, tie_breaker)), A, 1.0)
            answer, _ = only_answer(agent)
            assert answer.attributes[stun.ERROR_CODE][2:4] == b"\x04\x57"
        assert agent.events() == []
        agent.receive(BROWSER, A, 1.1)
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
        agent.receive(BROWSER, A, 2.0)
        agent.receive(BROWSER, A, 7.5)
        agent.events()
        assert agent.timeout_s() == 37.5
        agent.handle_timeout(37.4)
        assert agent.events() == []
        agent.handle_timeout(37.5)
        assert agent.events() == [PathDropped(A), ConsentExpired()]
        assert agent.selected is None
        assert agent.timeout_s() is None

    @covers("WS13")
    @pytest.mark.parametrize("data", [b"", BROWSER[:-1], check(local=IceCredentials(LOCAL.ufrag, "x" * 24))])
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
        agent.receive(NOMINATING, A, 30.1)
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
        agent.receive(BROWSER, A, 0.0)
        agent.receive(data, A, 29.0)
        agent.events()
        agent.handle_timeout(30.0)
        assert agent.events() == [PathDropped(A), ConsentExpired()]

    def test_consent_is_kept_per_path(self) -> None:
        """RFC 7675, 5.1: consent belongs to a 5-tuple. If the selected path expires, a valid one replaces it."""
        agent = ice()
        agent.receive(NOMINATING, A, 0.0)
        agent.receive(BROWSER, C, 10.0)
        agent.receive(BROWSER, B, 12.0)
        agent.events()
        agent.handle_timeout(30.0)
        assert agent.events() == [PathDropped(A), PathSelected(B)]
        agent.handle_timeout(42.0)
        assert agent.events() == [PathDropped(C), PathDropped(B), ConsentExpired()]


class TestRestart:
    @covers("WS28")
    def test_old_credentials_are_accepted_until_first_check_with_new_ones(self) -> None:
        agent = ice()
        agent.receive(NOMINATING, A, 0.0)
        agent.to_send()
        agent.events()
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        assert list(agent.ufrags) == ["server01", "server02"]
        assert (agent.local, agent.remote) == (NEW_LOCAL, NEW_REMOTE)

        agent.receive(NOMINATING, A, 2.0)
        answer, _ = only_answer(agent)
        assert answer.is_authentic(LOCAL.password.encode())
        assert agent.selected == A
        assert agent.events() == []

        agent.receive(check(PRIORITY, local=NEW_LOCAL, remote=NEW_REMOTE), B, 3.0)
        answer, path = only_answer(agent)
        assert path == B
        assert answer.is_authentic(NEW_LOCAL.password.encode())
        assert agent.events() == [Restarted(), PathValidated(B), PathSelected(B)]
        assert list(agent.ufrags) == ["server02"]

        agent.receive(NOMINATING, A, 4.0)
        assert agent.to_send() == []
        assert agent.unauthenticated == 1
        assert agent.selected == B

    @covers("WS28")
    def test_restart_on_same_path_selects_it_again(self) -> None:
        agent = ice()
        agent.receive(NOMINATING, A, 0.0)
        agent.events()
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        agent.receive(check(local=NEW_LOCAL, remote=NEW_REMOTE), A, 2.0)
        assert agent.events() == [Restarted(), PathSelected(A)]

    @covers("WS28")
    def test_incomplete_restart_does_not_affect_old_session(self) -> None:
        agent = ice()
        agent.receive(NOMINATING, A, 0.0)
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        for second in range(5, 100, 5):
            agent.receive(NOMINATING, A, float(second))
            agent.handle_timeout(float(second))
        assert agent.events() == [PathValidated(A), PathSelected(A)]

    @covers("WS28")
    def test_new_user_name_with_old_password_does_not_complete_restart(self) -> None:
        agent = ice()
        agent.receive(NOMINATING, A, 0.0)
        agent.restart(NEW_LOCAL, NEW_REMOTE, 1.0)
        agent.receive(check(local=IceCredentials(NEW_LOCAL.ufrag, LOCAL.password)), B, 2.0)
        assert list(agent.ufrags) == ["server01", "server02"]
        assert agent.selected == A

    @covers("WS28")
    def test_restart_has_its_own_timeout_after_all_paths_are_lost(self) -> None:
        """The old path expires and sending stops, but the peer can still complete the restart."""
        agent = ice()
        agent.receive(NOMINATING, A, 0.0)
        agent.events()
        agent.restart(NEW_LOCAL, NEW_REMOTE, 29.0)
        agent.handle_timeout(30.0)
        assert agent.events() == [PathDropped(A)]
        assert agent.selected is None
        agent.receive(check(local=NEW_LOCAL, remote=NEW_REMOTE), B, 31.0)
        assert agent.events() == [Restarted(), PathValidated(B), PathSelected(B)]

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
