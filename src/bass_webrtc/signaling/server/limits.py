"""Rate limits for POST, PATCH and DELETE (RFC 9725, 5) per client network."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field

from ..messages import Refused

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
        full_at_s = max(now_s, self._full_at_s.pop(key, now_s))
        wait_s = full_at_s - now_s - self._tolerance_s
        # Reinserted at the end: dicts keep insertion order, so the first key is the one not seen for longest.
        self._full_at_s[key] = full_at_s if wait_s > 0 else full_at_s + self._interval_s
        if len(self._full_at_s) > self._max_keys:
            del self._full_at_s[next(iter(self._full_at_s))]
        return max(0.0, wait_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates of one endpoint."""

    post: Rate = field(default=Rate(per_s=20.0, burst=200))
    patch: Rate = field(default=Rate(per_s=50.0, burst=400))
    delete: Rate = field(default=Rate(per_s=50.0, burst=400))
    limit_loopback: bool = False
    """Also limit programs on this machine. Off: they could do more harm otherwise, and a local reverse proxy stands for
    many clients."""


class MethodLimiter:
    """Applies ``Limits`` to requests."""

    def __init__(self, limits: Limits) -> None:
        self._limit_loopback = limits.limit_loopback
        self._limiters = {
            "POST": RateLimiter(limits.post),
            "PATCH": RateLimiter(limits.patch),
            "DELETE": RateLimiter(limits.delete),
        }

    def check(self, method: str, remote: str, now_s: float) -> None:
        """Count a request.

        Raises:
            Refused: 429, with the seconds to wait in ``Retry-After`` (RFC 6585, 4).
        """
        limiter = self._limiters.get(method)
        key = limited_network(remote, limit_loopback=self._limit_loopback)
        if limiter is None or key is None:
            return
        wait_s = limiter.wait_s(key, now_s)
        if wait_s > 0:
            raise Refused(429, "Too many requests.", (("Retry-After", str(math.ceil(wait_s))),))


def limited_network(remote: str, *, limit_loopback: bool = False) -> str | None:
    """Return the network that a limit counts: an IPv4 address, or an IPv6 /64, which one subscriber has alone.

    Args:
        remote: IP address of the client. Other text is returned unchanged.
        limit_loopback: Whether loopback addresses count; if not, None is returned for them.
    """
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if address.is_loopback and not limit_loopback:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return str(address)
