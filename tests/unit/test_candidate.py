"""ICE candidates: text form, policy, limits."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.errors import SdpError
from bass_webrtc.rtc.candidate import (
    MAX_CANDIDATES,
    Candidate,
    CandidatePolicy,
    host_candidates,
    merge_candidates,
    parse_candidates,
)
from support.conformance import covers

HOST = "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host"


def at(host: str, port: int = 50_000, transport: str = "udp", component: int = 1) -> Candidate:
    return Candidate("1", component, transport, 1, host, port, "host")


# ---------------------------------------------------------------------------------------------------- text form


def test_browser_candidate_is_parsed_with_all_relevant_fields() -> None:
    text = (
        "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 192.0.2.9 rport 50021 "
        "generation 0 ufrag k3Vd network-id 1 network-cost 50"
    )
    assert Candidate.parse(text) == Candidate(
        "842163049", 1, "udp", 1677729535, "203.0.113.7", 46154, "srflx", "192.0.2.9", 50021, None, "k3Vd"
    )


@covers("WS32")
@pytest.mark.parametrize("prefix", ["", "candidate:", "a=candidate:", "candidate:candidate:", "a=candidate:candidate:"])
def test_any_prefix_is_accepted_even_twice(prefix: str) -> None:
    assert Candidate.parse(prefix + HOST.removeprefix("candidate:")).foundation == "1387637174"


def test_transport_in_capitals_is_accepted() -> None:
    """Firefox writes ``UDP``."""
    assert Candidate.parse("candidate:0 1 UDP 2122252543 192.0.2.45 40381 typ host").transport == "udp"


@covers("WS29")
@pytest.mark.parametrize(
    "text",
    [
        "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
        "candidate:1 1 sctp 1518280447 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 2122063615 3f2c8a1e-7b6d-4e55-9c1f-0a2b3c4d5e6f.local 57143 typ host",
        "candidate:1 1 udp 2122063615 media.example.com 57143 typ host",
        "candidate:1 1 udp 2122063615 2001:db8::7 57143 typ host",
        "candidate:1 1 udp 2122063615 192.0.2.1 57143 typ marzipan",
    ],
    ids=["tcp", "unknown transport", ".local", "fqdn", "ipv6", "unknown type"],
)
def test_candidates_that_we_cannot_use_are_well_formed(text: str) -> None:
    assert Candidate.parse(text).to_sdp() == text


@pytest.mark.parametrize(
    "text",
    [
        "candidate:1 0 udp 2122260223 192.0.2.1 61764 typ host",
        "candidate:1 257 udp 2122260223 192.0.2.1 61764 typ host",
        "candidate:1 1 udp 1 192.0.2.1 61764 typ host generation",
        f"candidate:{'1' * 33} 1 udp 1 192.0.2.1 61764 typ host",
        "candidate:größe 1 udp 1 192.0.2.1 61764 typ host x ☃",
    ],
)
def test_what_browsers_accept_is_not_malformed(text: str) -> None:
    assert Candidate.parse(text).port == 61764


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:",
        "candidate:1 1 udp 2122260223 192.0.2.1 61764",
        "candidate:1 1 udp 2122260223 192.0.2.1 61764 typ",
        "candidate:1 1 udp 2122260223 192.0.2.1 61764 type host",
        "candidate:1 x udp 2122260223 192.0.2.1 61764 typ host",
        "candidate:1 99999999999 udp 2122260223 192.0.2.1 61764 typ host",
        "candidate:1 1 udp 4294967296 192.0.2.1 61764 typ host",
        "candidate:1 1 udp -1 192.0.2.1 61764 typ host",
        "candidate:1 1 udp ² 192.0.2.1 61764 typ host",
        "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
        "candidate:1 1 udp 1 192.0.2.1 61764 typ srflx raddr 192.0.2.9 rport x",
        "candidate:1 1 udp 1 192.0.2.1\0 61764 typ host",
        f"candidate:1 1 udp 1 {'a' * 254} 61764 typ host",
        f"{HOST}{' x y' * 300}",
    ],
)
def test_malformed_candidate_raises_sdp_error(text: str) -> None:
    with pytest.raises(SdpError, match="malformed ICE candidate"):
        Candidate.parse(text)


@covers("SE70")
@given(st.text() | st.text(alphabet="candidate: 019.typhostudp", max_size=80))
def test_any_text_is_parsed_or_raises_sdp_error(text: str) -> None:
    try:
        candidate = Candidate.parse(text)
    except SdpError:
        return
    assert Candidate.parse(candidate.to_sdp()) == candidate


_words = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=32)


@given(
    st.builds(
        Candidate,
        foundation=_words.filter(lambda text: not text.startswith(("a=", "candidate:"))),
        component=st.integers(1, 256),
        transport=st.sampled_from(["udp", "tcp"]),
        priority=st.integers(0, 2**32 - 1),
        host=st.ip_addresses().map(str),
        port=st.integers(0, 65_535),
        type=st.sampled_from(["host", "srflx", "prflx", "relay"]),
        related_host=st.none() | st.ip_addresses().map(str),
        related_port=st.none() | st.integers(0, 65_535),
        tcp_type=st.none() | st.sampled_from(["active", "passive", "so"]),
        ufrag=st.none() | _words,
    )
)
def test_serialized_candidate_is_parsed_back(candidate: Candidate) -> None:
    assert Candidate.parse(f"a={candidate.to_sdp()}") == candidate


# ------------------------------------------------------------------------------------------------------- policy


@covers("SE29", "SE30")
@pytest.mark.parametrize(
    "candidate",
    [
        at("192.0.2.1", transport="tcp"),
        at("192.0.2.1", transport="sctp"),
        at("3f2c8a1e-7b6d-4e55-9c1f-0a2b3c4d5e6f.local"),
        at("media.example.com"),
        at("192.0.2.1", component=2),
        at("192.0.2.1", port=0),
        at("192.0.2.1", port=9),
        at("192.0.2.1", port=1023),
        at("127.0.0.1"),
        at("::1"),
        at("::ffff:127.0.0.1"),
        at("169.254.169.254"),
        at("::ffff:169.254.169.254"),
        at("fe80::1%eth0"),
        at("0.0.0.0"),
        at("::"),
        at("224.0.0.251"),
        at("255.255.255.255"),
        at("ff02::fb"),
        at("203.0.113.5", port=8189),
        at("::ffff:203.0.113.5", port=8189),
        at("2001:db8:0:0::5", port=8189),
        at("0177.0.0.1"),
        at("2130706433"),
    ],
    ids=lambda candidate: f"{candidate.transport} {candidate.host} {candidate.port}/{candidate.component}",
)
def test_forbidden_addresses_are_not_used(candidate: Candidate) -> None:
    policy = CandidatePolicy(own_addresses=frozenset({("203.0.113.5", 8189), ("2001:db8::5", 8189)}))
    assert not policy.allows(candidate)


@covers("SE30")
@pytest.mark.parametrize("host", ["192.168.1.20", "10.1.2.3", "203.0.113.5", "2001:db8::5", "fd00::7"])
def test_public_and_private_addresses_are_used(host: str) -> None:
    assert CandidatePolicy().allows(at(host))


@covers("SE30")
def test_loopback_and_link_local_are_used_if_allowed() -> None:
    assert CandidatePolicy(allow_loopback=True).allows(at("127.0.0.1"))
    assert CandidatePolicy(allow_link_local=True).allows(at("169.254.10.1"))
    assert not CandidatePolicy(allow_loopback=True).allows(at("169.254.10.1"))


@covers("WS29")
def test_candidates_without_matching_socket_family_are_discarded() -> None:
    for host, of_ipv6 in (("2001:db8::5", True), ("192.0.2.1", False)):
        assert CandidatePolicy(ipv6=False).allows(at(host)) is not of_ipv6
        assert CandidatePolicy(ipv4=False).allows(at(host)) is of_ipv6


# ------------------------------------------------------------------------------------------------ limits, order


@covers("WS31")
def test_duplicate_address_is_used_once() -> None:
    first, again = at("192.0.2.1"), Candidate("9", 1, "udp", 77, "192.0.2.1", 50_000, "srflx")
    assert merge_candidates([first], [again, at("192.0.2.1", port=50_001)]) == (first, at("192.0.2.1", port=50_001))


@covers("SE27")
def test_candidates_of_one_peer_are_capped() -> None:
    flood = [at("192.0.2.1", port=2000 + n) for n in range(500)]
    kept = merge_candidates((), flood)
    assert kept == tuple(flood[:MAX_CANDIDATES])
    assert merge_candidates(kept, flood[200:]) == kept


@covers("SE70")
def test_candidates_after_many_lines_are_ignored() -> None:
    line = "candidate:1 1 udp 1 192.0.2.1 50000 typ host"
    other = "candidate:1 1 udp 1 192.0.2.2 50000 typ host"
    assert len(parse_candidates([line] * 255 + [other])) == 2
    assert len(parse_candidates([line] * 256 + [other, "malformed"])) == 1


def test_host_candidates_have_decreasing_priorities_and_distinct_foundations() -> None:
    ours = host_candidates([("192.0.2.1", 8189), ("2001:db8::1", 8189), ("198.51.100.4", 8189)])
    priorities = [candidate.priority for candidate in ours]
    assert priorities == sorted(priorities, reverse=True)
    assert len(set(priorities)) == len({candidate.foundation for candidate in ours}) == 3
    assert all(priority < 2**31 for priority in priorities)
    assert ours[0].to_sdp() == "candidate:1 1 udp 2130706175 192.0.2.1 8189 typ host"


@covers("SE30")
@given(st.ip_addresses(), st.integers(0, 65_535))
def test_policy_never_allows_special_addresses(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    if CandidatePolicy().allows(at(str(address), port)):
        assert port >= 1024
        assert not (address.is_loopback)
        assert not (address.is_multicast)
        assert not (address.is_link_local)
        assert not (address.is_unspecified)
