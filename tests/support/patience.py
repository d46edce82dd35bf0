"""How long tests wait, which is no requirement of the product: longer on Windows, which here is Wine."""

from __future__ import annotations

import sys

SLOWNESS = 6.0 if sys.platform == "win32" else 1.0
"""Factor for a time limit. Under Wine, Python starts in 3 s, and in 15 s on a busy machine."""

PROCESS_S = 20.0 * SLOWNESS
"""For a process to start, work and end."""
