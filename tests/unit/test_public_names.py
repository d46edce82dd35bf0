"""The names that programs are written against."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import bass_webrtc
from bass_webrtc import aio, errors

ROOT = Path(__file__).parents[2]
PUBLIC = {name: getattr(bass_webrtc, name) for name in bass_webrtc.__all__}
CLASSES = [value for value in PUBLIC.values() if inspect.isclass(value)]


def test_all_is_what_can_be_imported() -> None:
    visible = {
        name
        for name, value in vars(bass_webrtc).items()
        if not name.startswith("_") and (not isinstance(value, ModuleType) or value is aio) and name != "annotations"
    }
    assert visible == set(bass_webrtc.__all__)
    assert list(bass_webrtc.__all__) == sorted(bass_webrtc.__all__)


def test_the_names_that_readme_and_programs_start_from_are_there() -> None:
    assert set(PUBLIC) >= {"Server", "ServerConfig", "BassFile", "Tone", "PcmSource", "Peer", "PeerRequest", "aio"}


def test_every_error_is_public_and_stands_in_the_tree_that_its_module_draws() -> None:
    defined = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
    assert set(defined) <= set(PUBLIC)
    assert set(re.findall(r"\b(\w+Error)\b", str(errors.__doc__))) == set(defined)
    assert all(issubclass(error, bass_webrtc.BassWebRtcError) for error in defined.values())


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_every_public_name_has_a_docstring(owner: type) -> None:
    assert owner.__doc__
    members = inspect.getmembers(owner, lambda member: inspect.isfunction(member) or isinstance(member, property))
    assert [name for name, member in members if not name.startswith("_") and not inspect.getdoc(member)] == []


def test_aio_has_an_awaitable_twin_for_each_call_that_blocks() -> None:
    for name in ("start", "stop", "close"):
        assert inspect.iscoroutinefunction(getattr(aio.Server, name))
        assert not inspect.iscoroutinefunction(getattr(bass_webrtc.Server, name))


def test_the_version_is_the_packages() -> None:
    assert bass_webrtc.__version__ == importlib.metadata.version("bass-webrtc")


def test_readme_names_only_what_exists() -> None:
    named = set(re.findall(r"\bbw\.(\w+)", (ROOT / "README.md").read_text()))
    assert named
    assert named <= set(PUBLIC)
