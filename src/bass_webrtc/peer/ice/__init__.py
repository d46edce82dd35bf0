"""Full ICE on aioice (with its faults worked around): gathering, connectivity checks, nomination, consent."""

from __future__ import annotations
