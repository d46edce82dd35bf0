"""A certificate of this server's own, for ``tls_self_signed``: made once, kept, and made anew when it no longer fits.

Browsers give a page the microphone over HTTPS only. They warn about a certificate that nobody has signed; devices that
trust the file as a certificate authority do not.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import hashlib
import ipaddress
import os
import shutil
import socket
import stat
import sys
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..config import ServerConfig
from ..errors import ConfigError
from ..host_process import fork_count
from ..peer.ice.addresses import local_addresses
from ..signaling.server.hosts import given_names

_VALID_DAYS = 397
"""Browsers accept no longer ones."""
_RENEWED_DAYS = 30
"""Before the end."""
_FILE = "self-signed.pem"

_unkept = Path()
"""Where it is if it cannot be kept; removed when the process that made it exits."""


def certificate_file(config: ServerConfig) -> Path:
    """Return a PEM file with a certificate for this machine's names and addresses, and its key.

    Raises:
        ConfigError: It cannot be written anywhere.
    """
    global _unkept
    names = _names(config)
    with contextlib.suppress(OSError, RuntimeError):
        return _current(_folder(), names)
    # No home folder, or not one of ours: it is made again at the next start.
    try:
        if _unkept == Path() or not _unkept.is_dir():
            _unkept = Path(tempfile.mkdtemp(prefix="bass-webrtc-"))  # Mode 0700.
            atexit.register(_remove, _unkept, fork_count())
        return _current(_unkept, names)
    except OSError as error:
        raise ConfigError(f"tls_self_signed: the certificate cannot be written: {error}") from error


def _remove(folder: Path, forks: int) -> None:
    """Remove a folder at exit, but not at that of a forked child, whose parent uses it."""
    if fork_count() == forks:
        shutil.rmtree(folder, ignore_errors=True)


def fingerprint(file: Path) -> str:
    """Return the SHA-256 fingerprint of a certificate as browsers show it."""
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
    return "SHA-256 " + ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _folder() -> Path:
    """Return the user's folder for such files, which nobody else may read. Raises OSError or RuntimeError."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "bass-webrtc"
    else:
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "bass-webrtc"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "win32" and folder.stat().st_uid != os.getuid():
        raise PermissionError
    return folder


def _names(config: ServerConfig) -> list[str]:
    """Return what clients may call this server."""
    host_name = socket.gethostname()
    names = ["localhost", "127.0.0.1", "::1", host_name, f"{host_name.partition('.')[0]}.local", config.http_host]
    names += [*local_addresses(), *config.public_ips, *given_names(config)]
    return sorted({name.lower() for name in names if name not in ("", "*", "0.0.0.0", "::") and name.isascii()})


def _current(folder: Path, names: list[str]) -> Path:
    """Return the file in a folder; write it if it is missing, damaged, open to others, old, or lacks a name."""
    file = folder / _FILE
    if not _fits(file, names):
        descriptor, written = tempfile.mkstemp(dir=folder)  # Mode 0600.
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(_make(names))
            os.replace(written, file)
        except BaseException:
            os.unlink(written)
            raise
    return file


def _fits(file: Path, names: list[str]) -> bool:
    try:
        content = file.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        key = serialization.load_pem_private_key(content, password=None)
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    is_private = sys.platform == "win32" or stat.S_IMODE(file.stat().st_mode) == 0o600
    return (
        is_private
        and key.public_key() == certificate.public_key()
        and datetime.timedelta(days=_RENEWED_DAYS) < left < datetime.timedelta(days=_VALID_DAYS + 1)
        and set(alternatives) >= set(map(_general_name, names))
    )


def _make(names: list[str]) -> bytes:
    """Return a new certificate that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"bass-webrtc on {socket.gethostname()}"[:64])])
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # For devices whose clock is slow.
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS - 1))
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(encoding) + private


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
