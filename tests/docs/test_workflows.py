"""The GitHub workflows name only what exists: make targets, files, jobs; their actions are pinned.

They cannot run here. docs/releasing.md says so.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import c_library

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job.get("steps", [])


def commands(path: Path) -> str:
    return "\n".join(step["run"] for step in steps(path) if "run" in step)


def test_the_workflows_test_package_and_release() -> None:
    assert [path.stem for path in WORKFLOWS] == ["packages", "release", "test"]
    called = "\n".join(map(commands, WORKFLOWS))
    assert {".ci/run", "make docs", "make wheels", "make sdk"} <= set(re.findall(r"\.ci/run|make \w+", called))


@every_workflow
def test_workflow_says_that_it_has_not_run(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# Not yet run:")


@every_workflow
def test_make_targets_exist(path: Path) -> None:
    rules = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    assert set(re.findall(r"^make (\w[\w-]*)", commands(path), re.MULTILINE)) - targets == set()


@every_workflow
def test_files_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:\./)?((?:\.ci|\.github|scripts|tests|docs)/[\w./-]+)", text))
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


@every_workflow
def test_actions_are_pinned_to_a_commit_and_name_its_version(path: Path) -> None:
    for action in {step["uses"] for step in steps(path) if "uses" in step}:
        assert PINNED.fullmatch(action), action
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if action in line]
        assert all(re.search(r" # v\d+\.\d+\.\d+$", line) for line in lines), action


@every_workflow
def test_jobs_need_jobs_that_exist_and_may_only_read(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        needs = job.get("needs", [])
        assert ({needs} if isinstance(needs, str) else set(needs)) <= set(workflow["jobs"])


def test_sdk_with_an_unverified_python_is_not_published(tmp_path: Path) -> None:
    release = jobs(ROOT / ".github/workflows/release.yml")
    (command,) = (step["run"] for step in release["pypi"]["steps"] if "unverified" in step.get("run", ""))
    archive = tmp_path / "dist/bass-webrtc-sdk-win-x64.zip"
    archive.parent.mkdir()
    archive.touch()
    subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, check=True)
    archive.rename(archive.with_stem(f"{archive.stem}-unverified"))
    assert subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, check=False).returncode == 1


@every_workflow
def test_downloaded_artifacts_are_uploaded(path: Path) -> None:
    uploaded = {step["with"]["name"] for other in WORKFLOWS for step in steps(other) if "upload-artifact" in uses(step)}
    downloaded = {step["with"]["name"] for step in steps(path) if "download-artifact" in uses(step)}
    assert downloaded <= uploaded


def test_program_for_visual_studio_starts_a_server() -> None:
    """On Linux; with the compiler and the library of the workflow it is not run here."""
    source = ROOT / "tests" / "packages" / "server.c"
    assert source.relative_to(ROOT).as_posix().replace("/", "\\") in commands(ROOT / ".github/workflows/packages.yml")
    assert re.fullmatch(r"version \w{8}, port \d+\n", c_library.run(c_library.program(source)))


def test_each_cache_has_a_key_of_its_own() -> None:
    """Of two jobs with the same key, the second cannot save."""
    keys = [step["with"]["key"] for path in WORKFLOWS for step in steps(path) if "actions/cache@" in uses(step)]
    assert len(keys) == len(set(keys)) == 2


def uses(step: dict[str, Any]) -> str:
    return str(step.get("uses", ""))


def test_only_the_publishing_jobs_may_write() -> None:
    rights = {
        (path.stem, name): job["permissions"]
        for path in WORKFLOWS
        for name, job in jobs(path).items()
        if "permissions" in job
    }
    assert rights == {("release", "pypi"): {"id-token": "write"}, ("release", "release-page"): {"contents": "write"}}
