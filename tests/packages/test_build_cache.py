"""scripts/build_cache.py."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import build_cache

SCRIPTS = str(Path(build_cache.__file__).parent)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BASS_WEBRTC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "product").write_text(str(self.calls), encoding="utf-8")


def test_product_is_made_once_for_the_same_inputs(tmp_path: Path) -> None:
    make, source = Maker(), tmp_path / "source"
    source.write_text("1", encoding="utf-8")
    first = build_cache.made("it", ["-O2", source], make)
    assert build_cache.made("it", ["-O2", source], make) == first
    assert (first / "product").read_text(encoding="utf-8") == "1"
    source.write_text("2", encoding="utf-8")
    second = build_cache.made("it", ["-O2", source], make)
    assert (second / "product").read_text(encoding="utf-8") == "2"
    assert make.calls == 2


def test_inputs_are_told_apart_where_their_concatenation_is_the_same() -> None:
    make = Maker()
    assert build_cache.made("it", ["ab", "c"], make) != build_cache.made("it", ["a", "bc"], make)


def test_failed_product_is_made_again() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        build_cache.made("it", [], fail)
    product = build_cache.made("it", [], Maker())
    assert [path.name for path in product.iterdir()] == ["product"]


def test_what_a_killed_maker_left_is_removed(cache: Path) -> None:
    killed = "import build_cache, os; build_cache.made('it', [], lambda folder: os.kill(os.getpid(), 9))"
    subprocess.run([sys.executable, "-c", killed], env={**os.environ, "PYTHONPATH": SCRIPTS}, check=False)
    assert [path for path in cache.iterdir() if path.is_dir()]
    product = build_cache.made("it", [], Maker())
    assert [path for path in cache.iterdir() if path.is_dir()] == [product]


def test_cache_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.write_text("a file", encoding="utf-8")
    with pytest.raises(
        SystemExit, match=rf"the cache {cache} cannot be written \(File exists\); set BASS_WEBRTC_CACHE"
    ):
        build_cache.made("it", [], Maker())


def test_callers_at_the_same_time_get_one_product() -> None:
    make = Maker()
    with ThreadPoolExecutor(8) as threads:
        products = set(threads.map(lambda _: build_cache.made("it", [], make), range(8)))
    assert (len(products), make.calls) == (1, 1)


def test_products_unused_for_a_week_are_removed(cache: Path) -> None:
    old, other = build_cache.made("it", ["1"], Maker()), build_cache.made("other", ["1"], Maker())
    for product in (old, other):
        os.utime(product, (1.0, 1.0))
    new = build_cache.made("it", ["2"], Maker())
    assert {path for path in cache.iterdir() if path.is_dir()} == {new, other}


def test_place_is_that_of_the_scripts(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert build_cache.root() == cache
    monkeypatch.delenv("BASS_WEBRTC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert build_cache.root() == Path("/var/cache/bass-webrtc")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert build_cache.root() == Path.home() / ".cache" / "bass-webrtc"
    monkeypatch.setenv("BASS_WEBRTC_CACHE", "relative")
    assert build_cache.root() == Path.cwd() / "relative"
