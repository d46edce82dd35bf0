"""Which names a request may use for this server (RFC 9110, 7.4), against DNS rebinding.

In a rebinding attack a foreign name, such as ``evil.example``, resolves to the address of this server, so the browser
takes the server for a part of the attacker's site. Only the name in ``Host`` shows it.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace

from ...config import ServerConfig, public_origin
from ...rtc.reach import Scope, parse_address, scope_of
from ..messages import Forwarded, Refused, Request, split_host
from .http_connection import is_allowed_host

_NAME = r"[^\x00-\x20\x7f:/?#@\[\]\\]+"
_HOST = re.compile(rf"(?:\[[0-9a-f:.]+(?:%{_NAME})?\]|{_NAME})(?::[0-9]*)?", re.IGNORECASE)
_ABSOLUTE_FORM = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_LONGEST_SHOWN = 100


class HostNames:
    """The names of one server.

    Args:
        allowed_hosts: Further names, without a port; ``"*"`` allows every name.
        own_host: Address or name that the server listens on.
    """

    def __init__(self, allowed_hosts: Sequence[str], own_host: str) -> None:
        self._any = "*" in allowed_hosts
        self._has_names = bool(allowed_hosts)
        host_name = socket.gethostname()
        names = (*allowed_hosts, own_host, host_name, host_name.partition(".")[0])
        self._names = {split_host(name)[0] for name in names} - {""}
        self._full_names = full_host_names()

    def check(self, request: Request) -> None:
        """Check the ``Host`` field of a request.

        Any name is allowed at a public address of a server without ``allowed_hosts``: a page of another site cannot
        reach anything there that everyone else could not reach.

        Raises:
            Refused: 400 if the field is malformed, 421 if it names another server.
        """
        values = request.headers.all("Host")
        if not values:  # HTTP/1.0; no browser leaves it out.
            return
        if len(values) > 1 or not _HOST.fullmatch(values[0].strip()):
            raise Refused(400, "The Host field is malformed.")
        if self._any or (not self._has_names and _is_public(request.local)):
            return
        if not self._is_own(values[0]):
            raise _misdirected(split_host(values[0])[0])

    def own_only(self, forwarded: Forwarded) -> Forwarded:
        """Return what a trusted proxy says, without a host that is not a name of this server.

        The proxy may replace ``Host`` by a name of its own, so that only ``X-Forwarded-Host`` shows DNS rebinding.
        """
        return forwarded if self._any or self._is_own(forwarded.host) else replace(forwarded, host="")

    def _is_own(self, host: str) -> bool:
        name, _port = split_host(host)
        return is_allowed_host(host, self._names | self._full_names) or name.endswith(".local")


def target_authority(target: str) -> str | None:
    """Return host and port of a request target in absolute form, which replaces ``Host`` (RFC 9112, 3.2.2).

    None if the target has another form.
    """
    match = _ABSOLUTE_FORM.match(target)
    return None if match is None else match[1]


def given_names(config: ServerConfig) -> tuple[str, ...]:
    """Return the names in a configuration: ``allowed_hosts``, and the host of ``public_url``."""
    if config.public_url is None:
        return config.allowed_hosts
    return (*config.allowed_hosts, split_host(public_origin(config.public_url).partition("://")[2])[0])


@functools.cache
def full_host_names() -> set[str]:
    """Return a set that will contain this machine's fully qualified name once that is known.

    The lookup is made once, on a thread of its own, because it may take seconds.
    """
    names: set[str] = set()
    thread = threading.Thread(target=lambda: names.add(split_host(socket.getfqdn())[0]), name="host name", daemon=True)
    with contextlib.suppress(RuntimeError):  # The system has no thread left.
        thread.start()
    return names


def _is_public(address: str) -> bool:
    parsed = parse_address(address)
    return parsed is not None and scope_of(parsed) is Scope.PUBLIC


def _misdirected(name: str) -> Refused:
    shown = re.sub(r"[^a-z0-9._:-]", "?", name[:_LONGEST_SHOWN])
    return Refused(
        421,
        f'The host name "{shown}" is not one of this server\'s. If it should be, start the server with '
        f"--allowed-host {shown} (allowed_hosts).",
    )
