"""Ports for several addresses, and certificates that cannot be used, each with a sentence."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bass_webrtc.errors import ConfigError
from bass_webrtc.signaling.server import listening
from bass_webrtc.signaling.server.listening import listen, tls_context
from support.certificates import write_certificate
from support.conformance import covers


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificate(tmp_path)


async def test_every_address_of_a_name_has_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """``localhost`` is two addresses on many machines, and there is one URL."""

    async def resolve(host: str, port: int) -> list[tuple[int, tuple[str | int, ...]]]:
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET, ("127.0.0.2", port))]

    monkeypatch.setattr(listening, "_resolve", resolve)
    first, second = await listen("two-addresses", 0)
    with first, second:
        assert first.getsockname()[0] != second.getsockname()[0]
        assert first.getsockname()[1] == second.getsockname()[1]


async def test_a_name_is_listened_on_once_per_address() -> None:
    sockets = await listen("localhost", 0)
    names = [one.getsockname()[:2] for one in sockets]
    for one in sockets:
        one.close()
    assert len(names) == len(set(names)) >= 1


@covers("WS53")
def test_a_good_pair_is_loaded(certificate: tuple[Path, Path]) -> None:
    """TLS 1.2 at least."""
    assert tls_context(*certificate).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_missing_file_is_named(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls_certificate .*nowhere\.pem' cannot be read: No such file"):
        tls_context(tmp_path / "nowhere.pem", certificate[1])
    with pytest.raises(ConfigError, match=r"tls_key .* cannot be read"):
        tls_context(certificate[0], tmp_path)


def test_a_file_that_is_no_pem_is_refused(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"\x00junk")
    for pair in ((junk, certificate[1]), (certificate[0], junk)):
        with pytest.raises(ConfigError, match="expected a PEM certificate chain and its own unencrypted PEM key"):
            tls_context(*pair)


def test_the_key_of_another_certificate_is_refused(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    _, other_key = write_certificate(tmp_path / "other")
    with pytest.raises(ConfigError, match="its own unencrypted PEM key"):
        tls_context(certificate[0], other_key)


def test_an_encrypted_key_is_refused_and_asks_nobody(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """OpenSSL would ask for the password on the terminal and wait."""
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(ConfigError, match="unencrypted"):
        tls_context(certificate[0], encrypted)
