"""The certificate that a server makes for itself."""

from __future__ import annotations

import datetime
import http.client
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import bass_webrtc as bw
from bass_webrtc.server import self_signed

CONFIG = bw.ServerConfig(http_port=0, udp_port=0, tls_self_signed=True, allowed_hosts=("radio.example", "*"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder for such files."""
    monkeypatch.setenv("LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_clients_that_trust_the_file_verify_the_server() -> None:
    """By address and by name, as strictly as OpenSSL can."""
    file = self_signed.certificate_file(CONFIG)
    context = ssl.create_default_context(cafile=file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with bw.Server(bw.Tone(), CONFIG) as server:
        server.start()
        port = urlsplit(server.url).port or 0
        assert urlsplit(server.url).scheme == "https"
        for name in ("127.0.0.1", "localhost", "radio.example", socket.gethostname()):
            with (
                socket.create_connection(("127.0.0.1", port)) as tcp,
                context.wrap_socket(tcp, server_hostname=name) as tls,
            ):
                assert tls.getpeercert(True) == ssl.PEM_cert_to_DER_cert(
                    file.read_text(encoding="utf-8").partition("-----BEGIN PRIV")[0]
                )
        with pytest.raises(ssl.SSLCertVerificationError), socket.create_connection(("127.0.0.1", port)) as tcp:
            context.wrap_socket(tcp, server_hostname="other.example")
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def test_it_is_kept_for_this_user_alone(state: Path) -> None:
    file = self_signed.certificate_file(CONFIG)
    first = file.read_bytes()
    assert file == state / "bass-webrtc" / "self-signed.pem"
    assert self_signed.certificate_file(CONFIG).read_bytes() == first
    assert self_signed.fingerprint(file).startswith("SHA-256 ")
    assert list(file.parent.iterdir()) == [file]
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        file.chmod(0o644)
        assert self_signed.certificate_file(CONFIG).read_bytes() != first, "others have seen the key"


def _other_name(file: Path, _: pytest.MonkeyPatch) -> bw.ServerConfig:
    return bw.ServerConfig(tls_self_signed=True, public_url="https://new.example/")


def _damaged(file: Path, _: pytest.MonkeyPatch) -> bw.ServerConfig:
    file.write_bytes(file.read_bytes()[:-100])
    return CONFIG


def _other_key(file: Path, _: pytest.MonkeyPatch) -> bw.ServerConfig:
    certificate, begin, _key = file.read_text(encoding="utf-8").partition("-----BEGIN PRIVATE")
    file.write_text(
        certificate + begin + self_signed._make(["localhost"]).decode().partition(begin)[2], encoding="utf-8"
    )
    return CONFIG


def _ends_soon(file: Path, monkeypatch: pytest.MonkeyPatch) -> bw.ServerConfig:
    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Later:
            return super().now(tz) + datetime.timedelta(days=self_signed._VALID_DAYS - self_signed._RENEWED_DAYS)

    monkeypatch.setattr("bass_webrtc.server.self_signed.datetime.datetime", Later)
    return CONFIG


@pytest.mark.parametrize("change", [_other_name, _damaged, _other_key, _ends_soon])
def test_it_is_made_anew_when_it_does_not_fit(
    change: Callable[[Path, pytest.MonkeyPatch], bw.ServerConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = self_signed.certificate_file(CONFIG)
    first = self_signed.fingerprint(file)
    config = change(file, monkeypatch)
    assert self_signed.fingerprint(self_signed.certificate_file(config)) != first


def test_it_works_without_a_folder_to_keep_it_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As of a service without HOME, or with a file system that cannot be written."""
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", None):
        if place is None:
            for name in ("LOCALAPPDATA", "XDG_STATE_HOME", "HOME"):
                monkeypatch.delenv(name, raising=False)

            def no_home() -> Path:
                raise RuntimeError("Could not determine home directory.")

            monkeypatch.setattr(Path, "home", no_home)
        else:
            monkeypatch.setenv("LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", str(place))
        file = self_signed.certificate_file(CONFIG)
        assert file.name == "self-signed.pem"
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, file)


_FORKING = """
import os, sys
import bass_webrtc as bw
from bass_webrtc.server.self_signed import certificate_file

file = certificate_file(bw.ServerConfig(tls_self_signed=True))
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
print(file.exists(), file)
"""


def test_exit_of_a_forked_child_leaves_the_file_to_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that cannot be kept is removed at the exit of the process that made it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    output = subprocess.check_output([sys.executable, "-c", _FORKING], encoding="utf-8")
    was_left, _, file = output.strip().partition(" ")
    assert was_left == "True"
    assert not Path(file).parent.exists()


def test_it_excludes_a_certificate_of_somebody_else() -> None:
    with pytest.raises(bw.ConfigError, match="tls_self_signed"):
        bw.ServerConfig(tls_self_signed=True, tls_certificate="c", tls_key="k")
