"""Full ICE: aioice with its faults worked around, gathering, consent."""

from __future__ import annotations
