"""Invites: secret links with which guests may call, each for a number of calls and a time. Sans-I/O, thread-safe.

    create ─► admit ─┬─► connected ─► released      a use is spent
       │             └─► failed                     the use is given back
       └─► revoke, expiry, last use ─► 410 from then on

A secret is kept as its hash only, so nothing that shows or dumps invites can reveal a link.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from ...errors import BassWebRtcError, ConfigError
from ..messages import Refused, Request

MAX_NAME = 60
"""Characters of a name."""
MAX_USES = 1000
MIN_EXPIRY_S, MAX_EXPIRY_S = 60, 30 * 24 * 3600
MAX_INVITES = 1000
"""That can be used at the same time: each event of the desk lists all of them."""
_MAX_ENDED = 1000
"""Invites that have ended and are still told apart from unknown ones: the latest."""
_SECRET_BYTES = 18
"""144 bits, as in a session URL."""
_ID_BYTES = 6
_JOINERS = "\u200c\u200d"
"""Invisible, but Persian, Hindi and many emoji are spelled with them."""
_REMOVED_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})
"""Control characters; format characters, such as those that reverse the text after them; surrogates."""


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite at the time it was read."""

    id: str
    name: str
    """Name of the guest; empty: the guest may choose one."""
    uses_left: int
    """Calls that can still be made with it."""
    expires_at: int
    """Unix time in seconds."""
    secret: str = field(default="", repr=False)
    """Known only where the invite was made; empty everywhere else, like ``url``."""
    url: str = field(default="", repr=False)
    """The link for the guest."""


@dataclass(slots=True)
class _Record:
    """What is known of an invite."""

    id: str
    digest: bytes
    name: str
    uses_left: int
    expires_at: int
    connecting: int = 0
    """Calls that have a use reserved."""
    connected: int = 0

    @property
    def is_in_use(self) -> bool:
        return self.connecting + self.connected > 0

    def public(self, secret: str = "") -> Invite:
        return Invite(self.id, self.name, self.uses_left, self.expires_at, secret)


class Invites:
    """All invites of a server. Any thread.

    Args:
        clock: Unix time in seconds.

    Attributes:
        on_revoked: Called with each invite that is revoked, by the thread that revokes it; its calls must end.
        version: Changes whenever what ``all`` returns changes, except by expiry.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.on_revoked: Callable[[Invite], None] | None = None
        self.version = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Record] = {}
        self._ended: deque[tuple[bytes, str]] = deque(maxlen=_MAX_ENDED)
        """Digests, and why a guest with the secret is refused."""
        self._required = False

    def forget_threads(self) -> None:
        """Begin anew in a forked child: a thread that it does not have may hold the lock."""
        self._lock = threading.Lock()
        self.on_revoked = None

    @property
    def required(self) -> bool:
        """Whether callers need an invite: from the first one on, also when it has ended."""
        return self._required

    def require(self) -> None:
        """Require an invite from now on."""
        self._required = True

    def create(self, name: str = "", uses: int = 1, expires_s: int = 86_400) -> Invite:
        """Make an invite.

        Args:
            name: Name of the guest; empty lets the guest choose one.
            uses: Number of calls that can be made with it, 1 to 1000.
            expires_s: Seconds for which a call can begin, 60 to 2592000 (30 days).

        Returns:
            The invite with its secret, which is not stored.

        Raises:
            ConfigError: An argument is out of range.
            BassWebRtcError: There are MAX_INVITES already.
        """
        _require_range("uses", uses, 1, MAX_USES)
        _require_range("expires_s", expires_s, MIN_EXPIRY_S, MAX_EXPIRY_S)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        expires_at = math.ceil(self._clock() + expires_s)
        record = _Record(secrets.token_hex(_ID_BYTES), _digest(secret), clean_name(name), uses, expires_at)
        with self._lock:
            self._end_expired()
            if len(self._open) >= MAX_INVITES:
                raise BassWebRtcError(f"{MAX_INVITES} invites are open, as many as possible; revoke one first")
            self._open[record.id] = record
            self._required = True
            self.version += 1
            return record.public(secret)

    def all(self) -> tuple[Invite, ...]:
        """Return the invites that can be used or are in use, the oldest first, without their secrets."""
        with self._lock:
            self._end_expired()
            return tuple(record.public() for record in self._open.values())

    def revoke(self, invite_id: str) -> None:
        """End an invite at once, and its calls.

        Raises:
            KeyError: There is no such invite, or it has ended.
        """
        with self._lock:
            record = self._open[invite_id]
            self._end(record, "This invite was revoked.")
        if self.on_revoked is not None:
            self.on_revoked(record.public())

    def admit(self, secret: str) -> Invite:
        """Reserve a use for a call. Call ``connected`` or ``failed`` once it is known what becomes of it.

        Raises:
            Refused: 403 the secret is unknown; 409 all uses that are left are in use; 410 the invite has ended.
        """
        with self._lock:
            record = self._usable(secret)
            record.connecting += 1
            return record.public()

    def check(self, secret: str) -> None:
        """Check that ``admit`` would reserve a use.

        Raises:
            Refused: As ``admit``.
        """
        with self._lock:
            self._usable(secret)

    def _usable(self, secret: str) -> _Record:
        self._end_expired()
        record = self._find(_digest(secret))
        if record.expires_at <= self._clock():
            raise Refused(410, "This invite has expired.")
        if record.uses_left <= record.connecting:
            raise Refused(409, "This invite is in use: its guest is connected or connecting.")
        return record

    def connected(self, invite: Invite) -> bool:
        """Spend the use that ``admit`` reserved.

        Returns:
            Whether the call may go on; False if the invite was revoked meanwhile.
        """
        with self._lock:
            record = self._open.get(invite.id)
            if record is None:
                return False
            record.connecting -= 1
            record.connected += 1
            record.uses_left -= 1
            self.version += 1
            return True

    def failed(self, invite: Invite) -> None:
        """Give back the use that ``admit`` reserved: the call did not connect."""
        with self._lock:
            if record := self._open.get(invite.id):
                record.connecting -= 1

    def released(self, invite: Invite, *, is_lost: bool = False) -> None:
        """Note that a call has ended for which ``connected`` was called.

        Args:
            invite: From ``admit``.
            is_lost: Neither side ended it: the use is given back, for the guest to call again.
        """
        with self._lock:
            if record := self._open.get(invite.id):
                record.connected -= 1
                record.uses_left += is_lost
                self.version += is_lost
                if record.uses_left == 0 and not record.is_in_use:
                    self._end(record, "This invite was used up.")

    def _find(self, digest: bytes) -> _Record:
        """Compare with every invite, so that the time it takes says nothing about their secrets."""
        found = [one for one in self._open.values() if hmac.compare_digest(one.digest, digest)]
        reasons = [reason for ended, reason in self._ended if hmac.compare_digest(ended, digest)]
        if found:
            return found[0]
        if reasons:
            raise Refused(410, reasons[0])
        raise Refused(403, "This invite is not known here. Check that the link is complete.")

    def _end_expired(self) -> None:
        now = self._clock()
        for record in [one for one in self._open.values() if one.expires_at <= now and not one.is_in_use]:
            self._end(record, "This invite has expired.")

    def _end(self, record: _Record, reason: str) -> None:
        del self._open[record.id]
        self._ended.append((record.digest, reason))
        self.version += 1


def clean_name(text: str) -> str:
    """Return a guest's name as it may be shown: at most 60 characters in one line, none of which changes the others.

    Control and format characters are removed, such as those that reverse the direction of text; white space becomes
    single spaces. The result is still text: HTML must escape it.
    """
    spaced = " ".join(text.split())
    kept = "".join(one for one in spaced if one in _JOINERS or unicodedata.category(one) not in _REMOVED_CATEGORIES)
    joined = re.sub(rf"(?<=[{_JOINERS}])[{_JOINERS}]+", "", " ".join(kept.split()))
    return joined.strip(_JOINERS + " ")[:MAX_NAME].rstrip(_JOINERS + " ")


def invite_secret(request: Request) -> str | None:
    """Return the secret of an invite that a request carries; None if it carries none."""
    return next(iter(parse_qs(request.query, keep_blank_values=True).get("invite", ())), None)


def invite_url(secret: str, base: str = "") -> str:
    """Return the link for a guest.

    Args:
        secret: ``Invite.secret``.
        base: URL or path of the root of the server; empty: its own host.
    """
    return f"{base.rstrip('/')}/call?invite={secret}"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="backslashreplace")).digest()


def _require_range(name: str, value: int, lowest: int, highest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise ConfigError(f"{name} is {value!r}; expected a whole number, {lowest} to {highest}")
