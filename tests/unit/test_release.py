"""scripts/release.py: the version and the changelog of a release."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest

import bass_webrtc
import release

ROOT = Path(__file__).parents[2]
DAY = datetime.date(2031, 2, 3)
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- New.\n\n## [0.0.1] - 2030-01-01\n\n### Added\n\n- Old.\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the files that contain the version, with a changelog of two sections."""
    for name in (release.SOURCE, *dict(release.NUMBERED)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / release.CHANGELOG).write_text(CHANGELOG, encoding="utf-8")
    return tmp_path


def test_version_is_read_from_the_package() -> None:
    assert release.version() == bass_webrtc.__version__


def test_every_file_has_the_version_of_the_package(tree: Path) -> None:
    (tree / release.CHANGELOG).write_text(
        f"## [Unreleased]\n\n## [{release.version()}] - 2030-01-01\n\n- Some.\n", encoding="utf-8"
    )
    assert release.notes(f"v{release.version()}", tree) == "- Some."


def test_prepared_tree_is_the_release(tree: Path) -> None:
    release.prepare("12.3.40", DAY, tree)
    assert release.version(tree) == "12.3.40"
    assert "#define BASS_WEBRTC_VERSION 0x0c032800 /* 12.3.40.0 */\n" in (tree / release.NUMBERED[0][0]).read_text(
        encoding="utf-8"
    )
    assert "## [Unreleased]\n\n## [12.3.40] - 2031-02-03\n\n### Added" in (tree / release.CHANGELOG).read_text(
        encoding="utf-8"
    )
    assert release.notes("v12.3.40", tree) == "### Added\n\n- New."


def test_prepare_changes_nothing_but_the_version(tree: Path) -> None:
    release.prepare("12.3.40", DAY, tree)
    for name in (release.SOURCE, *dict(release.NUMBERED)):
        before, after = ((folder / name).read_text(encoding="utf-8").splitlines() for folder in (ROOT, tree))
        assert sum(old != new for old, new in zip(before, after, strict=True)) == 1, name


@pytest.mark.parametrize(
    ("version", "changelog", "message"),
    [
        ("1.2", CHANGELOG, "expected three numbers"),
        ("v1.2.3", CHANGELOG, "expected three numbers"),
        ("0.0.1", CHANGELOG, "has a section \\[0.0.1\\] already"),
        ("1.2.3", CHANGELOG.replace("### Added\n\n- New.\n", ""), "nothing under \\[Unreleased\\]"),
    ],
)
def test_prepare_refuses_what_is_no_release(tree: Path, version: str, changelog: str, message: str) -> None:
    (tree / release.CHANGELOG).write_text(changelog, encoding="utf-8")
    with pytest.raises(release.ReleaseError, match=message):
        release.prepare(version, DAY, tree)
    assert release.version(tree) == bass_webrtc.__version__


def test_notes_refuse_another_tag(tree: Path) -> None:
    release.prepare("1.2.3", DAY, tree)
    with pytest.raises(release.ReleaseError, match=r"the tag is v1\.2\.4, .* expected v1\.2\.3"):
        release.notes("v1.2.4", tree)


def test_notes_refuse_a_file_of_another_version(tree: Path) -> None:
    release.prepare("1.2.3", DAY, tree)
    name = release.NUMBERED[1][0]
    shutil.copy(ROOT / name, tree / name)
    with pytest.raises(release.ReleaseError, match=r"BassWebRtc\.cs has another version"):
        release.notes("v1.2.3", tree)


def test_notes_refuse_unreleased_changes_and_a_missing_date(tree: Path) -> None:
    release.prepare("1.2.3", DAY, tree)
    prepared = (tree / release.CHANGELOG).read_text(encoding="utf-8")
    (tree / release.CHANGELOG).write_text(
        prepared.replace("[Unreleased]\n", "[Unreleased]\n\n- Late.\n"), encoding="utf-8"
    )
    with pytest.raises(release.ReleaseError, match="changes under"):
        release.notes("v1.2.3", tree)
    (tree / release.CHANGELOG).write_text(prepared.replace(" - 2031-02-03", ""), encoding="utf-8")
    with pytest.raises(release.ReleaseError, match="YYYY-MM-DD"):
        release.notes("v1.2.3", tree)
