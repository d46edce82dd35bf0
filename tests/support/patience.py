"""How long tests wait for other processes, which is no requirement of the product."""

from __future__ import annotations

import sys

PROCESS_S = 90.0 if sys.platform == "win32" else 20.0
"""For a process to start, work and end. Under Wine the start alone takes seconds, and more if the machine is busy."""
