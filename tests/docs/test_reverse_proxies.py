"""The nginx and Caddy configurations of the reverse-proxy guide, run as printed there, in front of a real server.

Only the server name, ports and certificate paths are replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from numpy.typing import NDArray

import bass_webrtc as bw
from support import browsers, http_asking, nginx, page_driver
from support.certificates import key_hash, write_certificate
from support.client_peers import free_port
from support.fixtures import skip_for
from support.patience import wait_until

EXAMPLES = Path(__file__).parents[2] / "docs/how-to/examples"
CLIENT = "127.0.0.9"
"""The address that requests come from, so that the proxy's own can be told apart."""


@dataclass
class Proxy:
    """A running proxy in front of a running server."""

    url: str
    """Of the page, under the prefix."""
    certificate: Path
    server: bw.Server
    requests: list[bw.PeerRequest] = field(default_factory=list)
    stop: Callable[[], object] = lambda: None
    start: Callable[[], object] = lambda: None

    def session(self) -> aiohttp.ClientSession:
        """An HTTP client that trusts the proxy's certificate."""
        tls = ssl.create_default_context(cafile=self.certificate)
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, local_addr=(CLIENT, 0)))


def configure(text: str, replacements: dict[str, str]) -> str:
    """A configuration with parts replaced, each of which must be there."""
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx_command(folder: Path, port: int, backend: str, certificate: Path, key: Path) -> list[str]:
    """nginx's command; the files that it writes are in the folder."""
    skip_for(nginx.missing())
    text = configure(
        (EXAMPLES / "nginx.conf").read_text(encoding="utf-8"),
        {
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "server_name radio.example;": "server_name 127.0.0.1;",
            "127.0.0.1:8080": backend,
            "/etc/letsencrypt/live/radio.example/fullchain.pem": str(certificate),
            "/etc/letsencrypt/live/radio.example/privkey.pem": str(key),
        },
    )
    return nginx.command(folder, text)


def caddy(folder: Path, port: int, backend: str, certificate: Path, key: Path) -> list[str]:
    """Caddy's command."""
    skip_for(None if shutil.which("caddy") else "the Caddy configuration needs Debian's caddy")
    text = configure(
        (EXAMPLES / "Caddyfile").read_text(encoding="utf-8"),
        {
            "radio.example {\n": f"127.0.0.1:{port} {{\n",
            "127.0.0.1:8080": backend,
            "/etc/ssl/radio.example/fullchain.pem": str(certificate),
            "/etc/ssl/radio.example/privkey.pem": str(key),
        },
    )
    # No administration port, and no redirection from port 80, which may be another's.
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text, encoding="utf-8")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@pytest.fixture(params=[nginx_command, caddy], ids=["nginx", "Caddy"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    certificate, key = write_certificate(tmp_path)
    config = bw.ServerConfig(
        http_port=0, udp_port=0, trusted_proxies=("127.0.0.1", "::1"), allowed_hosts=("radio.example",)
    )
    port = free_port()
    with bw.Server(bw.Tone(440.0), config) as server:
        server.start()
        command = request.param(tmp_path, port, urlsplit(server.url).netloc, certificate, key)
        running = Proxy(f"https://127.0.0.1:{port}/radio/", certificate, server)

        def admit(asked: bw.PeerRequest) -> bool:
            running.requests.append(asked)
            return True

        server.admit = admit
        with _running(command, tmp_path, port) as stop:
            running.stop = stop
            running.start = lambda: stop_later.enter_context(_running(command, tmp_path, port))
            with contextlib.ExitStack() as stop_later:
                yield running


@contextlib.contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[Callable[[], object]]:
    """A proxy until the block ends, and what ends it before."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline_s = time.monotonic() + 20.0
        while not _answers(port):
            said = (folder / "output").read_text(encoding="utf-8")
            assert process.poll() is None, said
            assert time.monotonic() < deadline_s, said
            time.sleep(0.05)  # Another program starts.

        def stop() -> None:
            process.terminate()
            process.wait(10)

        yield stop
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


async def test_page_and_its_files_load_under_the_prefix(proxy: Proxy) -> None:
    async with proxy.session() as http:
        async with http.get(proxy.url.rstrip("/")) as response:
            assert (response.status, str(response.url)) == (200, proxy.url)
            page = await response.text()
        wanted = [urljoin(proxy.url, name) for name in re.findall(r'(?:href|src)="([^"#]+)"', page)]
        seen = set(wanted)
        assert len(wanted) > 3
        for url in wanted:
            assert url.startswith(proxy.url)
            async with http.get(url) as response:
                assert response.status == 200, url
                text = await response.text()
            for name in re.findall(r'(?:from|import) ?\(?"(\./[^"]+)"', text) if url.endswith(".js") else ():
                imported = urljoin(url, name)
                if imported not in seen:
                    seen.add(imported)
                    wanted.append(imported)
        assert len(wanted) > 15
        async with http.get(urljoin(proxy.url, "healthz")) as response:
            assert response.status == 200


async def test_player_listens_through_the_proxy_and_ends_its_session(proxy: Proxy) -> None:
    connection = RTCPeerConnection()
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    connection.on("track", tracks.put_nowait)
    connection.addTransceiver("audio", direction="recvonly")
    try:
        async with asyncio.timeout(60.0), proxy.session() as http:
            await connection.setLocalDescription(await connection.createOffer())
            offer = connection.localDescription.sdp
            fields = {"Content-Type": "application/sdp", "Origin": proxy.url.removesuffix("/radio/")}
            async with http.post(urljoin(proxy.url, "whep"), data=offer.encode(), headers=fields) as response:
                answer = await response.text()
                assert response.status == 201, answer
                location = urljoin(str(response.url), response.headers["Location"])
                assert not response.headers["ETag"].startswith("W/"), "the proxy changed the entity tag"
                tag = response.headers["ETag"]
            assert location.startswith(urljoin(proxy.url, "whep/"))
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            track = await tracks.get()
            for _ in range(25):
                await track.recv()
            assert proxy.requests[0].address == CLIENT
            assert proxy.server.stats().active_peers == 1
            fragment = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": tag}
            lines = [line for line in offer.splitlines() if line.startswith(("a=ice-ufrag", "a=ice-pwd"))]
            async with http.patch(location, data="\r\n".join([*lines, ""]).encode(), headers=fragment) as response:
                assert response.status == 204, await response.text()
            assert await _restart_ice(http, location)
            async with http.delete(location) as response:
                assert response.status == 200
            async with http.delete(location) as response:
                assert response.status in (200, 404)  # It has ended.
    finally:
        await connection.close()


def test_our_clients_stay_connected_while_the_proxy_restarts(proxy: Proxy) -> None:
    """They push and pull through it, are heard meanwhile, and end their sessions."""
    tls = ssl.create_default_context(cafile=proxy.certificate)
    end = proxy.url.removesuffix("/")
    with (
        bw.WhipClient(bw.Tone(1000.0), f"{end}/whip", tls=tls) as push,
        bw.WhepClient(f"{end}/whep", tls=tls) as pull,
    ):
        push.start()
        pull.start()
        assert push.wait_connected(20.0)
        assert pull.wait_connected(20.0)
        _wait_until_heard(pull.read, proxy.server.read_input)
        proxy.stop()
        began_s, silences = time.monotonic(), 0
        while time.monotonic() - began_s < 1.0:
            time.sleep(0.02)  # Sound goes on in real time.
            silences += not _is_heard(pull.read)
        assert silences <= 2
        proxy.start()
        assert push.connected
        assert pull.connected
        assert {request.address for request in proxy.requests} == {"127.0.0.1"}
        _wait_until_heard(pull.read, proxy.server.read_input)
    wait_until(lambda: not proxy.server.peers, timeout_s=10.0)


def _is_heard(read: Callable[[int], NDArray[np.float32]]) -> bool:
    """Whether the next 20 ms are not silent."""
    return float(np.abs(read(960)).max()) > 0.01


def _wait_until_heard(*reads: Callable[[int], NDArray[np.float32]]) -> None:
    deadline_s = time.monotonic() + 10.0
    while not all([_is_heard(read) for read in reads]):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)  # Sound arrives in real time.


async def test_session_behind_a_proxy_that_says_nothing_is_restarted_and_ended(tmp_path: Path) -> None:
    """nginx with its defaults replaces Host and adds no header field: the Location is relative, and ``public_url``
    names the origin of the page."""
    certificate, key = write_certificate(tmp_path)
    port = free_port()
    url = f"https://127.0.0.1:{port}/radio/"
    config = bw.ServerConfig(http_port=0, udp_port=0, public_url=url)
    with bw.Server(bw.Tone(440.0), config) as server:
        server.start()
        command = nginx_command(tmp_path, port, urlsplit(server.url).netloc, certificate, key)
        text = (tmp_path / "nginx.conf").read_text(encoding="utf-8")
        (tmp_path / "nginx.conf").write_text(
            re.sub(r" *(?:#.*|proxy_set_header .*|proxy_http_version .*)\n", "", text), encoding="utf-8"
        )
        with _running(command, tmp_path, port):
            async with Proxy(url, certificate, server).session() as http:
                fields = {"Content-Type": "application/sdp", "Origin": url.removesuffix("/radio/")}
                offer = http_asking.offer()
                async with http.post(urljoin(url, "whep"), data=offer.encode(), headers=fields) as response:
                    assert response.status == 201, await response.text()
                    location = urljoin(str(response.url), response.headers["Location"])
                assert location.startswith(urljoin(url, "whep/"))
                assert await _restart_ice(http, location)
                async with http.delete(location) as response:
                    assert response.status == 200


async def _restart_ice(http: aiohttp.ClientSession, location: str) -> bool:
    """PATCH new credentials; return whether the server has made some, too."""
    fields = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
    fragment = "a=ice-ufrag:new1\r\na=ice-pwd:aNewPasswordOf22Characters\r\n"
    async with http.patch(location, data=fragment.encode(), headers=fields) as response:
        text = await response.text()
        return response.status == 200 and "a=ice-pwd:" in text and "ETag" in response.headers


def test_listen_and_talk_keys_work_under_the_prefix(proxy: Proxy) -> None:
    skip_for(browsers.missing_chromium())
    flag = f"--ignore-certificate-errors-spki-list={key_hash(proxy.certificate)}"
    with browsers.Chromium(extra_flags=(flag,)) as chromium:
        page = chromium.open(proxy.url).page
        page_driver.listen(page, timeout_s=30.0)
        page_driver.talk(page, timeout_s=30.0)
        kinds = sorted(peer.kind for peer in proxy.server.peers)
        assert kinds == ["player", "publisher"]
        page.click("#listen")
        page.click("#talk")
        wait_until(lambda: not proxy.server.peers, timeout_s=20.0)


async def test_foreign_host_name_is_refused_behind_the_proxy(proxy: Proxy) -> None:
    async with proxy.session() as http, http.get(proxy.url, headers={"Host": "attacker.example"}) as response:
        assert response.status != 200 or not await response.text()


async def test_page_of_another_site_is_refused_behind_the_proxy(proxy: Proxy) -> None:
    fields = {"Content-Type": "application/sdp", "Origin": "https://attacker.example"}
    async with proxy.session() as http, http.post(urljoin(proxy.url, "whep"), data=b"v=0", headers=fields) as response:
        assert response.status == 403
        assert "--allow-origin https://attacker.example" in await response.text()


def test_replacing_what_is_not_there_fails() -> None:
    with pytest.raises(AssertionError, match="listen 81"):
        configure("listen 80;", {"listen 81;": ""})
