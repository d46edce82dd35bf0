"""Names the requirements of docs/conformance.md that a test covers: ``@covers("WS28", "SE61")``."""

from __future__ import annotations

import pytest

covers = pytest.mark.covers
