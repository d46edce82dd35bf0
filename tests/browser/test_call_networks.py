"""Guests behind NATs, and guests whose network changes during the call, in the real page."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import bass_webrtc as bw
from bass_webrtc.rtc.turn_credentials import time_limited_credentials
from support import coturn, nat, netns
from support.browsers import missing_chromium
from support.callers import read
from support.coturn import Coturn
from support.fixtures import skip_for
from support.guest_pages import GUEST_DBFS, Guest, guest_browser, in_blocks, level_dbfs, secure_origin
from support.nat import SERVERS, Internet
from support.netns import Host
from support.patience import SLOWNESS, wait_until
from support.publisher_recorder import Recorder
from support.reruns import real_time_audio
from support.server_at import is_relayed
from support.tones import Samples

pytestmark = real_time_audio

PROGRAMME_HZ, GUEST_HZ = 500.0, 1700.0
BACK_WITHIN_S = 5.0
SECRET = "the north sea"
WIRE = "wire0"
"""Interface of the hosts of the ``hosts`` fixture."""


def make_server(**settings: object) -> bw.Server:
    programme = bw.Tone(hz=PROGRAMME_HZ, right_hz=PROGRAMME_HZ, level_dbfs=GUEST_DBFS)
    config = {"http_port": 0, "udp_port": 0, "calls": "on_air", "max_peers": 10, "max_peers_per_address": 10}
    return bw.Server(programme, bw.ServerConfig(**config | settings))  # type: ignore[arg-type]


def assert_heard(blocks: Sequence[Samples], hz: float) -> None:
    assert level_dbfs(blocks, hz) == pytest.approx(GUEST_DBFS, abs=2.0)


# -- NATs


@contextlib.contextmanager
def forwarded(front: Host, address: str, back: Host) -> Iterator[tuple[str, Callable[[bw.Server], None]]]:
    """Forward a TCP port of a host to a server's HTTP port on another, as a proxy does.

    Yields its URL, and what sets the server.
    """
    with front.entered():
        listener = socket.create_server((address, 0))
    target: list[tuple[str, int]] = []

    def copy(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                outside, _ = listener.accept()
                inside = back.connect(*target[0])
                for pair in ((outside, inside), (inside, outside)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    def set_server(server: bw.Server) -> None:
        target.append(("127.0.0.1", int(server.url.rstrip("/").rpartition(":")[2])))

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://{address}:{listener.getsockname()[1]}", set_server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("kind", ["symmetric", "no-udp"])
def test_guest_behind_a_symmetric_nat_is_relayed_to_a_server_behind_a_nat(kind: nat.NatKind, tmp_path: Path) -> None:
    """Heard on air, and hears the programme. Behind a firewall without UDP, too: TURN over TCP."""
    skip_for(missing_chromium() or nat.missing() or coturn.missing())
    with contextlib.ExitStack() as stack:
        internet = Internet(stack.enter_context(netns.Network()))
        turn = stack.enter_context(Coturn(tmp_path, address=SERVERS, host=internet.servers, secret=SECRET))
        own = time_limited_credentials(SECRET, "studio", now_unix_s=time.time(), lifetime_s=3600)
        studio, home = internet.home("symmetric"), internet.home(kind)
        url, set_server = stack.enter_context(forwarded(internet.servers, SERVERS, studio))
        server = stack.enter_context(
            make_server(
                public_url=url,
                ice_servers=(bw.IceServer(turn.url("udp"), own.username, own.credential),),
                visitor_ice_servers=tuple(bw.IceServer(turn.url(way)) for way in ("udp", "tcp")),
                turn_secret=SECRET,
            )
        )
        with studio.entered():
            server.start()
        set_server(server)
        secure = f"--unsafely-treat-insecure-origin-as-secure={url}"
        browser = stack.enter_context(guest_browser(tmp_path, GUEST_HZ, home, secure))
        guest = Guest(browser, f"{url}/call?name=Anna")
        guest.wait_for_title("On air", 30.0)
        (call,) = server.calls
        assert is_relayed(call.peer)
        guest.listen()
        assert_heard(guest.hear(), PROGRAMME_HZ)
        assert level_dbfs(guest.hear(), GUEST_HZ) < GUEST_DBFS - 60.0
        assert_heard(in_blocks(read(server, 3.0)), GUEST_HZ)
        guest.leave()
        wait_until(lambda: server.calls == ())


# -- another network


class Events:
    """What the server has reported about calls."""

    def __init__(self, server: bw.Server) -> None:
        self.names: list[str] = []
        for name in ("call", "call_changed", "call_ended"):
            server.on(name, lambda *_arguments, name=name: self.names.append(name))


def change_address(_server: Host, guest: Host) -> None:
    """The guest gets another address in the same network."""
    guest.ip("address", "delete", "10.77.0.2/24", "dev", WIRE)
    guest.ip("address", "add", "10.77.0.3/24", "dev", WIRE)


def change_network(server: Host, guest: Host) -> None:
    """The guest leaves the Wi-Fi, and reaches the server by a mobile network that comes up now."""
    guest.ip("address", "delete", "10.77.0.2/24", "dev", WIRE)
    guest.ip("link", "set", WIRE, "down")
    server.ip("link", "add", "mobile", "type", "veth", "peer", "name", "mobile", "netns", guest.name)
    for host, address in ((server, "10.78.0.1/24"), (guest, "10.78.0.2/24")):
        host.ip("address", "add", address, "dev", "mobile")
        host.ip("link", "set", "mobile", "up")
    guest.ip("route", "add", "10.77.0.0/24", "via", "10.78.0.1")


def lose_network_for_4_s(server: Host, guest: Host) -> None:
    """The guest has no network for a while, and then another address."""
    guest.ip("link", "set", WIRE, "down")
    time.sleep(4.0)
    change_address(server, guest)
    guest.ip("link", "set", WIRE, "up")


def lose_network_for_12_s(_server: Host, guest: Host) -> None:
    """Longer than it takes the page to notice, and less than the server keeps a call without a path."""
    guest.ip("link", "set", WIRE, "down")
    time.sleep(12.0)
    guest.ip("link", "set", WIRE, "up")


@pytest.mark.parametrize("change", [change_address, change_network, lose_network_for_4_s, lose_network_for_12_s])
def test_guest_whose_network_changes_is_on_air_again_within_5_s(
    hosts: tuple[Host, Host],
    tmp_path: Path,
    change: Callable[[Host, Host], None],
    record_property: Callable[[str, object], None],
) -> None:
    """In the same call, which is still on air, and the guest hears the programme again."""
    skip_for(missing_chromium())
    server_host, guest_host = hosts
    with make_server(http_host="10.77.0.1", call_requires_invite=True) as server:
        events = Events(server)
        with server_host.entered():
            server.start()
        with guest_browser(tmp_path, GUEST_HZ, guest_host, secure_origin(server)) as browser:
            guest = Guest(browser, f"{server.url}call?invite={server.invite('Anna').secret}")
            guest.wait_for_title("On air")
            (call,) = server.calls
            guest.listen()
            with Recorder(server.read_input) as mix:
                assert_heard(in_blocks(mix.take(3.0)), GUEST_HZ)
                wait_until(lambda: is_steady(guest.last(0.3), PROGRAMME_HZ))
                change(server_host, guest_host)
                changed_s = time.perf_counter()
                mix.take(1.0)  # What had arrived before is played.
                patience_s = 3 * BACK_WITHIN_S
                wait_until(lambda: is_steady(mix.last(0.3)[:, 0], GUEST_HZ), patience_s)
                on_air_s = time.perf_counter() - changed_s
                wait_until(lambda: is_steady(guest.last(0.3), PROGRAMME_HZ), patience_s)
                hears_s = time.perf_counter() - changed_s
                mix.take(1.0)
                silence_s = longest_gap_s(mix.last(time.perf_counter() - changed_s)[:, 0])
            record_property(
                "summary",
                f"{change.__name__}: on air again after {on_air_s:.1f} s, hears again after {hears_s:.1f} s, longest "
                f"silence on air {silence_s:.1f} s",
            )
            assert server.calls == (call,)
            assert (call.id, call.state, call.peer.state) == (1, "on_air", "connected")
            assert events.names == ["call"]
            assert max(on_air_s, hears_s) < BACK_WITHIN_S * SLOWNESS
            guest.wait_for_title("On air")


def is_steady(samples: Samples, hz: float) -> bool:
    """Whether a tone is there all the time."""
    return all(level_dbfs([block], hz) > GUEST_DBFS - 3.0 for block in samples.reshape(-1, 4800))


def longest_gap_s(samples: Samples) -> float:
    """Return the longest time without the guest's tone."""
    hop = 480
    quiet = [np.abs(block).max() < 0.01 for block in samples[: len(samples) // hop * hop].reshape(-1, hop)]
    longest = length = 0
    for one in quiet:
        length = length + 1 if one else 0
        longest = max(longest, length)
    return longest * hop / 48_000
