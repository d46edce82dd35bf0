"""Tells PyInstaller what a frozen program needs; the entry point ``pyinstaller40`` in pyproject.toml leads here."""

from __future__ import annotations

from pathlib import Path


def hook_dirs() -> list[str]:
    """The folder of the hook."""
    return [str(Path(__file__).parent)]
