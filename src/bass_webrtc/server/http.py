"""What a server answers over HTTP: WHIP, WHEP, the page and the statistics, as its settings want it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..config import ServerConfig
from ..signaling.ice_servers import visitor_links
from ..signaling.server.auth import TokenPolicy
from ..signaling.server.endpoint import Endpoint, EndpointSettings
from ..signaling.server.http_server import HttpServer, HttpSettings
from ..signaling.server.sessions import Admit, Sessions
from ..signaling.server.site import Site, SiteSettings
from ..stats import Kind, ServerStats

_SECONDS_TO_RETRY = 5


def make_endpoints(config: ServerConfig, sessions: Sessions, admit: Admit, *, ice_lite: bool) -> list[Endpoint]:
    """WHEP, WHIP, or both.

    Args:
        config: The server's settings.
        sessions: Makes the connections.
        admit: Asks the program.
        ice_lite: Whether that is the kind of ICE that the connections have.
    """

    def make(kind: Kind, path: str, token: str | None, other_token: str | None) -> Endpoint:
        settings = EndpointSettings(
            path=path,
            tokens=TokenPolicy(token, other_tokens=(other_token,) if other_token else ()),
            require_token_on_sessions=config.require_token_on_sessions,
            strict=config.strict_http,
            ice_lite=ice_lite,
            allow_origins=config.allow_origins,
            ice_links=lambda: visitor_links(config.visitor_ice_servers, config.turn_secret, time.time()),
            retry_after_s=_SECONDS_TO_RETRY,
        )
        return Endpoint(kind, settings, sessions, admit)

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
    stats: Callable[[], ServerStats],
    is_healthy: Callable[[], bool],
) -> HttpServer:
    """The endpoints and the site on one port; not started yet."""
    has_page = config.demo_page and config.signaling_mode == "http"
    site = Site(SiteSettings(has_page, _statistics_tokens(config), config.allow_origins), stats, is_healthy)
    settings = HttpSettings(
        host=config.http_host,
        port=config.http_port,
        tls_certificate=config.tls_certificate,
        tls_key=config.tls_key,
        allowed_hosts=config.allowed_hosts,
        trusted_proxies=config.trusted_proxies,
    )
    return HttpServer(settings, [*endpoints, site])


def _statistics_tokens(config: ServerConfig) -> TokenPolicy:
    """Statistics name addresses, so a server that knows tokens shows them to nobody without one."""
    wanted = (config.token,) if config.token else (config.play_token, config.publish_token)
    tokens = tuple(token for token in wanted if token)
    return TokenPolicy(tokens[0], tokens[1:], allow_query=True) if tokens else TokenPolicy()
