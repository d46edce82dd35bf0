"""What the tests share is built before they run, as far as this machine can."""

from __future__ import annotations

import pytest

import node_packages
import wheels
from support import arm64, packages, products, sdk, wine

BUILDERS = {
    (wheels, "wheel"): ("linux-x64", "linux-arm64", "windows-x64"),
    (sdk, "unpacked"): ("linux-x64", "windows-x64"),
    (wine, "prefix"): ("",),
    (wine, "python"): ("",),
    (wine, "package"): ("",),
    (arm64, "root"): ("",),
    (arm64, "site_packages"): ("",),
    (node_packages, "node_modules"): ("",),
    (node_packages, "whip_server"): ("",),
}
EVERYTHING = [f"{name} {target}".strip() for (_, name), targets in BUILDERS.items() for target in targets]
WINE = ["prefix", "python", "package"]
ARM64 = ["root", "site_packages"]
NODE = ["node_modules", "whip_server"]


@pytest.mark.parametrize(
    ("missing", "left_out"),
    [
        ((), []),
        (("wine",), WINE),
        (("arm64",), ARM64),
        (("node",), NODE),
        (("windows-x64",), ["wheel windows-x64", "unpacked windows-x64", "package"]),
        (("wine", "arm64", "node", "linux-x64", "linux-arm64", "windows-x64"), EVERYTHING),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_product_is_left_out_if_something_for_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], left_out: list[str]
) -> None:
    built: list[str] = []
    for module, name in BUILDERS:
        monkeypatch.setattr(module, name, lambda target="", name=name: built.append(f"{name} {target}".strip()))
    monkeypatch.setattr(packages, "missing", lambda target: "needs it" if target in missing else None)
    monkeypatch.setattr(wine, "missing", lambda: "needs it" if "wine" in missing else None)
    monkeypatch.setattr(arm64, "missing", lambda: "needs it" if "arm64" in missing else None)
    for name in ("missing", "whip_server_missing"):
        monkeypatch.setattr(node_packages, name, lambda: "needs it" if "node" in missing else None)
    products.main()
    assert built == [one for one in EVERYTHING if one not in left_out]
