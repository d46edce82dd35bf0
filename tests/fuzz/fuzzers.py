"""Builds the core's fuzzers with libFuzzer and runs them: ``python tests/fuzz/fuzzers.py [SECONDS_EACH]``.

A fuzzer is ``fuzz_<name>.c``. ``write_seeds.c`` writes its initial corpus: packets like those of known senders. Inputs
that reach new code are kept in ``artifacts/fuzz``, so that the next run continues where this one stopped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bass_webrtc.core import build_core

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORE = ROOT / "src" / "bass_webrtc" / "core"
FUZZERS = {"rtp_parse": 3000, "jitter_buffer": 8000, "playout": 8000, "stun": 1500, "srtp": 3000, "rtcp_reports": 1500}
"""Name to maximum input length in bytes."""

SOURCES = (
    "addresses",
    "arrival",
    "delay_control",
    "drift",
    "enhancement",
    "hmac",
    "ice",
    "incoming",
    "jitter_buffer",
    "libraries",
    "opus_packet",
    "opus_receiver",
    "packet_queue",
    "platform_posix",
    "playout",
    "resampler",
    "rtcp_reports",
    "rtp_parse",
    "rtp_stream",
    "source",
    "srtp",
    "srtp_receiver",
    "stretch",
    "stun",
)
COMMON = ("clang", "-std=c11", "-Wall", "-Wextra", "-Werror", "-g", f"-I{CORE}", f"-I{HERE.parent / 'core'}")
SANITIZED = ("-O2", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build(folder: Path) -> None:
    """Compile all fuzzers into the folder and write their seeds to ``seeds/<name>`` in it."""
    sources = [str(CORE / f"{name}.c") for name in SOURCES]
    compile_core = [
        *COMMON,
        *SANITIZED,
        "-fsanitize=fuzzer-no-link",
        *build_core.pkg_config("--cflags"),
        "-c",
        *sources,
    ]
    subprocess.run(compile_core, check=True, cwd=folder)
    for name in FUZZERS:
        _link(folder, f"fuzz_{name}", "-fsanitize=fuzzer")
        (folder / "seeds" / name).mkdir(parents=True, exist_ok=True)
    writer = _link(folder, "write_seeds")
    subprocess.run([writer, *(str(folder / "seeds" / name) for name in FUZZERS)], check=True)


def _link(folder: Path, name: str, *flags: str) -> str:
    """Compile one program of this folder, link it with the core, and return its path."""
    binary = str(folder / name)
    objects = [str(folder / f"{source}.o") for source in SOURCES]
    libraries = [*build_core.pkg_config("--cflags"), *build_core.pkg_config("--libs"), "-lm"]
    command = [*COMMON, *SANITIZED, *flags, str(HERE / f"{name}.c"), *objects, *libraries, "-o", binary]
    subprocess.run(command, check=True)
    return binary


def run(folder: Path, name: str, corpus: Path, seconds: int) -> None:
    """Run one fuzzer for some time.

    Raises:
        subprocess.CalledProcessError: The fuzzer found a failure; its input is in ``folder``.
    """
    corpus.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-max_len={FUZZERS[name]}", "-timeout=10", "-print_final_stats=1"]
    command = [str(folder / f"fuzz_{name}"), *options, str(corpus), str(folder / "seeds" / name)]
    subprocess.run(command, check=True, cwd=folder, env=os.environ | {"ASAN_OPTIONS": "allocator_may_return_null=1"})


def main() -> None:
    """Run all fuzzers one after the other, each for the given time (default: ten minutes)."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    folder = ROOT / "artifacts" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    build(folder)
    for name in FUZZERS:
        run(folder, name, folder / name, seconds)


if __name__ == "__main__":
    main()
