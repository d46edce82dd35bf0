"""WHIP and WHEP over HTTP: exchanges session descriptions with the other side.

    server/   bytes ─► http_connection, http_server ─► Request ─► endpoint ─► Sessions (server/peers.py)
                          (aiohttp)                 ◄─ Response ◄─ site (page, statistics, metrics)

    client/   session ─► rules, patches, events ─► fetch ─► bytes
                                                 (aiohttp)

    both      messages (HTTP messages as values), ice_servers (``Link`` fields of STUN and TURN servers)

Only ``server/http_server.py``, ``server/http_connection.py`` and ``client/fetch.py`` do I/O. The server's rules are
sans-I/O: a ``Request`` and the time go in, a ``Response`` comes out. The endpoint reaches sessions through the two
protocols of ``server/sessions.py``.

Sources: RFC 9725 (WHIP), draft-ietf-wish-whep-03 (WHEP; its sections are not numbered), RFC 9110 (HTTP), RFC 6750
(bearer tokens), RFC 9457 (problem details), the Fetch standard (CORS).
"""
