"""Remote peers on the asyncio loop: one UDP port for all (``mux.py``), one connection each (``connection.py``)."""

from __future__ import annotations
