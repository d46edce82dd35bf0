"""DTLS sessions and record parsing with invalid and random input."""

from __future__ import annotations

from dtls_ends import link
from hypothesis import given, settings
from hypothesis import strategies as st

from bass_webrtc.rtc.dtls import Failed
from bass_webrtc.rtc.dtls_records import ALERT, Record, RecordReader, pack, records
from support.conformance import covers


class TestJunk:
    JUNK = (
        b"",
        b"\x16",
        b"\x16\xfe\xfd",
        bytes(65507),
        b"\x16\xfe\xfd" + bytes(8) + b"\xff\xff" + bytes(100),
        b"\x80\x60" + bytes(40),
        b"\x17\xfe\xfd" + bytes(8) + b"\x00\x04abcd",
    )

    @covers("SE40")
    def test_junk_before_during_and_after_handshake_is_ignored(self) -> None:
        connection = link()
        server = connection.server
        for data in self.JUNK:
            server.receive(data, 0.0)
        server.start(0.0)
        for data in self.JUNK:
            server.receive(data, 0.0)
        connection.client.start(0.0)
        for data in connection.client.to_send():
            server.receive(data, 0.0)
        for data in self.JUNK:
            server.receive(data, 0.0)
        connection.now_s = 0.001
        connection.run().keys()
        for data in self.JUNK:
            server.receive(data, 1.0)
        assert server.events() == []
        assert server.to_send() == []

    @covers("SE41")
    def test_second_client_hello_is_ignored(self) -> None:
        connection = link()
        server = connection.server
        server.start(0.0)
        connection.client.start(0.0)
        for data in connection.client.to_send():
            server.receive(data, 0.0)
        other_client = link().client
        other_client.start(0.0)
        [hello] = other_client.to_send()
        server.receive(hello, 0.0)
        connection.now_s = 0.001
        connection.run().keys()
        server.receive(hello, 1.0)
        assert server.events() == []

    @covers("SE70")
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=4), st.booleans())
    def test_any_bytes_never_raise(self, datagrams: list[bytes], as_client: bool) -> None:
        session = link().client if as_client else link().server
        session.start(0.0)
        for data in datagrams:
            session.receive(data, 0.0)
        session.to_send()

    @covers("SE70")
    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from([20, 21, 22, 23]), st.integers(0, 1), st.binary(max_size=200), st.booleans())
    def test_any_record_never_raises(self, kind: int, epoch: int, fragment: bytes, as_client: bool) -> None:
        """A peer may break its own handshake; that causes a ``Failed`` event, never an exception."""
        session = link().client if as_client else link().server
        session.start(0.0)
        header = bytes((kind, 0xFE, 0xFD, 0, epoch)) + bytes(6) + len(fragment).to_bytes(2)
        session.receive(header + fragment, 0.0)
        assert all(isinstance(event, Failed) for event in session.events())


class TestRecords:
    @covers("SE70")
    @given(st.binary(max_size=400))
    def test_any_bytes_can_be_parsed(self, data: bytes) -> None:
        taken = b"".join(record.data for record in records(data))
        assert data.startswith(taken)

    @given(st.lists(st.tuples(st.sampled_from([20, 21, 22, 23]), st.binary(max_size=60)), max_size=6))
    def test_records_are_parsed_in_order(self, parts: list[tuple[int, bytes]]) -> None:
        made = [bytes((kind, 0xFE, 0xFD)) + bytes(8) + len(body).to_bytes(2) + body for kind, body in parts]
        found = list(records(b"".join(made)))
        assert [(record.content_type, record.fragment) for record in found] == parts

    @given(st.lists(st.integers(1, 100), max_size=30))
    def test_packing_preserves_order_and_respects_mtu(self, sizes: list[int]) -> None:
        parts = [bytes((number,)) * size for number, size in enumerate(sizes)]
        packed = pack(parts, 100)
        assert b"".join(packed) == b"".join(parts)
        assert all(len(datagram) <= 100 for datagram in packed)

    @covers("SE70")
    @given(st.binary(max_size=100), st.integers(0, 2))
    def test_alert_reader_ignores_alerts_without_the_right_key(self, fragment: bytes, epoch: int) -> None:
        reader = RecordReader(bytes(48), bytes(32), bytes(32), from_client=True)
        header = b"\x15\xfe\xfd" + epoch.to_bytes(2) + bytes(6) + len(fragment).to_bytes(2)
        assert not reader.ends_session(Record(ALERT, epoch, fragment, header + fragment))
