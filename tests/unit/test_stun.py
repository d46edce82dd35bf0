"""STUN messages: the vectors of RFC 5769, rejected input, and no exception other than ``StunError``."""

from __future__ import annotations

import contextlib
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.rtc import stun
from support.conformance import covers

TRANSACTION = bytes(range(12))
PASSWORD = b"a password of 24 letters"

# RFC 5769, 2.1 to 2.3.
RFC_PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
RFC_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
RFC_TRANSACTION = RFC_REQUEST[8:20]
RFC_RESPONSES = {
    ("192.0.2.1", 32853): bytes.fromhex(
        "0101003c2112a442b7e7a701bc34d686fa87dfae"
        "8022000b7465737420766563746f7220"
        "002000080001a147e112a643"
        "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
        "80280004c07d4c96"
    ),
    ("2001:db8:1234:5678:11:2233:4455:6677", 32853): bytes.fromhex(
        "010100482112a442b7e7a701bc34d686fa87dfae"
        "8022000b7465737420766563746f7220"
        "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
        "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
        "80280004c8fb0b4c"
    ),
}


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(body: bytes, kind: int = stun.BINDING_REQUEST, cookie: int = 0x2112A442) -> bytes:
    """Return a message without integrity and fingerprint."""
    return struct.pack("!HHI", kind, len(body), cookie) + TRANSACTION + body


def request(*attributes: tuple[int, bytes]) -> bytes:
    return stun.build(stun.BINDING_REQUEST, TRANSACTION, attributes, PASSWORD)


class TestRfc5769:
    def test_parses_sample_request(self) -> None:
        parsed = stun.Message.parse(RFC_REQUEST)
        assert parsed.kind == stun.BINDING_REQUEST
        assert parsed.attributes[stun.USERNAME] == b"evtj:h6vY"
        assert parsed.attributes[stun.PRIORITY] == bytes.fromhex("6e0001ff")
        assert parsed.has_fingerprint
        assert parsed.is_authentic(RFC_PASSWORD)
        assert not parsed.is_authentic(RFC_PASSWORD[:-1])
        assert parsed.unknown_required() == ()

    @pytest.mark.parametrize("address", RFC_RESPONSES)
    def test_xor_mapped_address_matches_sample_responses(self, address: tuple[str, int]) -> None:
        parsed = stun.Message.parse(RFC_RESPONSES[address])
        assert parsed.is_authentic(RFC_PASSWORD)
        assert stun.xor_mapped_address(*address, RFC_TRANSACTION) == parsed.attributes[stun.XOR_MAPPED_ADDRESS]

    def test_builds_sample_responses(self) -> None:
        for address, expected in RFC_RESPONSES.items():
            value = stun.xor_mapped_address(*address, RFC_TRANSACTION)
            software = (0x8022, b"test vector")
            built = stun.build(
                stun.BINDING_SUCCESS, RFC_TRANSACTION, [software, (stun.XOR_MAPPED_ADDRESS, value)], RFC_PASSWORD
            )
            # The sample pads with a space, we pad with zero. Both are allowed; integrity and fingerprint differ.
            assert built[:35] == expected[:35]
            assert built[36:-32] == expected[36:-32]
            assert stun.Message.parse(built).is_authentic(RFC_PASSWORD)


class TestParse:
    @covers("SE25")
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x00",
            RFC_REQUEST[:19],
            pytest.param(message(b"", cookie=0x2112A443), id="wrong-cookie"),
            pytest.param(message(b"", kind=0x4001), id="first-two-bits-not-zero"),
            pytest.param(RFC_REQUEST[:-4], id="length-beyond-the-packet"),
            pytest.param(RFC_REQUEST + b"\x00" * 4, id="bytes-after-the-message"),
            pytest.param(message(b"\x00\x06\x00"), id="length-not-a-multiple-of-4"),
            pytest.param(message(struct.pack("!HH", 6, 400) + b"abcd"), id="attribute-beyond-the-message"),
            pytest.param(message(attribute(stun.PRIORITY, b"\x01\x02")), id="short-priority"),
            pytest.param(message(attribute(stun.ICE_CONTROLLING, b"1234")), id="short-tie-breaker"),
            pytest.param(message(attribute(stun.MESSAGE_INTEGRITY, bytes(19))), id="short-integrity"),
            pytest.param(message(attribute(stun.FINGERPRINT, bytes(3))), id="short-fingerprint"),
            pytest.param(message(attribute(stun.FINGERPRINT, bytes(4))), id="wrong-fingerprint"),
            pytest.param(
                RFC_REQUEST[:2] + b"\x00\x60" + RFC_REQUEST[4:] + attribute(6, b"abcd"), id="fingerprint-not-last"
            ),
        ],
    )
    def test_rejects_unusable_messages(self, data: bytes) -> None:
        with pytest.raises(stun.StunError):
            stun.Message.parse(data)

    @covers("SE25")
    def test_rejects_2000_attributes_quickly(self) -> None:
        data = message(attribute(0x8022, b"") * 2000)
        started = time.process_time()
        for _ in range(100):
            with pytest.raises(stun.StunError):
                stun.Message.parse(data)
        assert time.process_time() - started < 1.0

    def test_accepts_fewer_than_max_attributes(self) -> None:
        most = message(attribute(0x8022, b"") * stun.MAX_ATTRIBUTES)
        with pytest.raises(stun.StunError, match="too many"):
            stun.Message.parse(most)
        stun.Message.parse(most[:2] + struct.pack("!H", 4 * (stun.MAX_ATTRIBUTES - 1)) + most[4:-4])

    def test_first_of_two_equal_attributes_is_used(self) -> None:
        parsed = stun.Message.parse(request((stun.USERNAME, b"a:b"), (stun.USERNAME, b"c:d")))
        assert parsed.attributes[stun.USERNAME] == b"a:b"

    def test_ignores_attributes_after_message_integrity(self) -> None:
        signed = request((stun.USERNAME, b"a:b"))[:-8]
        body = signed[stun.HEADER_BYTES :] + attribute(stun.USE_CANDIDATE, b"") + attribute(0x7FFF, b"abcd")
        parsed = stun.Message.parse(message(body))
        assert stun.USE_CANDIDATE not in parsed.attributes
        assert parsed.unknown_required() == ()
        assert parsed.is_authentic(PASSWORD)

    def test_lists_unknown_required_attributes(self) -> None:
        parsed = stun.Message.parse(request((0x7F01, b"x"), (0xC057, b"network"), (0x0031, b"")))
        assert parsed.unknown_required() == (0x7F01, 0x0031)

    @covers("SE24")
    def test_every_changed_byte_is_detected(self) -> None:
        """A changed message does not parse, or no longer has a FINGERPRINT."""
        data = request((stun.USERNAME, b"abcd:efgh"), (stun.PRIORITY, bytes(4)))
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= 0x01
            try:
                parsed = stun.Message.parse(bytes(changed))
            except stun.StunError:
                continue
            assert not parsed.has_fingerprint

    def test_integrity_alone_detects_every_changed_byte(self) -> None:
        data = request((stun.USERNAME, b"abcd:efgh"), (stun.PRIORITY, bytes(4)))[:-8]
        data = message(data[stun.HEADER_BYTES :])
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= 0x01
            try:
                parsed = stun.Message.parse(bytes(changed))
            except stun.StunError:
                continue
            assert not parsed.is_authentic(PASSWORD)


class TestBuild:
    @given(
        host=st.ip_addresses().map(str),
        port=st.integers(0, 65535),
        transaction=st.binary(min_size=12, max_size=12),
        password=st.binary(min_size=1, max_size=80),
    )
    def test_success_contains_source_address_of_request(
        self, host: str, port: int, transaction: bytes, password: bytes
    ) -> None:
        parsed_request = stun.Message.parse(stun.build(stun.BINDING_REQUEST, transaction, [], password))
        answer = stun.Message.parse(stun.build_success(parsed_request, host, port, password))
        assert answer.kind == stun.BINDING_SUCCESS
        assert answer.transaction_id == transaction
        assert answer.has_fingerprint
        assert answer.is_authentic(password)
        # XOR is its own inverse.
        value = answer.attributes[stun.XOR_MAPPED_ADDRESS]
        mask = struct.pack("!I", 0x2112A442) + transaction
        address = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
        plain = stun.xor_mapped_address(host, port, bytes(12))
        assert bytes(a ^ b for a, b in zip(plain[4:], mask[:4] + bytes(12), strict=False)) == address
        assert struct.unpack("!H", value[2:4])[0] ^ 0x2112 == port

    def test_scope_of_link_local_address_is_ignored(self) -> None:
        with_scope = stun.xor_mapped_address("fe80::1%2", 4, TRANSACTION)
        assert with_scope == stun.xor_mapped_address("fe80::1", 4, TRANSACTION)

    def test_error_contains_code_and_unknown_attributes(self) -> None:
        parsed_request = stun.Message.parse(request((0x7F01, b"")))
        answer = stun.Message.parse(stun.build_error(parsed_request, 420, "Unknown Attribute", PASSWORD, [0x7F01]))
        assert answer.kind == stun.BINDING_ERROR
        assert answer.attributes[stun.ERROR_CODE] == b"\x00\x00\x04\x14Unknown Attribute"
        assert answer.attributes[stun.UNKNOWN_ATTRIBUTES] == b"\x7f\x01"
        assert answer.is_authentic(PASSWORD)


class TestAnyBytes:
    @covers("SE70")
    @given(st.binary(max_size=300))
    def test_any_bytes_parse_or_raise_stun_error(self, data: bytes) -> None:
        with contextlib.suppress(stun.StunError):
            stun.Message.parse(data)

    @covers("SE70")
    @given(
        st.lists(
            st.tuples(
                st.one_of(st.sampled_from([6, 8, 0x24, 0x25, 0x8028, 0x802A]), st.integers(0, 0xFFFF)),
                st.binary(max_size=30),
            ),
            max_size=70,
        )
    )
    def test_any_attributes_parse_or_raise_stun_error(self, attributes: list[tuple[int, bytes]]) -> None:
        data = message(b"".join(attribute(kind, value) for kind, value in attributes))
        try:
            parsed = stun.Message.parse(data)
        except stun.StunError:
            return
        parsed.unknown_required()
        parsed.is_authentic(PASSWORD)

    @covers("SE70")
    def test_time_is_linear_in_the_length(self) -> None:
        """128 KiB take less than 0.1 s, whatever their content."""
        for data in (bytes(131072), message(attribute(0x8022, bytes(65000))), b"\x00\x01" * 65536):
            started = time.process_time()
            with pytest.raises(stun.StunError):
                stun.Message.parse(data + b"\x00")
            assert time.process_time() - started < 0.1


def test_check_of_a_controlled_agent() -> None:
    """RFC 8445, 7.2.2. The tie-breaker loses against every other one, so the peer becomes controlling."""
    check = stun.Message.parse(stun.build_check(bytes(range(12)), b"theirs:ours", b"their password"))
    assert (check.kind, check.transaction_id) == (stun.BINDING_REQUEST, bytes(range(12)))
    assert check.attributes[stun.USERNAME] == b"theirs:ours"
    assert check.attributes[stun.ICE_CONTROLLED] == bytes(8)
    assert int.from_bytes(check.attributes[stun.PRIORITY]) >> 24 == 110
    assert check.is_authentic(b"their password")
    assert check.has_fingerprint
