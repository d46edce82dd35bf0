"""Entity tags and conditions (RFC 9110, 8.8.3 and 13.1): which ICE session does a PATCH mean?"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

_ENTITY_TAG = re.compile(r'(W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class IfMatch:
    """What an ``If-Match`` field asks for."""

    any: bool
    tags: frozenset[str]
    """Strong entity tags, with their quotes. Weak ones match nothing here and are dropped."""

    @classmethod
    def parse(cls, values: Sequence[str]) -> IfMatch | None:
        """Read the field's lines; None when there are none. Nonsense gives a condition that never holds."""
        if not values:
            return None
        text = ",".join(values)
        tags = frozenset(tag for weak, tag in _ENTITY_TAG.findall(text) if not weak)
        # WHIP 4.3.3 writes the asterisk without quotes, WHIP's Figure 4 with them: both work.
        return cls(any=text.strip() == "*" or '"*"' in tags, tags=tags)

    def holds(self, entity_tag: str) -> bool:
        """Strong comparison with the tag of the running ICE session (RFC 9110, 8.8.3.2)."""
        return self.any or entity_tag in self.tags


def is_known(values: Sequence[str], entity_tag: str) -> bool:
    """Whether ``If-None-Match`` names a tag, by weak comparison: a proxy that compresses makes tags weak."""
    text = ",".join(values)
    return text.strip() == "*" or any(tag == entity_tag for _weak, tag in _ENTITY_TAG.findall(text))


def new_entity_tag() -> str:
    """A strong tag, unique per ICE session (WHIP 4.3.1); never ``"*"``."""
    return f'"{secrets.token_urlsafe(12)}"'
