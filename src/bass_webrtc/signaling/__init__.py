"""WHIP and WHEP over HTTP: how a peer's session description gets in and ours gets out.

    bytes ─► http_server.py ─► Request ─► endpoint.py (WHIP, WHEP) ─► Sessions (made by server.py)
                 aiohttp    ◄─ Response ◄─ site.py (page, statistics)

Only ``http_server.py`` and ``listening.py`` know of sockets. The rules are sans-I/O: a ``Request`` and the time go in,
a ``Response`` comes out, and sessions are reached through the two protocols of ``sessions.py``.

Sources: RFC 9725 (WHIP), draft-ietf-wish-whep-03 (WHEP; it numbers no sections), RFC 9110 (HTTP), RFC 6750 (bearer
tokens), RFC 9457 (problem details), the Fetch standard (CORS).
"""
