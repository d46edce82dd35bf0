"""The page and its files, statistics and health, without a socket."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from bass_webrtc.signaling.messages import Headers, Response
from bass_webrtc.signaling.messages import Request as HttpRequest
from bass_webrtc.signaling.server.auth import TokenPolicy
from bass_webrtc.signaling.server.site import Site, SiteSettings
from bass_webrtc.stats import ChannelStats, PeerStats, ServerStats
from support.conformance import covers
from support.signaling import header

STATS = ServerStats(active_peers=1, peers=(PeerStats(7, "player", "connected", 1.5),))
SCRIPT = b"console.log('hello')"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "web").mkdir()
    for name, content in {
        "index.html": b"<!doctype html>",
        "player.js": SCRIPT,
        "style.css": b"body {}",
        "icon.svg": b"<svg/>",
        "notes.md": b"not public",
        "__init__.py": b"",
    }.items():
        (tmp_path / "web" / name).write_bytes(content)
    (tmp_path / "web" / "folder.js").mkdir()
    (tmp_path / "secret.html").write_bytes(b"outside")
    return tmp_path / "web"


def make_site(
    folder: Path, settings: SiteSettings | None = None, *, stats: ServerStats = STATS, healthy: bool = True
) -> Site:
    async def collect() -> ServerStats:
        return stats

    return Site(settings or SiteSettings(), collect, lambda: healthy, folder, lambda: stats.channels)


async def ask(site: Site, path: str, method: str = "GET", **headers: str) -> Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.respond(HttpRequest(method, path, Headers(fields.items())))


async def test_channels_are_listed_for_players_without_addresses(folder: Path) -> None:
    channels = (ChannelStats("main", (128, 48), 3), ChannelStats("jazz", (64,), source_ended=True))
    settings = SiteSettings(tokens=TokenPolicy("statistics"), play_tokens=TokenPolicy("play", allow_query=True))
    site = make_site(folder, settings, stats=replace(ADDRESSED, channels=channels))
    assert (await ask(site, "/api/channels")).status == 401
    response = await ask(site, "/api/channels", Authorization="Bearer play")
    expected = [
        {"name": "main", "url": "/whep", "listeners": 3, "bitrates_kbps": [128, 48], "source_ended": False},
        {"name": "jazz", "url": "/whep/jazz", "listeners": 0, "bitrates_kbps": [64], "source_ended": True},
    ]
    assert json.loads(response.body) == {"channels": expected}


async def test_list_of_channels_does_without_the_statistics_of_peers(folder: Path) -> None:
    """Those of 1,000 take 35 ms."""

    async def collect() -> ServerStats:
        pytest.fail("collected")

    site = Site(SiteSettings(), collect, lambda: True, folder, lambda: (ChannelStats("main", (128,), 3),))
    response = await ask(site, "/api/channels")
    assert [channel["listeners"] for channel in json.loads(response.body)["channels"]] == [3]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/player.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
async def test_files_have_their_type_and_a_strict_policy(folder: Path, path: str, content_type: str) -> None:
    response = await ask(make_site(folder), path)
    assert response.status == 200
    assert response.body
    assert header(response, "Content-Type") == content_type
    policy = header(response, "Content-Security-Policy").split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in str(policy)


@covers("SE65")
@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html",
        "/..%2fsecret.html",
        "/%2e%2e/secret.html",
        "//secret.html",
        "/notes.md",
        "/__init__.py",
        "/folder.js",
        "/player.js/",
        "/PLAYER.JS",
        "",
    ],
)
def test_other_paths_do_not_exist(folder: Path, path: str) -> None:
    """Files are served from a table, so path traversal is impossible."""
    assert not make_site(folder).serves(path)


@pytest.mark.parametrize("condition", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
async def test_cached_file_is_not_sent_again(folder: Path, condition: str) -> None:
    """RFC 9110, 13.1.2: weak comparison."""
    site = make_site(folder)
    first = await ask(site, "/player.js")
    assert header(first, "Cache-Control") == "no-cache"
    again = await ask(site, "/player.js", If_None_Match=condition.replace("{tag}", header(first, "ETag")))
    assert (again.status, again.body) == (304, b"")
    assert header(again, "ETag") == header(first, "ETag")
    other = await ask(site, "/player.js", If_None_Match='"other"')
    assert (other.status, other.body) == (200, SCRIPT)


def test_statistics_are_served_without_the_page(folder: Path) -> None:
    site = make_site(folder, SiteSettings(page=False))
    assert [path for path in ("/", "/player.js", "/api/stats", "/healthz", "/metrics") if site.serves(path)] == [
        "/api/stats",
        "/healthz",
        "/metrics",
    ]


async def test_statistics_are_served_as_json(folder: Path) -> None:
    response = await ask(make_site(folder), "/api/stats")
    assert header(response, "Content-Type") == "application/json"
    assert header(response, "Cache-Control") == "no-store"
    assert json.loads(response.body) == json.loads(json.dumps(STATS.as_dict()))


async def test_infinities_become_null_in_json(folder: Path) -> None:
    """JSON.parse would refuse them."""
    stats = ServerStats(peers=(PeerStats(7, "player", "connected", math.inf, jitter_ms=math.nan, fraction_lost=0.5),))
    document = json.loads((await ask(make_site(folder, stats=stats), "/api/stats")).body, parse_constant=pytest.fail)
    peer = document["peers"][0]
    assert (peer["connected_s"], peer["jitter_ms"], peer["fraction_lost"]) == (None, None, 0.5)


@pytest.mark.parametrize(("healthy", "status"), [(True, 200), (False, 503)])
async def test_health_is_200_or_503(folder: Path, healthy: bool, status: int) -> None:
    assert (await ask(make_site(folder, healthy=healthy), "/healthz")).status == status


@pytest.mark.parametrize("path", ["/api/stats", "/metrics"])
async def test_statistics_require_the_token(folder: Path, path: str) -> None:
    """They contain the addresses of all peers. The page and the health check are public."""
    site = make_site(folder, SiteSettings(tokens=TokenPolicy("sesame")))
    assert (await ask(site, path)).status == 401
    assert (await ask(site, path, Authorization="Bearer sesame")).status == 200
    for public in ("/", "/healthz"):
        assert (await ask(site, public)).status == 200


@pytest.mark.parametrize("path", ["/", "/api/stats", "/healthz", "/metrics"])
async def test_only_reading_methods_are_allowed(folder: Path, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "BREW"):
        response = await ask(make_site(folder), path, method)
        assert response.status == 405
        assert header(response, "Allow") == "OPTIONS, GET, HEAD"
    assert (await ask(make_site(folder), path, "HEAD")).status == 200


async def test_allowed_origins_may_read_statistics(folder: Path) -> None:
    origin = "https://radio.example"
    site = make_site(folder, SiteSettings(allow_origins=(origin,)))
    preflight = await ask(site, "/api/stats", "OPTIONS", Origin=origin, Access_Control_Request_Method="GET")
    assert preflight.status == 204
    assert "Authorization" in header(preflight, "Access-Control-Allow-Headers")
    assert header(await ask(site, "/api/stats", Origin=origin), "Access-Control-Allow-Origin") == origin
    assert (await ask(site, "/api/stats", Origin="null")).header("Access-Control-Allow-Origin") is None


async def test_package_contains_the_page() -> None:
    async def collect() -> ServerStats:
        return STATS

    assert (await ask(Site(SiteSettings(), collect, lambda: True), "/")).status == 200


ADDRESSED = ServerStats(
    peers=(PeerStats(7, "player", "connected", 1.5, local_address="192.0.2.1:8189", remote_address="192.0.2.7:5000"),)
)


@covers("SE62")
@pytest.mark.parametrize(
    ("remote", "fields", "token", "shown"),
    [
        ("127.0.0.1", {}, None, True),
        ("::1", {}, None, True),
        ("192.0.2.9", {}, None, False),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.9"}, None, False),
        ("127.0.0.1", {"Via": "1.1 proxy"}, None, False),
        ("192.0.2.9", {"Authorization": "Bearer sesame"}, "sesame", True),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.9", "Authorization": "Bearer sesame"}, "sesame", True),
    ],
)
async def test_addresses_of_peers_are_for_this_machine_and_for_tokens(
    folder: Path, remote: str, fields: dict[str, str], token: str | None, shown: bool
) -> None:
    site = make_site(folder, SiteSettings(tokens=TokenPolicy(token)), stats=ADDRESSED)
    bodies = {}
    for path in ("/api/stats", "/metrics"):
        response = await site.respond(HttpRequest("GET", path, Headers(fields.items()), remote=remote))
        assert response.status == 200
        bodies[path] = response.body
    assert b"192.0.2" not in bodies["/metrics"]
    (peer,) = json.loads(bodies["/api/stats"])["peers"]
    expected = ("192.0.2.1:8189", "192.0.2.7:5000") if shown else ("", "")
    assert (peer["local_address"], peer["remote_address"]) == expected
