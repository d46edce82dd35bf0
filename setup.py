"""Everything else is in pyproject.toml; cffi takes its build script from here only."""

from __future__ import annotations

from setuptools import setup

setup(cffi_modules=["src/bass_webrtc/core/build_core.py:ffibuilder"])
