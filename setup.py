"""Everything else is in pyproject.toml; cffi takes its build script from here only."""

from __future__ import annotations

import os

from setuptools import setup
from setuptools.command.build_ext import build_ext


class BuildExtension(build_ext):
    """Names the core for the target; setuptools names it for the platform that it runs on."""

    def get_ext_filename(self, fullname: str) -> str:
        name: str = super().get_ext_filename(fullname)  # type: ignore[no-untyped-call]
        return name.replace(".abi3.so", ".pyd") if os.environ.get("BASS_WEBRTC_TARGET") == "windows-x64" else name


setup(cffi_modules=["src/bass_webrtc/core/build_core.py:ffibuilder"], cmdclass={"build_ext": BuildExtension})
