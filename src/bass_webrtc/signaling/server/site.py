"""The site beside the endpoints: the page and its files, statistics, health and metrics.

Files are read once at start into a table of paths. A path that is not in the table does not exist, so path traversal is
impossible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable

from ...stats import ChannelStats, ServerStats
from ..messages import Fields, Refused, Request, Response
from .auth import TokenPolicy
from .cors import Cors
from .limits import is_loopback_client
from .metrics import CONTENT_TYPE, families
from .sessions import lists_entity_tag
from .snapshots import Snapshots, anonymous_json, channels_json, full_json

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
_OWN_ONLY = ("connect", "font", "img", "manifest", "media", "script", "style", "worker")
_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in _OWN_ONLY),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)
"""Only files of this server, nothing inline: text shown in the page can never become a script."""
_PAGE_FIELDS: Fields = (
    ("Content-Security-Policy", _POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),  # Cached but revalidated: file names do not change with their content.
)
_METHODS = "OPTIONS, GET, HEAD"


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """Settings of the site."""

    page: bool = True
    """Serve the page at ``/``."""
    pages: tuple[str, ...] = ()
    """Names of the other pages to serve: each is an HTML file, and at its name without ``.html``."""
    tokens: TokenPolicy = field(default_factory=TokenPolicy)
    """Required for statistics and metrics. Without a token, only programs on this machine see addresses of peers."""
    play_tokens: TokenPolicy = field(default_factory=TokenPolicy)
    """Required for the list of channels."""
    allow_origins: tuple[str, ...] = ()
    """Web origins that may read the statistics and the list of channels."""


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    entity_tag: str
    content: bytes


class Site:
    """Serves ``/`` and the other pages, their files, ``/api/channels``, ``/api/stats``, ``/healthz`` and ``/metrics``.

    Args:
        settings: Settings of the site.
        stats: Returns current statistics; called on the loop thread, at most 10 times per second.
        is_healthy: Returns whether audio is being sent.
        folder: Folder with the page's files; by default the one in the package.
        channels: Returns statistics of the channels, as ``stats``; None: players are not served, nor is their list.
    """

    def __init__(
        self,
        settings: SiteSettings,
        stats: Callable[[], Awaitable[ServerStats]],
        is_healthy: Callable[[], bool],
        folder: Traversable | None = None,
        channels: Callable[[], Sequence[ChannelStats]] | None = None,
    ) -> None:
        self.cors = Cors(settings.allow_origins)
        self._tokens = settings.tokens
        self._play_tokens = settings.play_tokens
        self._snapshots = Snapshots(stats)
        self._is_healthy = is_healthy
        self._files = _chosen_files(folder or files("bass_webrtc") / "web", settings)
        self._routes: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/api/stats": self._statistics,
            "/healthz": self._health,
            "/metrics": self._metrics,
        }
        if channels is not None:
            self._routes["/api/channels"] = self._channels(channels)

    def serves(self, path: str) -> bool:
        """Return whether a path exists."""
        return path in self._routes or path in self._files

    def send_page(self, path: str, request: Request) -> Response:
        """Answer GET or HEAD with one of the files."""
        return _send_file(self._files[path], request)

    async def respond(self, request: Request) -> Response:
        """Answer one request."""
        try:
            response = await self._dispatch(request)
        except Refused as refusal:
            response = refusal.response()
        return response.with_fields(self.cors.fields(request))

    async def _dispatch(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(204, (("Allow", _METHODS), *self.cors.preflight_fields(request)))
        if request.method not in _METHODS.split(", "):
            raise Refused(405, f"{request.method} is not allowed here.", (("Allow", _METHODS),))
        route = self._routes.get(request.path)
        return self.send_page(request.path, request) if route is None else await route(request)

    def _channels(self, channels: Callable[[], Sequence[ChannelStats]]) -> Callable[[Request], Awaitable[Response]]:
        async def collect() -> Sequence[ChannelStats]:
            return channels()

        snapshots = Snapshots(collect)  # Without the peers, whose statistics take longer.

        async def answer(request: Request) -> Response:
            self._play_tokens.check(request)
            return _data("application/json", await snapshots.encoded(channels_json))

        return answer

    async def _statistics(self, request: Request) -> Response:
        self._tokens.check(request)
        shows_addresses = self._tokens.token is not None or is_loopback_client(request)
        body = await self._snapshots.encoded(full_json if shows_addresses else anonymous_json)
        return _data("application/json", body)

    async def _metrics(self, request: Request) -> Response:
        self._tokens.check(request)
        return _data(CONTENT_TYPE, await self._snapshots.encoded(families))

    async def _health(self, _request: Request) -> Response:
        if self._is_healthy():
            return _data("application/json", b'{"status": "ok"}')
        raise Refused(503, "The server is not sending audio.")


def _chosen_files(folder: Traversable, settings: SiteSettings) -> dict[str, _File]:
    """Return the files to serve, by path: the pages that are wanted, and what pages use."""
    if not settings.page and not settings.pages:
        return {}
    found = dict(_read_files(folder))
    kept = {path: file for path, file in found.items() if not path.endswith((".html", "/"))}
    if settings.page:
        kept |= {path: found[path] for path in ("/", "/index.html") if path in found}
    return kept | {f"/{name}": found[f"/{name}.html"] for name in settings.pages}


def _read_files(folder: Traversable) -> Iterator[tuple[str, _File]]:
    for entry in folder.iterdir():
        content_type = _TYPES.get(entry.name.rpartition(".")[2])
        if content_type is None or not entry.is_file():
            continue
        content = entry.read_bytes()
        file = _File(content_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"', content)
        yield f"/{entry.name}", file
        if entry.name == "index.html":
            yield "/", file


def _send_file(file: _File, request: Request) -> Response:
    """Return 200 with the file, or 304 if the browser's cached copy is current (RFC 9110, 13.1.2)."""
    fields: Fields = (("ETag", file.entity_tag), *_PAGE_FIELDS)
    if lists_entity_tag(request.headers.all("If-None-Match"), file.entity_tag):
        return Response(304, fields)
    return Response(200, (("Content-Type", file.content_type), *fields), file.content)


def _data(content_type: str, body: bytes) -> Response:
    return Response(200, (("Content-Type", content_type), ("Cache-Control", "no-store")), body)
