"""Builds or fetches what tests of packages, tests under Wine and tests with node share, before they run.

On a fresh machine that takes longer than any test may, and parallel tests would wait for the same builds. What is in
the cache already costs seconds. What cannot be built here is left out: its tests skip and say what to install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import node_packages
import toolchains
import wheels

from . import arm64, packages, sdk, wine


def main() -> None:
    """Build the packages, and the systems on which they are tested."""
    for missing, build in products():
        if missing is None:
            build()


def products() -> Iterator[tuple[str | None, Callable[[], object]]]:
    """Yield each product: what is missing to build it, and the function that does."""
    for target in toolchains.TARGETS:
        yield packages.missing(target), partial(wheels.wheel, target)  # It builds the sdist, too.
    for target in sdk.LIBRARY:
        yield packages.missing(target), partial(sdk.unpacked, target)
    for build in (wine.prefix, wine.python):
        yield wine.missing(), build
    yield wine.missing() or packages.missing("windows-x64"), wine.package
    for build in (arm64.root, arm64.site_packages):
        yield arm64.missing(), build
    yield node_packages.missing(), node_packages.node_modules
    yield node_packages.whip_server_missing(), node_packages.whip_server


if __name__ == "__main__":
    main()
