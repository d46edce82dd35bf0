"""The HTTP side of a server, made from its configuration: WHIP, WHEP, calls, the desk, the pages and the statistics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from ..config import ServerConfig, public_origin
from ..signaling.ice_servers import ice_server_links
from ..signaling.server.auth import InviteOrToken, TokenPolicy
from ..signaling.server.desk import Desk, DeskSettings
from ..signaling.server.endpoint import Endpoint, EndpointSettings
from ..signaling.server.hosts import given_names
from ..signaling.server.http_server import Handler, HttpServer, HttpSettings
from ..signaling.server.sessions import Admit
from ..signaling.server.site import Site, SiteSettings
from ..stats import ServerStats
from . import self_signed
from .calls import ServerCalls
from .peers import ServerPeers

_RETRY_AFTER_S = 5


def make_endpoints(
    config: ServerConfig, peers: ServerPeers, calls: ServerCalls | None, site: Site, admit: Admit, *, ice_lite: bool
) -> list[Endpoint]:
    """Make the endpoints: of WHEP and WHIP, or one of them, depending on ``signaling_mode``; of callers and producers.

    Args:
        config: Settings of the server.
        peers: Creates the connections.
        calls: Creates those of callers and producers; None: there are none.
        site: Has the page of callers.
        admit: Calls the application's ``admit`` function.
        ice_lite: Whether the connections use ICE-lite.
    """
    common = EndpointSettings(
        path="",
        public_url=config.public_url or "",
        require_token_on_sessions=config.require_token_on_sessions,
        strict=config.strict_http,
        ice_lite=ice_lite,
        allow_origins=_origins(config),
        ice_links=lambda: ice_server_links(config.visitor_ice_servers, config.turn_secret, time.time()),
        retry_after_s=_RETRY_AFTER_S,
    )
    play_token = config.play_token or config.token
    publish_token = config.publish_token or config.token
    to_publish = TokenPolicy(publish_token, other_tokens=(play_token,) if play_token else ())
    endpoints = []
    if config.signaling_mode != "whip":
        tokens = TokenPolicy(play_token, other_tokens=(publish_token,) if publish_token else ())
        settings = replace(common, path="/whep", tokens=tokens, channels=lambda: peers.channels.names)
        endpoints.append(Endpoint("player", settings, peers, admit))
    if config.signaling_mode != "whep":
        endpoints.append(Endpoint("publisher", replace(common, path="/whip", tokens=to_publish), peers, admit))
    if calls is not None and config.signaling_mode == "http":
        guests = replace(
            common,
            path="/call",
            tokens=InviteOrToken(publish_token, to_publish.more_tokens, to_publish.other_tokens, invites=calls.invites),
            require_token_on_sessions=False,  # A guest has an invite, which was for the call.
            page=lambda request: site.send_page("/call", request),
            describe=calls.describe,
            ending=calls.ending,
        )
        endpoints.append(Endpoint("sendrecv", guests, calls.guests, admit))
        if config.desk_token is not None:
            producers = replace(
                common, path="/desk/audio", tokens=TokenPolicy(config.desk_token), allow_origins=_own_origin(config)
            )
            endpoints.append(Endpoint("sendrecv", producers, calls.producers))
    return endpoints


def make_site(config: ServerConfig, peers: ServerPeers, stats: Callable[[], Awaitable[ServerStats]]) -> Site:
    """Make the pages, and what says how the server is.

    Args:
        config: Settings of the server.
        peers: Those whose channels keep the pace while the server is healthy.
        stats: Returns current statistics; called on the loop thread.
    """
    has_pages = config.signaling_mode == "http"
    play_token = config.play_token or config.token
    settings = SiteSettings(
        config.demo_page and has_pages,
        _call_pages(config) if has_pages else (),
        _statistics_tokens(config),
        TokenPolicy(play_token, allow_query=True),
        _origins(config),
    )
    channels = peers.channel_stats if config.signaling_mode != "whip" else None
    return Site(settings, stats, peers.channels.keep_pace, channels=channels)


def make_http_server(
    config: ServerConfig, endpoints: Sequence[Endpoint], site: Site, calls: ServerCalls | None
) -> HttpServer:
    """Make the HTTP server; it is not started yet.

    Args:
        config: Settings of the server.
        endpoints: From ``make_endpoints``.
        site: From ``make_site``.
        calls: What the desk shows; None: there is no desk.
    """
    handlers: list[Handler] = [*endpoints, site]
    if calls is not None and config.desk_token is not None:
        handlers.append(Desk(DeskSettings(config.desk_token, config.public_url or ""), calls))
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
    return HttpServer(http, handlers)


def _origins(config: ServerConfig) -> tuple[str, ...]:
    """Return the origins whose pages may use the server: its own page is at ``public_url``, too."""
    return (*config.allow_origins, *_own_origin(config))


def _own_origin(config: ServerConfig) -> tuple[str, ...]:
    """Return the origin of the server's own page, besides that of the request."""
    return (public_origin(config.public_url),) if config.public_url else ()


def _call_pages(config: ServerConfig) -> tuple[str, ...]:
    if config.calls is None:
        return ()
    return ("call", "desk") if config.desk_token is not None else ("call",)


def _statistics_tokens(config: ServerConfig) -> TokenPolicy:
    """Statistics contain addresses of peers: if the server has any token, they require one."""
    configured = (config.token,) if config.token else (config.play_token, config.publish_token)
    tokens = tuple(token for token in configured if token)
    return TokenPolicy(tokens[0], tokens[1:], allow_query=True) if tokens else TokenPolicy()
