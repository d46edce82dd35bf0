"""Check the Authenticode signatures of a Python for Windows, with Debian's osslsigncode."""

from __future__ import annotations

import functools
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

ROOTS_SHA256 = frozenset(
    {
        "5367f20c7ade0e2bca790915056d086b720c33c1fa2a2661acf787e3292e1270",  # Microsoft Identity Verification Root 2020
        "552f7bdcf1a7af9e6ce672017f4f12abf77240c78e761ac203d1d9d20ac89988",  # DigiCert Trusted Root G4
    }
)
"""Certificates that the keys of the Python Software Foundation are certified with."""
SIGNER = "/O=Python Software Foundation/"
SIGNED = (".dll", ".exe", ".pyd")
OTHERS = "vcruntime"
"""Microsoft's own DLLs begin with this. Their signatures do not include a root certificate."""

_SECURITY_DIRECTORY_OFFSET = 112 + 4 * 8  # In the optional header of a 64-bit file.
_CERTIFICATE_HEADER_BYTES = 8
_LONG_SEQUENCE = 0x3082


def check_signatures(files: Sequence[Path]) -> str:
    """Check that the Python Software Foundation has signed all programs and DLLs of its embeddable package.

    Args:
        files: The files of the package. Those that cannot have a signature are ignored.

    Returns:
        A sentence that says what was checked.

    Raises:
        SystemExit: A file is not signed, has been changed, or somebody else has signed it.
    """
    reason = missing()
    if reason is not None:
        return f"WARNING: signatures not checked, which {reason}"
    checked = [path for path in files if path.suffix in SIGNED and not path.name.startswith(OTHERS)]
    for path in checked:
        _check(path)
    unchecked = ", ".join(path.name for path in files if path not in checked and path.suffix in (*SIGNED, ".zip"))
    return f"the Python Software Foundation's signatures of {len(checked)} files are correct; not checked: {unchecked}"


def missing() -> str | None:
    """Return what is needed to check signatures and is missing; None if nothing is."""
    return None if shutil.which("osslsigncode") else "needs Debian's osslsigncode"


def embedded_certificates(program: bytes) -> list[x509.Certificate]:
    """Return the certificates in the signature of a 64-bit Windows program; none if it has no signature."""
    (header,) = struct.unpack_from("<I", program, 0x3C)
    offset, length = struct.unpack_from("<II", program, header + 24 + _SECURITY_DIRECTORY_OFFSET)
    if length == 0:
        return []
    start = offset + _CERTIFICATE_HEADER_BYTES
    # A DER sequence of 64 kB at most, with padding behind it.
    (tag, content_bytes) = struct.unpack_from(">HH", program, start)
    if tag != _LONG_SEQUENCE:
        return []
    return pkcs7.load_der_pkcs7_certificates(program[start : start + 4 + content_bytes])


def _check(path: Path) -> None:
    certificates = embedded_certificates(path.read_bytes())
    roots = [one for one in certificates if one.fingerprint(hashes.SHA256()).hex() in ROOTS_SHA256]
    if not roots:
        raise SystemExit(f"{path.name} is not signed with a key of the Python Software Foundation")
    with tempfile.NamedTemporaryFile(suffix=".pem") as root:
        root.write(roots[0].public_bytes(Encoding.PEM))
        root.flush()
        options = (*_offline_options(), "-CAfile", root.name, "-TSA-CAfile", root.name)
        done = subprocess.run(
            ["osslsigncode", "verify", *options, "-in", str(path)], capture_output=True, encoding="utf-8", check=False
        )
    signer = done.stdout.partition("Subject: ")[2].partition("\n")[0]
    if done.returncode != 0 or SIGNER not in signer:
        raise SystemExit(f"the signature of {path.name} is not the Python Software Foundation's, but of {signer!r}")


@functools.cache
def _offline_options() -> tuple[str, ...]:
    """Options against fetching revocation lists, which versions after 2.5 do."""
    usage = subprocess.run(["osslsigncode", "verify", "--help"], capture_output=True, encoding="utf-8", check=False)
    return tuple(option for option in ("-ignore-cdp", "-ignore-crl") if option in usage.stdout + usage.stderr)
