"""Remote peers on the asyncio loop: ``lite_connection.py`` on one UDP port for all (``mux.py``), ``full_connection.py``."""

from __future__ import annotations
