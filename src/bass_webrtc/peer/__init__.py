"""WebRTC connections with remote peers, on the asyncio loop.

``LiteConnection`` (ICE-lite) shares the one UDP port of a server, ``FullConnection`` (full ICE) has its own sockets.
"""

from __future__ import annotations
