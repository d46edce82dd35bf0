"""DTLS sessions and records against anything that may arrive."""

from __future__ import annotations

from dtls_ends import link
from hypothesis import given, settings
from hypothesis import strategies as st

from bass_webrtc.rtc.dtls import Failed
from bass_webrtc.rtc.dtls_records import ALERT, AlertReader, Record, pack, records


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

    def test_harms_nobody_before_during_and_after_the_handshake_SE40(self) -> None:
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

    def test_a_second_client_hello_changes_nothing_SE41(self) -> None:
        connection = link()
        server = connection.server
        server.start(0.0)
        connection.client.start(0.0)
        for data in connection.client.to_send():
            server.receive(data, 0.0)
        stranger = link().client
        stranger.start(0.0)
        [hello] = stranger.to_send()
        server.receive(hello, 0.0)
        connection.now_s = 0.001
        connection.run().keys()
        server.receive(hello, 1.0)
        assert server.events() == []

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=4), st.booleans())
    def test_any_bytes_raise_nothing_SE70(self, datagrams: list[bytes], as_client: bool) -> None:
        session = link().client if as_client else link().server
        session.start(0.0)
        for data in datagrams:
            session.receive(data, 0.0)
        session.to_send()

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from([20, 21, 22, 23]), st.integers(0, 1), st.binary(max_size=200), st.booleans())
    def test_any_record_raises_nothing_SE70(self, kind: int, epoch: int, fragment: bytes, as_client: bool) -> None:
        """A peer may break its own handshake; it gets an event, never an exception."""
        session = link().client if as_client else link().server
        session.start(0.0)
        header = bytes((kind, 0xFE, 0xFD, 0, epoch)) + bytes(6) + len(fragment).to_bytes(2)
        session.receive(header + fragment, 0.0)
        assert all(isinstance(event, Failed) for event in session.events())


class TestRecords:
    @given(st.binary(max_size=400))
    def test_any_bytes_are_taken_apart_SE70(self, data: bytes) -> None:
        taken = b"".join(record.data for record in records(data))
        assert data.startswith(taken)

    @given(st.lists(st.tuples(st.sampled_from([20, 21, 22, 23]), st.binary(max_size=60)), max_size=6))
    def test_records_come_out_as_they_were_put_in(self, parts: list[tuple[int, bytes]]) -> None:
        made = [bytes((kind, 0xFE, 0xFD)) + bytes(8) + len(body).to_bytes(2) + body for kind, body in parts]
        found = list(records(b"".join(made)))
        assert [(record.content_type, record.fragment) for record in found] == parts

    @given(st.lists(st.integers(1, 100), max_size=30))
    def test_packing_keeps_order_and_mtu(self, sizes: list[int]) -> None:
        parts = [bytes((number,)) * size for number, size in enumerate(sizes)]
        packed = pack(parts, 100)
        assert b"".join(packed) == b"".join(parts)
        assert all(len(datagram) <= 100 for datagram in packed)

    @given(st.binary(max_size=100), st.integers(0, 2))
    def test_the_alert_reader_believes_nobody_without_the_key_SE70(self, fragment: bytes, epoch: int) -> None:
        reader = AlertReader(bytes(48), bytes(32), bytes(32), from_client=True)
        header = b"\x15\xfe\xfd" + epoch.to_bytes(2) + bytes(6) + len(fragment).to_bytes(2)
        assert not reader.ends_session(Record(ALERT, epoch, fragment, header + fragment))
