"""Limits per remote address: rates of POST, PATCH and DELETE (WHIP 5), and who shares them."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field

from ..messages import Refused

_MAX_ADDRESSES = 4096
"""Addresses remembered; the one not seen for the longest time is forgotten first."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often one address may do one thing."""

    per_s: float
    """Requests per second in the long run."""
    burst: int
    """Requests at once; enough for an office full of players that reconnect through one NAT."""


class RateLimiter:
    """Generic cell rate algorithm: one number per address, the time at which its bucket is full again."""

    def __init__(self, rate: Rate, max_addresses: int = _MAX_ADDRESSES) -> None:
        self._interval_s = 1.0 / rate.per_s
        self._tolerance_s = self._interval_s * (rate.burst - 1)
        self._max_addresses = max_addresses
        self._full_at_s: dict[str, float] = {}

    def wait_s(self, key: str, now_s: float) -> float:
        """Count one request of ``key``. 0 when it may go on; else the seconds to wait, and nothing is counted."""
        full_at_s = max(now_s, self._full_at_s.pop(key, now_s))
        wait_s = full_at_s - now_s - self._tolerance_s
        # Put back at the end: dicts keep their order, so the first entry is the one longest unseen.
        self._full_at_s[key] = full_at_s if wait_s > 0 else full_at_s + self._interval_s
        if len(self._full_at_s) > self._max_addresses:
            del self._full_at_s[next(iter(self._full_at_s))]
        return max(0.0, wait_s)


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates of one endpoint."""

    post: Rate = field(default=Rate(per_s=20.0, burst=200))
    patch: Rate = field(default=Rate(per_s=50.0, burst=400))
    delete: Rate = field(default=Rate(per_s=50.0, burst=400))
    loopback_too: bool = False
    """Also limit programs on this machine. Off: they could do worse, and a reverse proxy there is many clients."""


class MethodLimiter:
    """Applies ``Limits``."""

    def __init__(self, limits: Limits) -> None:
        self._loopback_too = limits.loopback_too
        self._limiters = {
            "POST": RateLimiter(limits.post),
            "PATCH": RateLimiter(limits.patch),
            "DELETE": RateLimiter(limits.delete),
        }

    def check(self, method: str, remote: str, now_s: float) -> None:
        """Count a request.

        Raises:
            Refused: 429, with the seconds to wait (RFC 6585, 4).
        """
        limiter = self._limiters.get(method)
        key = limited_network(remote, loopback_too=self._loopback_too)
        if limiter is None or key is None:
            return
        wait_s = limiter.wait_s(key, now_s)
        if wait_s > 0:
            raise Refused(429, "Too many requests.", (("Retry-After", str(math.ceil(wait_s))),))


def limited_network(remote: str, *, loopback_too: bool = False) -> str | None:
    """Whom a limit counts: an IPv4 address, or an IPv6 /64, which one customer has for himself.

    Args:
        remote: Where a request came from.
        loopback_too: Also this machine, which is nobody (None) otherwise.
    """
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if address.is_loopback and not loopback_too:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return str(address)
