"""``WhipClient`` pushes to Janus through simple-whip-server; the audio that Janus forwards is decoded."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import janus, tones
from support.client_peers import connect
from support.fixtures import skip_for
from support.janus import Janus
from support.netns import Host
from support.opus import decode
from support.patience import wait_until
from support.reruns import real_time_audio

pytestmark = real_time_audio

TOKEN = "a-token"
RTP_HEADER_BYTES = 12
HEARD_PACKETS = 100

Hosts = tuple[Host, Host]


@pytest.fixture
def server(hosts: Hosts, tmp_path: Path) -> Iterator[Janus]:
    skip_for(janus.missing())
    with Janus(tmp_path, hosts[0], "10.77.0.1") as server:
        yield server


@pytest.fixture
def forwarded(hosts: Hosts) -> Iterator[socket.socket]:
    """The socket to which Janus forwards RTP."""
    with hosts[0].entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(10.0)
    with contextlib.closing(receiver):
        yield receiver


def test_janus_receives_the_push(hosts: Hosts, server: Janus, forwarded: socket.socket) -> None:
    """Both tones on their channels at their level; DELETE removes the publisher from the room."""
    url = server.create_endpoint("studio", token=TOKEN, forward_to=forwarded.getsockname()[1])
    with hosts[1].entered(), bw.WhipClient(bw.Tone(500.0, 700.0), url, token=TOKEN) as client:
        connect(client)
        packets = [forwarded.recv(2048) for _ in range(HEARD_PACKETS)]
        assert server.published() == ["studio"]
        wait_until(lambda: client.stats().round_trip_time_ms is not None)
    samples = decode(packet[RTP_HEADER_BYTES:] for packet in packets)[-24_000:]
    for channel, tone_hz in ((0, 500.0), (1, 700.0)):
        assert tones.tone_dbfs(samples[:, channel], tone_hz) == pytest.approx(-12.0, abs=1.0)
        assert tones.frequency_hz(samples[:, channel]) == pytest.approx(tone_hz, abs=1.0)
    wait_until(lambda: server.published() == [])


@pytest.mark.parametrize(("name", "token", "status"), [("studio", "wrong", 403), ("nobody", TOKEN, 404)])
def test_refusal_by_janus_is_reported(
    hosts: Hosts, server: Janus, forwarded: socket.socket, name: str, token: str, status: int
) -> None:
    url = server.create_endpoint("studio", token=TOKEN, forward_to=forwarded.getsockname()[1])
    refused = url.replace("studio", name)
    with hosts[1].entered(), bw.WhipClient(bw.Tone(), refused, token=token) as client:
        client.start()
        with pytest.raises(bw.SignalingError) as caught:
            client.wait_connected(10.0)
    assert caught.value.status == status
    assert token not in str(caught.value)
