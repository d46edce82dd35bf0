"""How much longer than on Linux a test may wait on Windows, which here is Wine, on a machine with other tests."""

from __future__ import annotations

import sys

SLOWNESS = 6.0 if sys.platform == "win32" else 1.0
"""Factor for a time limit. Under Wine, Python starts in 3 s, and in 15 s on a busy machine."""
