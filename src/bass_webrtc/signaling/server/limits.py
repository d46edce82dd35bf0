"""How often one client network may send requests (RFC 9725, 5), and whether a client is on this machine."""

from __future__ import annotations

import ipaddress
import logging
import math
from dataclasses import dataclass

from ...limited_log import LimitedLog
from ...rtc.candidate import is_loopback
from ..messages import Refused, Request

logger = logging.getLogger(__name__)

_MAX_KEYS = 4096
"""Networks remembered; the one not seen for the longest time is forgotten first."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often one client network may send a request."""

    per_s: float
    """Sustained requests per second."""
    burst: int
    """Requests at once. Large enough for an office full of players that reconnect through one NAT."""


class RateLimiter:
    """Generic cell rate algorithm: stores one number per key, the time at which its bucket is full again."""

    def __init__(self, rate: Rate, max_keys: int = _MAX_KEYS) -> None:
        self._interval_s = 1.0 / rate.per_s
        self._tolerance_s = self._interval_s * (rate.burst - 1)
        self._max_keys = max_keys
        self._full_at_s: dict[str, float] = {}

    def wait_s(self, key: str, now_s: float) -> float:
        """Count one request of ``key``.

        Returns:
            0 if the request is allowed; otherwise the seconds to wait, and the request is not counted.
        """
        wait_s = self.excess_s(key, now_s)
        full_at_s = max(now_s, self._full_at_s.pop(key, now_s))
        # Reinserted at the end: dicts keep insertion order, so the first key is the one not seen for longest.
        self._full_at_s[key] = full_at_s if wait_s > 0 else full_at_s + self._interval_s
        if len(self._full_at_s) > self._max_keys:
            del self._full_at_s[next(iter(self._full_at_s))]
        return wait_s

    def excess_s(self, key: str, now_s: float) -> float:
        """Return what ``wait_s`` would return, and count nothing."""
        return max(0.0, self._full_at_s.get(key, now_s) - now_s - self._tolerance_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates of one server, per client network."""

    all: Rate = Rate(per_s=100.0, burst=2000)
    """All requests, of any method and for any path. The page is about 20 of them."""
    post: Rate = Rate(per_s=20.0, burst=200)
    patch: Rate = Rate(per_s=50.0, burst=400)
    delete: Rate = Rate(per_s=50.0, burst=400)
    unauthorized: Rate = Rate(per_s=10.0, burst=100)
    """Responses with 401. Without this limit, tokens could be guessed at the rate of all requests."""
    limit_loopback: bool = False
    """Also limit programs on this machine. Off, because a local reverse proxy stands for many clients. All requests
    take turns, so that others do not wait for a program that sends too many."""


class RequestLimiter:
    """Applies ``Limits`` to requests. Used on one event loop.

    Attributes:
        refused: Number of requests that were refused. Any thread may read it.
    """

    def __init__(self, limits: Limits = Limits()) -> None:
        self.refused = 0
        self._limit_loopback = limits.limit_loopback
        self._all = _Limiter("requests", limits.all)
        self._methods = {
            method: _Limiter(f"{method} requests", rate)
            for method, rate in (("POST", limits.post), ("PATCH", limits.patch), ("DELETE", limits.delete))
        }
        self._unauthorized = _Limiter("requests without a valid token", limits.unauthorized)
        self._log = LimitedLog(logger)

    def check(self, method: str, remote: str, now_s: float) -> None:
        """Count a request.

        Args:
            method: Its method.
            remote: IP address of the client.
            now_s: Monotonic time in seconds.

        Raises:
            Refused: 429, with the seconds to wait in ``Retry-After`` (RFC 6585, 4).
        """
        network = limited_network(remote, limit_loopback=self._limit_loopback)
        if network is None:
            return
        self._refuse(self._unauthorized, self._unauthorized.excess_s(network, now_s), network, now_s)
        for limiter in (self._all, self._methods.get(method)):
            if limiter is not None:
                self._refuse(limiter, limiter.wait_s(network, now_s), network, now_s)

    def count_unauthorized(self, remote: str, now_s: float) -> None:
        """Count a request that was answered with 401."""
        network = limited_network(remote, limit_loopback=self._limit_loopback)
        if network is not None:
            self._unauthorized.wait_s(network, now_s)

    def _refuse(self, limiter: _Limiter, wait_s: float, network: str, now_s: float) -> None:
        if wait_s <= 0:
            return
        self.refused += 1
        excess = f"more than {limiter.rate.per_s:g} {limiter.what} per second"
        self._log.warning(f"refused: {excess} from {network}", now_s)
        detail = f"Too many requests: {excess} from your address."
        raise Refused(429, detail, (("Retry-After", str(math.ceil(wait_s))),))


class _Limiter(RateLimiter):
    def __init__(self, what: str, rate: Rate) -> None:
        super().__init__(rate)
        self.what = what
        self.rate = rate


_FORWARDING = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})


def is_loopback_client(request: Request) -> bool:
    """Return whether a program on this machine sent a request, and not a proxy on this machine for another client.

    Any header field of a proxy counts, even if a client made it up: it can only take rights away.
    """
    forwarded = any(name in _FORWARDING or name.startswith("x-forwarded-") for name in request.headers)
    return not forwarded and is_loopback(request.remote)


def limited_network(remote: str, *, limit_loopback: bool = False) -> str | None:
    """Return the network that a limit counts: an IPv4 address, or an IPv6 /64, which one subscriber has alone.

    Args:
        remote: IP address of the client. Other text is returned unchanged.
        limit_loopback: Whether loopback addresses count; if not, None is returned for them.
    """
    if not limit_loopback and is_loopback(remote):
        return None
    return client_network(remote)


def client_network(remote: str) -> str:
    """Return the network of a client: its IPv4 address, or its IPv6 /64. Other text is returned as it is."""
    if ":" not in remote and "%" not in remote:
        return remote
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return str(address)
