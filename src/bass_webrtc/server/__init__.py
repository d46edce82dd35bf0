"""A server between ``start`` and ``stop``, its peers, and what it answers over HTTP."""

from __future__ import annotations
