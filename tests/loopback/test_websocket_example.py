"""examples/websocket_signaling.py against other programs: foreign origins, large and malformed messages."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from support.client_peers import free_port
from support.patience import PROCESS_S

EXAMPLE = Path(__file__).parents[2] / "examples/websocket_signaling.py"
FOREIGN = ("http://evil.example", "https://127.0.0.1", "null", "", "http://127.0.0.1", "http://localhost.evil.example")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of the running example, which also accepts one origin more."""
    number = free_port()
    command = [sys.executable, "-u", str(EXAMPLE), "--port", str(number), "--allow-origin", "https://radio.example"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as program:
        assert program.stdout is not None
        assert f"http://127.0.0.1:{number}/" in program.stdout.readline()
        yield number
        program.kill()


@asynccontextmanager
async def connected(port: int, origin: str | None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/signaling", origin=origin) as socket,
    ):
        yield socket


async def offer_of(port: int, origin: str | None) -> str:
    async with connected(port, origin) as socket:
        await socket.send_json({"type": "call me"})
        return str((await socket.receive_json(timeout=5.0))["sdp"])


async def status_of(port: int, origin: str, host: str | None = None) -> int:
    """Return the status of the answer to a WebSocket handshake."""
    headers = {"Origin": origin, "Host": host or f"127.0.0.1:{port}"}
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(f"http://127.0.0.1:{port}/signaling", headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


@pytest.mark.parametrize("origin", FOREIGN)
def test_page_of_a_foreign_origin_is_refused(port: int, origin: str) -> None:
    assert asyncio.run(status_of(port, origin)) == 403


def test_name_that_resolves_to_this_machine_is_refused(port: int) -> None:
    """DNS rebinding: Origin and Host agree."""
    assert asyncio.run(status_of(port, f"http://evil.example:{port}", f"evil.example:{port}")) == 403


def test_own_page_and_allowed_origins_and_programs_get_an_offer(port: int) -> None:
    for origin in (f"http://127.0.0.1:{port}", f"http://localhost:{port}", "https://radio.example", None):
        assert "v=0" in asyncio.run(offer_of(port, origin))


@pytest.mark.parametrize(
    "message",
    ["", "no JSON", "[]", "{}", '{"type": "offer"}', '{"type": "offer", "sdp": 5}', '{"type": "offer", "sdp": "v=1"}'],
)
def test_malformed_message_ends_only_its_own_connection(port: int, message: str) -> None:
    async def send() -> aiohttp.WSMsgType:
        async with connected(port, None) as socket:
            await socket.send_str(message)
            return (await socket.receive(timeout=5.0)).type

    assert asyncio.run(send()) is aiohttp.WSMsgType.CLOSE
    assert "v=0" in asyncio.run(offer_of(port, None))


def test_large_message_is_refused(port: int) -> None:
    async def send() -> int | None:
        async with connected(port, None) as socket:
            await socket.send_str("x" * 100_000)
            await socket.receive(timeout=5.0)
            return socket.close_code

    assert asyncio.run(send()) == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


def test_sixth_connection_is_refused_until_one_ends(port: int) -> None:
    async def connect_six() -> None:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/signaling"
            sockets = [await session.ws_connect(url) for _ in range(5)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url)
            assert refused.value.status == 503
            for socket in sockets:
                await socket.close()

    asyncio.run(connect_six())
    assert "v=0" in asyncio.run(offer_of(port, None))


def test_example_listens_on_loopback_by_default() -> None:
    help_text = subprocess.run(
        [sys.executable, str(EXAMPLE), "--help"], capture_output=True, encoding="utf-8", timeout=PROCESS_S, check=True
    )
    assert "--allow-origin" in help_text.stdout
    assert 'default="127.0.0.1"' in EXAMPLE.read_text(encoding="utf-8")
