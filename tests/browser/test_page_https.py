"""A phone on the local network may use its microphone over HTTPS with the server's own certificate, not over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

import bass_webrtc as bw
from bass_webrtc.server import self_signed
from support import netns
from support.browsers import Chromium, missing_chromium
from support.certificates import key_hash
from support.fixtures import skip_for
from support.patience import wait_until
from support.publisher_recorder import Recorder
from support.reruns import real_time_audio

pytestmark = real_time_audio

SERVER_ADDRESS = "10.78.0.1"
MICROPHONE = "navigator.mediaDevices.getUserMedia({ audio: true }).then((stream) => stream.getAudioTracks().length)"


def test_chromium_allows_the_microphone_with_the_own_certificate_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At an address that is not this device's own: browsers trust localhost over HTTP, too."""
    skip_for(missing_chromium() or netns.missing())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with netns.Network() as network:
        server_host, phone = network.host("server"), network.host("phone")
        network.link(server_host, f"{SERVER_ADDRESS}/24", phone, "10.78.0.2/24")
        with server_host.entered():
            secure = bw.Server(None, bw.ServerConfig(http_host="0.0.0.0", http_port=8443, tls_self_signed=True))
            plain = bw.Server(None, bw.ServerConfig(http_host="0.0.0.0", http_port=8080, udp_port=0))
            with secure, plain:
                secure.start()
                plain.start()
                hashed = key_hash(self_signed.certificate_file(secure.config))
                flag = f"--ignore-certificate-errors-spki-list={hashed}"
                with Chromium(extra_flags=(flag,), host=phone) as chromium:
                    tab = chromium.open(f"http://{SERVER_ADDRESS}:8080/")
                    assert tab.evaluate("[isSecureContext, navigator.mediaDevices === undefined]") == [False, True]
                    tab = chromium.open(f"https://{SERVER_ADDRESS}:8443/")
                    assert tab.evaluate("isSecureContext")
                    assert tab.evaluate(MICROPHONE) == 1
                    tab.page.wait_for_function("() => window.bassWebrtc?.publisher !== undefined")
                    tab.evaluate("document.getElementById('talk').click()")
                    wait_until(lambda: [peer.state for peer in secure.peers] == ["connected"])
                    with Recorder(secure.read_input) as recorder:
                        recorder.wait_for_sound()
