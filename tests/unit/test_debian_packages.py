"""scripts/debian-packages.sh with fake system commands, so that nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "debian-packages.sh"
DPKG_QUERY = """
shift 3
for package; do case " $MISSING " in *" $package "*) ;; *) printf '%s=installed ' "$package" ;; esac; done
"""


class Machine:
    """A PATH of fake commands; those that would change the system only write to a log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.log.touch()
        self.missing = ""
        shell = shutil.which("sh")
        assert shell is not None
        for name, target in (("sh", shell), ("env", shutil.which("env")), ("python3", sys.executable)):
            (folder / name).symlink_to(str(target))
        self.command("dpkg-query", DPKG_QUERY)
        self.command("apt-get", f'echo "apt-get $* $DEBIAN_FRONTEND" >>{self.log}')
        self.command("id", "echo 0")

    def command(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!{self.folder}/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def run(self, profile: str = "build") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.folder), "MISSING": self.missing, "DEBIAN_FRONTEND": ""}
        return subprocess.run(
            [str(self.folder / "sh"), str(SCRIPT), profile],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    def calls(self) -> list[str]:
        return [line.strip() for line in self.log.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("profile", ["build", "check", "packages", "test"])
def test_nothing_happens_when_nothing_is_missing(machine: Machine, profile: str) -> None:
    result = machine.run(profile)
    assert (result.returncode, result.stdout, result.stderr, machine.calls()) == (0, "", "", [])


def test_missing_packages_are_listed_and_installed(machine: Machine) -> None:
    machine.missing = "libopus-dev chromium"
    result = machine.run()
    assert result.returncode == 0
    assert "Installing Debian packages: libopus-dev\n" in result.stderr
    assert machine.calls() == [
        "apt-get update -q",
        "apt-get install -q -y --no-install-recommends libopus-dev noninteractive",
    ]


def test_profile_test_installs_more_than_profile_build(machine: Machine) -> None:
    machine.missing = "libopus-dev chromium"
    machine.run("test")
    assert machine.calls()[-1].endswith("libopus-dev chromium noninteractive")


def test_profile_packages_is_part_of_profile_test(machine: Machine) -> None:
    machine.missing = "gcc-mingw-w64-x86-64-posix wine"
    machine.run("packages")
    assert machine.calls()[-1].endswith("gcc-mingw-w64-x86-64-posix noninteractive")
    machine.run("test")
    assert machine.calls()[-1].endswith("gcc-mingw-w64-x86-64-posix wine noninteractive")


def test_debian_python_is_installed_without_any_python(machine: Machine) -> None:
    (machine.folder / "python3").unlink()
    machine.missing = "python3 python3-venv python3-dev"
    machine.run()
    assert machine.calls()[-1].endswith("python3 python3-venv python3-dev noninteractive")


def test_debian_python_without_venv_gets_its_packages(machine: Machine) -> None:
    (machine.folder / "python3").unlink()
    machine.command("python3", "exit 1")
    machine.missing = "python3-venv python3-dev"
    machine.run()
    assert machine.calls()[-1].endswith("python3-venv python3-dev noninteractive")


def test_ordinary_user_uses_sudo(machine: Machine) -> None:
    machine.missing = "gcc"
    machine.command("id", "echo 1000")
    machine.command("sudo", f'echo sudo >>{machine.log}; exec "$@"')
    assert machine.run().returncode == 0
    assert [call.split()[0] for call in machine.calls()] == ["sudo", "apt-get"] * 2


def test_without_sudo_the_command_is_printed(machine: Machine) -> None:
    machine.missing = "gcc"
    machine.command("id", "echo 1000")
    result = machine.run()
    assert result.returncode == 1
    assert "apt-get install gcc" in result.stderr
    assert machine.calls() == []


def test_without_apt_get_the_packages_are_listed(machine: Machine) -> None:
    (machine.folder / "apt-get").unlink()
    result = machine.run()
    assert result.returncode == 0
    assert "libopus-dev" in result.stderr


def test_unknown_profile_is_refused(machine: Machine) -> None:
    assert machine.run("everything").returncode == 2
