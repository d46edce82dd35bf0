"""The public names and signatures that programs depend on."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import bass_webrtc
from bass_webrtc import aio, errors
from support.patience import PROCESS_S

ROOT = Path(__file__).parents[2]
PUBLIC = {name: getattr(bass_webrtc, name) for name in bass_webrtc.__all__}
CLASSES = [value for value in PUBLIC.values() if inspect.isclass(value)]


def test_all_lists_everything_importable() -> None:
    visible = {
        name
        for name, value in vars(bass_webrtc).items()
        if not name.startswith("_") and (not isinstance(value, ModuleType) or value is aio) and name != "annotations"
    }
    assert visible == set(bass_webrtc.__all__)
    assert list(bass_webrtc.__all__) == sorted(bass_webrtc.__all__)


def test_main_public_names_exist() -> None:
    assert set(PUBLIC) >= {"Server", "ServerConfig", "BassFile", "Tone", "PcmSource", "Peer", "PeerRequest", "aio"}


def test_every_error_is_public_and_in_the_hierarchy_of_its_module_docstring() -> None:
    defined = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
    assert set(defined) <= set(PUBLIC)
    assert set(re.findall(r"\b(\w+Error)\b", str(errors.__doc__))) == set(defined)
    assert all(issubclass(error, bass_webrtc.BassWebRtcError) for error in defined.values())


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_every_public_name_has_a_docstring(owner: type) -> None:
    assert owner.__doc__
    members = inspect.getmembers(owner, lambda member: inspect.isfunction(member) or isinstance(member, property))
    assert [name for name, member in members if not name.startswith("_") and not inspect.getdoc(member)] == []


NEVER_WAIT = {"on", "stats", "read", "read_input", "set_bitrate", "set_complexity", "invite", "revoke_invite"}
"""Methods that are no coroutines in ``bass_webrtc.aio``, either."""


def _public(owner: type) -> dict[str, object]:
    return {name: member for name, member in inspect.getmembers(owner) if not name.startswith("_")}


@pytest.mark.parametrize("name", ["Server", "WhipClient", "WhepClient"])
def test_aio_has_every_member_with_the_same_signature_as_a_coroutine_if_it_may_wait(name: str) -> None:
    blocking, twins = _public(PUBLIC[name]), _public(getattr(aio, name))
    assert set(blocking) <= set(twins)
    for member, value in blocking.items():
        twin = twins[member]
        if isinstance(value, property):
            assert isinstance(twin, property), member
            continue
        assert inspect.isfunction(value)
        assert inspect.isfunction(twin)
        assert inspect.signature(twin).parameters == inspect.signature(value).parameters, member
        assert not inspect.iscoroutinefunction(value), member
        assert inspect.iscoroutinefunction(twin) is (member not in NEVER_WAIT), member


def test_version_is_that_of_the_package() -> None:
    assert bass_webrtc.__version__ == importlib.metadata.version("bass-webrtc")


def test_readme_mentions_only_existing_names() -> None:
    named = set(re.findall(r"\bbw\.(\w+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named
    assert named <= set(PUBLIC)


@pytest.mark.parametrize("module", ["bass_webrtc", "bass_webrtc.capi.capi"])
def test_import_does_not_import_numpy(module: str) -> None:
    program = f"import sys, {module}; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], timeout=PROCESS_S, check=True)
