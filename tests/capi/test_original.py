"""Programs in four languages that use the functions of the original interface, in its order, can make a call."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import c_library, other_languages, stun
from support.c_library import read_line
from support.fixtures import skip_for
from support.reruns import real_time_audio

pytestmark = real_time_audio

PUBLIC = ("203.0.113.7", 50_000)
"""The address that the STUN server reports for the program."""


def without_candidates(sdp: str) -> str:
    kept = [line for line in sdp.splitlines() if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    return "".join(f"{line}\r\n" for line in kept)


def answer_next_request(server: socket.socket) -> None:
    """Answer one STUN request. The program does not wait for it: the late candidate goes to its callback."""
    datagram, address = server.recvfrom(1500)
    server.sendto(stun.success(stun.decode(datagram), None, *PUBLIC), address)


@pytest.mark.parametrize("language", other_languages.LANGUAGES)
def test_program_for_the_original_interface_connects(language: str, tmp_path: Path) -> None:
    skip_for(other_languages.missing(language))
    command = other_languages.program("original", language)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun_server,
        bw.Server(bw.Tone(), bw.ServerConfig(signaling_mode="callback")) as server,
    ):
        stun_server.bind(("127.0.0.1", 0))
        stun_server.settimeout(10.0)
        server.start()
        peer, offer = server.create_offer()
        candidate = next(line for line in offer.splitlines() if line.startswith("a=candidate:"))
        (tmp_path / "offer").write_bytes(without_candidates(offer).encode())
        files = [str(tmp_path / "offer"), str(tmp_path / "answer")]
        ice_server = f"stun:127.0.0.1:{stun_server.getsockname()[1]}"
        arguments = [*files, candidate.removeprefix("a="), ice_server]
        with c_library.running([*command, *arguments], other_languages.environment()) as process:
            assert read_line(process) == "answered\n"
            peer.set_answer((tmp_path / "answer").read_bytes().decode())
            answer_next_request(stun_server)
            assert f" {PUBLIC[0]} {PUBLIC[1]} typ srflx" in read_line(process)
            printed, errors = process.communicate(timeout=60)
        assert (process.returncode, printed, errors) == (0, "passed\n", "")
