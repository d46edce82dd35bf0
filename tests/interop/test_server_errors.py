"""Parts of a running server fail: the program gets one event, and other parts continue."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

import bass_webrtc as bw
from bass_webrtc.core.compiled import lib
from bass_webrtc.peer.lite import LiteConnection
from bass_webrtc.peer.media import MediaSession
from support.driving import connect, drive
from support.player import Certificate, Player


class ErrorEvents:
    """The ``error`` events of a server."""

    def __init__(self, server: bw.Server) -> None:
        self.errors: list[bw.BassWebRtcError] = []
        self._came = threading.Event()
        server.on("error", self._hear)

    def _hear(self, error: bw.BassWebRtcError) -> None:
        self.errors.append(error)
        self._came.set()

    def wait(self) -> bw.BassWebRtcError:
        assert self._came.wait(10), "no error event arrived"
        return self.errors[0]


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        yield server


def test_failing_connection_is_reported_once_and_others_continue(
    server: bw.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, receive, failures = ErrorEvents(server), LiteConnection.receive, 0

    def fail_for_the_first(self: LiteConnection, *arguments: object) -> None:
        nonlocal failures
        if self.id == 0:
            failures += 1
            raise RuntimeError(f"failure {failures}")
        receive(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LiteConnection, "receive", fail_for_the_first)
    unlucky, lucky = Player(Certificate()), Player(Certificate())
    unlucky.post(f"{server.url}whep", 0.0)
    connect(lucky, f"{server.url}whep")
    drive([unlucky, lucky], lambda: failures > 3 and lucky.counters.packets > 25)
    assert repr(events.wait().__cause__) == "RuntimeError('failure 1')"
    assert (failures > 3, len(events.errors)) == (True, 1)
    assert lucky.counters.missing == 0


def test_connection_whose_timer_fails_ends(server: bw.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its consent would not be judged any more: it would get audio for ever."""
    events, reasons = ErrorEvents(server), []
    server.on("peer_disconnected", lambda _, reason: reasons.append(reason))

    def fail(*_: object) -> None:
        raise RuntimeError("failure")

    player = Player(Certificate())
    connect(player, f"{server.url}whep")
    monkeypatch.setattr(MediaSession, "handle_timeout", fail)
    assert drive([player], lambda: reasons == ["an internal error"], 30.0)
    assert isinstance(events.wait(), bw.BassWebRtcError)


def test_exception_in_admit_is_reported(server: bw.Server) -> None:
    events = ErrorEvents(server)
    server.admit = lambda request: {}[request.address]  # type: ignore[index]
    player = Player(Certificate())
    assert not player.post(f"{server.url}whep", 0.0)
    assert player.status == 500
    assert isinstance(events.wait().__cause__, KeyError)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """No descriptor can be opened in this process meanwhile."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_failing_accept_is_reported_and_recovers(server: bw.Server) -> None:
    events, at = ErrorEvents(server), urllib.parse.urlsplit(server.url)
    with socket.socket() as client:
        with no_descriptor_left():
            client.connect((at.hostname, at.port))
            cause = events.wait().__cause__
        assert isinstance(cause, OSError)
        assert "out of system resource" in str(events.errors[0])
        with urllib.request.urlopen(f"{server.url}healthz", timeout=10) as response:
            assert response.status == 200
    assert len(events.errors) == 1


def test_stalled_sender_thread_is_reported(server: bw.Server) -> None:
    events = ErrorEvents(server)
    assert server._run is not None
    lib.bw_engine_stop(server._run.engine._pointer)
    assert "the sending thread" in str(events.wait())
