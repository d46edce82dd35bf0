"""A program with signal handlers of its own runs a server and clients; prints ``passed`` at its end.

SIGPIPE ends it, as it ends a program in C.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import struct
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

import bass_webrtc as bw
from bass_webrtc.cli.demo import DemoProgramme
from bass_webrtc.cli.recorder import Recorder
from support import usage
from support.certificates import write_certificate

VISITORS = 12
PIPELINED = 60
FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
ASYNCHRONOUS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP} - FAULTS
"""Those that a thread can block and does not raise itself."""


def signals(mask: str) -> set[int]:
    """The signals of a mask in such a file."""
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


def dispositions() -> tuple[str, str, object]:
    """What this process ignores and catches, and the descriptor that Python writes caught signals to."""
    found = usage.status(os.getpid())
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    return found["SigIgn"], found["SigCgt"], wakeup


def assert_threads_block_signals(own: set[int]) -> int:
    """Assert that all threads but the program's block what others can send; return how many."""
    others = [status for thread, status in usage.thread_statuses(os.getpid()).items() if thread not in own]
    for found in others:
        missing = ASYNCHRONOUS - signals(found["SigBlk"])
        assert not missing, (found["Name"], missing)
        assert not FAULTS & signals(found["SigBlk"]), found["Name"]
    return len(others)


def visit(url: str) -> None:
    """Ask many times at once, and hang up without reading."""
    host, port = url.split("/")[2].split(":")
    for _ in range(VISITORS):
        with socket.create_connection((host, int(port))) as plain:
            visitor = plain
            if url.startswith("https"):
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                visitor = context.wrap_socket(plain)
            visitor.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * PIPELINED)
            visitor.close()
        time.sleep(0.01)


def reset_connections(server: bw.Server, certificate: Path) -> None:
    """Let a client over TLS, with a TURN server over TCP, write to connections that the other end has reset."""
    turn = socket.create_server(("127.0.0.1", 0))
    turn.settimeout(10.0)
    tls = ssl.create_default_context(cafile=certificate)
    ice_server = bw.IceServer(f"turn:127.0.0.1:{turn.getsockname()[1]}?transport=tcp", "me", "pw")
    with bw.WhipClient(bw.Tone(), f"{server.url}whip", tls=tls, ice_servers=(ice_server,)) as client:
        client.start()
        connection, _ = turn.accept()
        connection.recv(20)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert client.wait_connected(30.0)
        server.stop()  # Its HTTPS connection is gone when the client sends DELETE.
    turn.close()


def main(folder: Path) -> None:
    """Run a server over HTTP and one over HTTPS, and clients of the first."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    before, own = dispositions(), set(usage.thread_statuses(os.getpid()))
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(48_000 * 4))
    certificate, key = write_certificate(folder)
    plain = bw.Server(bw.BassFile(folder / "a.wav", loop=True), bw.ServerConfig(http_port=0, udp_port=0))
    pcm = bw.PcmSource()
    config = bw.ServerConfig(http_port=0, udp_port=0, tls_certificate=certificate, tls_key=key)
    secure = bw.Server(pcm, config)
    masks: list[int] = []
    plain.on("peer_connected", lambda _: masks.append(len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))))
    programme = DemoProgramme(pcm, np.zeros((48_000, 2), np.float32))
    with plain, secure, Recorder(plain.read_input, None, lambda _: None):
        plain.start()
        secure.start()
        programme.start()
        # A name, so that a helper thread looks it up.
        url = plain.url.replace("127.0.0.1", "localhost")
        with bw.WhepClient(f"{url}whep") as player, bw.WhipClient(bw.Tone(), f"{url}whip") as publisher:
            for client in (player, publisher):
                client.start()
                assert client.wait_connected(30.0)
            threads = assert_threads_block_signals(own)
            assert threads >= 4 * 3 + 3, threads  # Loop, sender and network of all; events; demo and recorder.
            for server in (plain, secure):
                visit(server.url)
            assert player.connected
            reset_connections(secure, certificate)
        programme.close()
    assert masks == [0, 0], masks  # A callback is code of the program.
    assert dispositions() == before, (dispositions(), before)
    sys.stdout.write("passed\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
