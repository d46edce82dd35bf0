"""A scripted ICE peer made of plain STUN messages, correct or faulty as the test requires."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable

from bass_webrtc.rtc.candidate import Candidate
from bass_webrtc.rtc.sdp import IceCredentials

from . import stun

HOST = "127.0.0.1"
PRIORITY = (stun.PRIORITY, struct.pack("!I", 1_853_824_767))
CONTROLLING = (stun.ICE_CONTROLLING, b"\xff" * 8)
CONTROLLED = (stun.ICE_CONTROLLED, b"\xff" * 8)
USE_CANDIDATE = (stun.USE_CANDIDATE, b"")


class IcePeer(asyncio.DatagramProtocol):
    """A UDP socket of the peer.

    Attributes:
        answers: Whether it responds to our checks.
        delay_s: Delay of its responses.
        error: Error code of its responses; 0 for success.
        requests: Checks received from us.
        checked: Set with each check received.
        responses: Responses received from us.
        data: Other datagrams received from us.
    """

    def __init__(self, ours: IceCredentials, credentials: IceCredentials | None = None) -> None:
        self.ours = ours
        self.credentials = credentials or IceCredentials("peer", "the-password-of-the-peer")
        self.answers = True
        self.delay_s = 0.0
        self.error = 0
        self.requests: list[stun.Message] = []
        self.checked = asyncio.Event()
        self.responses: list[stun.Message] = []
        self.data: list[bytes] = []

    @classmethod
    async def open(cls, ours: IceCredentials, credentials: IceCredentials | None = None) -> IcePeer:
        """Bind it to any port."""
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_datagram_endpoint(lambda: cls(ours, credentials), local_addr=(HOST, 0))
        return peer

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]
        self.descriptor: int = transport.get_extra_info("socket").fileno()

    @property
    def candidate(self) -> Candidate:
        """Host to run on."""
        return Candidate("1", 1, "udp", 2_130_706_431, HOST, self.port, "host")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not data or data[0] > 3:
            self.data.append(data)
            return
        message = stun.decode(data)
        if message.kind != stun.BINDING_REQUEST:
            self.responses.append(message)
            return
        assert stun.is_authentic(data, self.credentials.password)
        self.requests.append(message)
        self.checked.set()
        if self.answers:
            answer = self.answer(message, addr)
            asyncio.get_running_loop().call_later(self.delay_s, self.transport.sendto, answer, addr)

    def answer(self, request: stun.Message, addr: tuple[str, int], password: str | None = None) -> bytes:
        """Return the response to our check, signed with its own password unless another is given."""
        password = password or self.credentials.password
        if not self.error:
            return stun.success(request, password, *addr)
        code = struct.pack("!HBB", 0, self.error // 100, self.error % 100)
        return stun.Message(stun.BINDING_ERROR, request.transaction_id, [(stun.ERROR_CODE, code)]).encode(password)

    def check(
        self,
        port: int,
        *attributes: tuple[int, bytes],
        username: str | None = None,
        password: str | None = None,
        fingerprint: bool = True,
    ) -> None:
        """Send a check to one of our ports."""
        username = f"{self.ours.ufrag}:{self.credentials.ufrag}" if username is None else username
        message = stun.Message(stun.BINDING_REQUEST, attributes=[(stun.USERNAME, username.encode()), *attributes])
        password = self.ours.password if password is None else password
        self.send(message.encode(password or None, fingerprint=fingerprint), port)

    def nominate(self, port: int) -> None:
        """Send the check that nominates this pair."""
        self.check(port, PRIORITY, CONTROLLING, USE_CANDIDATE)

    def send(self, data: bytes, port: int) -> None:
        """Send any datagram."""
        self.transport.sendto(data, (HOST, port))

    @staticmethod
    def kinds(messages: Iterable[stun.Message]) -> list[int]:
        """Of these messages."""
        return [message.kind for message in messages]
