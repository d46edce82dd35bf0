"""Opus parameters in SDP (RFC 7587, 6.1 and 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class OpusParameters:
    """Properties of the Opus stream that one side wants to receive; ``sprop_stereo`` describes the stream it sends.

    The two directions are independent: an answer states its own limits and does not echo the offer (RFC 7587, 7.1).
    """

    stereo: bool | None = None
    """Whether the receiver prefers stereo; None if it does not say, which counts as no."""
    sprop_stereo: bool = False
    """Hint: whether the sender is likely to send stereo."""
    max_average_bitrate_bps: int | None = None
    """Bitrate limit, 6000 to 510000, or None for no limit."""
    max_playback_rate_hz: int = 48_000
    """Highest sample rate the receiver can play, 8000 to 48000."""
    use_inband_fec: bool = False
    use_dtx: bool = False
    cbr: bool = False

    @classmethod
    def parse(cls, text: str) -> OpusParameters:
        """Parse the parameters of an ``a=fmtp`` line, without the payload type.

        Never raises: unknown parameters and values out of range are ignored (RFC 7587, 6.1 and 7).
        """
        values: dict[str, str] = {}
        for parameter in text.split(";"):
            name, _, value = parameter.partition("=")
            values.setdefault(name.strip().lower(), value.strip())

        def flag(name: str) -> bool:
            return values.get(name) == "1"

        return cls(
            stereo={"1": True, "0": False}.get(values.get("stereo", "")),
            sprop_stereo=flag("sprop-stereo"),
            max_average_bitrate_bps=_number_between(values.get("maxaveragebitrate"), 6_000, 510_000),
            max_playback_rate_hz=_number_between(values.get("maxplaybackrate"), 8_000, 48_000) or 48_000,
            use_inband_fec=flag("useinbandfec"),
            use_dtx=flag("usedtx"),
            cbr=flag("cbr"),
        )

    def to_fmtp(self) -> str:
        """Return the parameters as text for an ``a=fmtp`` line; "" if all have their defaults.

        Flags are written as numbers: Chrome rejects the codec for ``stereo=true``.
        """
        flags = {
            "stereo": self.stereo is True,
            "sprop-stereo": self.sprop_stereo,
            "useinbandfec": self.use_inband_fec,
            "usedtx": self.use_dtx,
            "cbr": self.cbr,
        }
        parts = [f"{name}=1" for name, is_on in flags.items() if is_on]
        if self.stereo is False:
            parts.append("stereo=0")
        if self.max_average_bitrate_bps is not None:
            parts.append(f"maxaveragebitrate={self.max_average_bitrate_bps}")
        if self.max_playback_rate_hz != 48_000:
            parts.append(f"maxplaybackrate={self.max_playback_rate_hz}")
        return ";".join(parts)


def _number_between(text: str | None, lowest: int, highest: int) -> int | None:
    if text is None or not _NUMBER.fullmatch(text):
        return None
    return int(text) if lowest <= int(text) <= highest else None
