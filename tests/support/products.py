"""Builds what the tests of packages and the tests under Wine share, before they run.

On a fresh machine that takes longer than any test may, and parallel tests would wait for the same builds. What is in
the cache already costs seconds.
"""

from __future__ import annotations

import toolchains
import wheels

from . import arm64, sdk, wine


def main() -> None:
    """Build the packages, and the systems on which they are tested."""
    wheels.sdist()
    for target in toolchains.TARGETS:
        wheels.wheel(target)
    for target in sdk.LIBRARY:
        sdk.unpacked(target)
    wine.prefix()
    wine.python()
    wine.package()
    arm64.root()
    arm64.site_packages()


if __name__ == "__main__":
    main()
