"""The HTTP side of a server, made from its configuration: WHIP, WHEP, the page and the statistics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from ..config import ServerConfig, public_origin
from ..signaling.ice_servers import ice_server_links
from ..signaling.server.auth import TokenPolicy
from ..signaling.server.endpoint import Endpoint, EndpointSettings
from ..signaling.server.hosts import given_names
from ..signaling.server.http_server import HttpServer, HttpSettings
from ..signaling.server.sessions import Admit
from ..signaling.server.site import Site, SiteSettings
from ..stats import Kind, ServerStats
from . import self_signed
from .peers import ServerPeers

_RETRY_AFTER_S = 5


def make_endpoints(config: ServerConfig, peers: ServerPeers, admit: Admit, *, ice_lite: bool) -> list[Endpoint]:
    """Make the WHEP endpoint, the WHIP endpoint, or both, depending on ``signaling_mode``.

    Args:
        config: Settings of the server.
        peers: Creates the connections.
        admit: Calls the application's ``admit`` function.
        ice_lite: Whether the connections use ICE-lite.
    """

    def make(kind: Kind, path: str, token: str | None, other_token: str | None) -> Endpoint:
        settings = EndpointSettings(
            path=path,
            public_url=config.public_url or "",
            tokens=TokenPolicy(token, other_tokens=(other_token,) if other_token else ()),
            require_token_on_sessions=config.require_token_on_sessions,
            strict=config.strict_http,
            ice_lite=ice_lite,
            allow_origins=_origins(config),
            ice_links=lambda: ice_server_links(config.visitor_ice_servers, config.turn_secret, time.time()),
            retry_after_s=_RETRY_AFTER_S,
            channels=(lambda: peers.channels.names) if kind == "player" else tuple,
        )
        return Endpoint(kind, settings, peers, admit)

    play_token = config.play_token or config.token
    publish_token = config.publish_token or config.token
    endpoints = []
    if config.signaling_mode != "whip":
        endpoints.append(make("player", "/whep", play_token, publish_token))
    if config.signaling_mode != "whep":
        endpoints.append(make("publisher", "/whip", publish_token, play_token))
    return endpoints


def make_http_server(
    config: ServerConfig,
    endpoints: Sequence[Endpoint],
    peers: ServerPeers,
    stats: Callable[[], Awaitable[ServerStats]],
) -> HttpServer:
    """Make the HTTP server of the endpoints and the site; it is not started yet.

    Args:
        config: Settings of the server.
        endpoints: From ``make_endpoints``.
        peers: Those whose channels keep the pace while the server is healthy.
        stats: Returns current statistics; called on the loop thread.
    """
    has_page = config.demo_page and config.signaling_mode == "http"
    play_token = config.play_token or config.token
    settings = SiteSettings(
        has_page, _statistics_tokens(config), TokenPolicy(play_token, allow_query=True), _origins(config)
    )
    channels = peers.channel_stats if config.signaling_mode != "whip" else None
    site = Site(settings, stats, peers.channels.keep_pace, channels=channels)
    own = self_signed.certificate_file(config) if config.tls_self_signed else None
    http = HttpSettings(
        host=config.http_host,
        port=config.http_port,
        tls_certificate=own or config.tls_certificate,
        tls_key=own or config.tls_key,
        allowed_hosts=given_names(config),
        trusted_proxies=config.trusted_proxies,
        max_connections=config.max_connections,
        max_connections_per_address=config.max_connections_per_address,
    )
    return HttpServer(http, [*endpoints, site])


def _origins(config: ServerConfig) -> tuple[str, ...]:
    """Return the origins whose pages may use the server: its own page is at ``public_url``, too."""
    return (*config.allow_origins, *((public_origin(config.public_url),) if config.public_url else ()))


def _statistics_tokens(config: ServerConfig) -> TokenPolicy:
    """Statistics contain addresses of peers: if the server has any token, they require one."""
    configured = (config.token,) if config.token else (config.play_token, config.publish_token)
    tokens = tuple(token for token in configured if token)
    return TokenPolicy(tokens[0], tokens[1:], allow_query=True) if tokens else TokenPolicy()
