"""Builds the core's fuzzers with libFuzzer and runs them: ``python tests/fuzz/fuzzers.py [seconds]``.

A fuzzer is ``fuzz_<name>.c``. Its first corpus is written by ``write_seeds.c``: what the senders we know would send.
What it finds stays in ``artifacts/fuzz``, so that the next run begins where this one ended.
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
FUZZERS = {"rtp_parse": 3000, "jitter_buffer": 8000}
"""Name, and the longest input in bytes."""

SOURCES = (
    "arrival",
    "delay_control",
    "drift",
    "jitter_buffer",
    "opus_packet",
    "opus_receiver",
    "packet_queue",
    "receiver_counters",
    "rtp_parse",
    "rtp_stream",
    "stretch",
)
COMMON = ("clang", "-std=c11", "-Wall", "-Wextra", "-Werror", "-g", f"-I{CORE}", f"-I{HERE.parent / 'core'}")
SANITIZED = ("-O2", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")


def _pkg_config(flag: str) -> list[str]:
    command = ["pkg-config", flag, *build_core.LIBRARIES]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def _sources() -> list[str]:
    return [str(CORE / f"{name}.c") for name in SOURCES]


def build(folder: Path) -> None:
    """Compile all fuzzers into the folder, and write their seeds below it."""
    # Arithmetic alone, and most of the time: its bounds are proved by tests/core, and without it 7 times more is tried.
    plain = str(folder / "resampler.o")
    subprocess.run([*COMMON, "-O3", "-c", str(CORE / "resampler.c"), "-o", plain], check=True)
    libraries = [*_pkg_config("--cflags"), *_pkg_config("--libs"), "-lm"]
    for name in FUZZERS:
        binary = str(folder / f"fuzz_{name}")
        source = str(HERE / f"fuzz_{name}.c")
        subprocess.run([*COMMON, *SANITIZED, source, *_sources(), plain, *libraries, "-o", binary], check=True)
        (folder / "seeds" / name).mkdir(parents=True, exist_ok=True)
    writer = str(folder / "write_seeds")
    subprocess.run(
        [*COMMON, "-O1", str(HERE / "write_seeds.c"), *_sources(), plain, *libraries, "-o", writer], check=True
    )
    subprocess.run([writer, *(str(folder / "seeds" / name) for name in ("rtp_parse", "jitter_buffer"))], check=True)


def run(folder: Path, name: str, corpus: Path, seconds: int) -> None:
    """Fuzz for some time; raises CalledProcessError, with the input left in the folder, when something is found."""
    corpus.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-max_len={FUZZERS[name]}", "-timeout=10", "-print_final_stats=1"]
    command = [str(folder / f"fuzz_{name}"), *options, str(corpus), str(folder / "seeds" / name)]
    subprocess.run(command, check=True, cwd=folder, env=os.environ | {"ASAN_OPTIONS": "allocator_may_return_null=1"})


def main() -> None:
    """All fuzzers, one after the other, in the time given (ten minutes)."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    folder = ROOT / "artifacts" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    build(folder)
    for name in FUZZERS:
        run(folder, name, folder / name, seconds // len(FUZZERS))


if __name__ == "__main__":
    main()
