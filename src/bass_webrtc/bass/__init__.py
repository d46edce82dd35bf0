"""Bindings to BASS: find the library, check source handles, open files and devices.

No other Python module calls BASS. Start reading at ``open_source`` in ``source.py``. BASS is never given a Python
callback.
"""

from __future__ import annotations

from .channels import OwnedChannel, is_url, open_file, open_recording, reopen_recording
from .error_names import ERROR_ENDED, ERROR_HANDLE, ERROR_TIMEOUT, error_name
from .library import BassLibrary
from .locate import find_bass, kept_error_code
from .output import DEFAULT_OUTPUT, Output, find_splitter, open_output
from .source import BassSource, open_source
from .streams import InputStream, current_device, select_device

__all__ = [
    "DEFAULT_OUTPUT",
    "ERROR_ENDED",
    "ERROR_HANDLE",
    "ERROR_TIMEOUT",
    "BassLibrary",
    "BassSource",
    "InputStream",
    "Output",
    "OwnedChannel",
    "current_device",
    "error_name",
    "find_bass",
    "find_splitter",
    "is_url",
    "kept_error_code",
    "open_file",
    "open_output",
    "open_recording",
    "open_source",
    "reopen_recording",
    "select_device",
]
