"""The live table that ``bass-webrtc serve`` shows on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..stats import ChannelStats, PeerStats, ServerStats, plays, talks

_STATE_STYLES = {"connected": "green", "new": "yellow", "connecting": "yellow"}
_LATE_US = 2000
_HIGH_LOSS = 0.02
_METER_CELLS = 10
_METER_DB_PER_CELL = 6
_SILENCE_DBFS = -127.0
_HOT_DBFS, _LOUD_DBFS = -3.0, -9.0

_CHANNEL_COLUMNS = ("channel", "listeners", "kbit/s", "lateness", "source")
_COLUMNS = ("peer", "state", "from", "for", "kbit/s", "lost", "round trip", "jitter", "buffer", "level")
_NAME_CELLS = 24
"""Longer names of channels are cut, not the numbers beside them."""
_LEFT = ("channel", "source", "peer", "state", "from", "level")


def render(now: ServerStats, before: ServerStats, elapsed_s: float, max_peers: int) -> RenderableType:
    """Render two snapshots, taken ``elapsed_s`` apart: a summary line, one row per channel, and one row per peer.

    A single channel has no row: the summary is about it.
    """
    parts: list[RenderableType] = [_summary(now, max_peers)]
    has_channels = len(now.channels) > 1
    if has_channels:
        parts += ["", _table(_CHANNEL_COLUMNS, map(_channel_row, now.channels))]
    if now.peers:
        earlier = {peer.id: peer for peer in before.peers}
        columns = (*_COLUMNS, "channel") if has_channels else _COLUMNS
        rows = (
            _row(peer, earlier.get(peer.id), elapsed_s) + ((peer.channel,) if has_channels else ())
            for peer in now.peers
        )
        parts += ["", _table(columns, rows)]
    return Group(*parts)


def _table(headings: Iterable[str], rows: Iterable[tuple[RenderableType, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(
            heading,
            justify="left" if heading in _LEFT else "right",
            no_wrap=True,
            max_width=_NAME_CELLS if heading == "channel" else None,
        )
    for row in rows:
        table.add_row(*row)
    return table


def _summary(stats: ServerStats, max_peers: int) -> Text:
    text = Text(f"{stats.active_peers} of {max_peers} peers", style="bold")
    text.append(f"   {stats.frames_sent} frames", style="not bold")
    p99_us = stats.send_lateness_us.p99
    text.append(f"   lateness {p99_us / 1000:.1f} ms (p99)", style="red" if p99_us > _LATE_US else "not bold")
    for count, what in ((stats.source_underruns, "underruns"), (stats.send_drops, "packets dropped by the system")):
        if count:
            text.append(f"   {count} {what}", style="red")
    if stats.source_ended and len(stats.channels) < 2:
        text.append("   source ended, sending silence", style="yellow")
    if not stats.realtime_priority:
        text.append("   no real-time priority", style="dim")
    return text


def _channel_row(channel: ChannelStats) -> tuple[RenderableType, ...]:
    p99_us = channel.send_lateness_us.p99
    return (
        channel.name,
        str(channel.listeners),
        " ".join(map(str, channel.bitrates_kbps)),
        Text(f"{p99_us / 1000:.1f} ms", style="red" if p99_us > _LATE_US else ""),
        Text("ended, sending silence", style="yellow") if channel.source_ended else "",
    )


def _row(peer: PeerStats, earlier: PeerStats | None, elapsed_s: float) -> tuple[RenderableType, ...]:
    is_heard = talks(peer.kind)
    is_unknown = not is_heard and not peer.reports_received
    lost = max(_lost_share(peer, earlier) if is_heard else 0.0, peer.fraction_lost if plays(peer.kind) else 0.0)
    round_trip_ms = peer.round_trip_time_ms
    return (
        f"{peer.id} {peer.kind}",
        Text(peer.state, style=_STATE_STYLES.get(peer.state, "dim")),
        peer.remote_address or "-",
        _duration(peer.connected_s),
        _rate(peer, earlier, elapsed_s),
        Text("-" if is_unknown else f"{lost:.1%}", style="red" if lost > _HIGH_LOSS else ""),
        "-" if round_trip_ms is None else f"{round_trip_ms:.0f} ms",
        "-" if is_unknown else f"{peer.jitter_ms:.0f} ms",
        f"{peer.jitter_buffer_ms:.0f} ms" if is_heard else "",
        _level(peer.audio_level_dbfs) if is_heard else "",
    )


def _rate(peer: PeerStats, earlier: PeerStats | None, elapsed_s: float) -> str:
    """Bitrate in kbit/s with an arrow: up to a player, down from a publisher, or both."""
    if earlier is None:
        return "-"
    up = f"↑ {8 * (peer.bytes_sent - earlier.bytes_sent) / elapsed_s / 1000:.0f}"
    down = f"↓ {8 * (peer.bytes_received - earlier.bytes_received) / elapsed_s / 1000:.0f}"
    return " ".join([up] * plays(peer.kind) + [down] * talks(peer.kind))


def _lost_share(peer: PeerStats, earlier: PeerStats | None) -> float:
    """Share of a publisher's packets lost since the earlier snapshot; duplicates can make the raw value negative."""
    lost = peer.packets_lost - (earlier.packets_lost if earlier else 0)
    received = peer.packets_received - (earlier.packets_received if earlier else 0)
    return max(0.0, lost / (lost + received)) if lost + received > 0 else 0.0


def _level(level_dbfs: float) -> Text:
    """A 60 dB meter followed by the level."""
    cells = max(0, min(_METER_CELLS, round(_METER_CELLS + level_dbfs / _METER_DB_PER_CELL)))
    style = "red" if level_dbfs > _HOT_DBFS else "yellow" if level_dbfs > _LOUD_DBFS else "green"
    text = Text("━" * cells, style=style)
    text.append("─" * (_METER_CELLS - cells), style="dim")
    text.append("  silent" if level_dbfs <= _SILENCE_DBFS else f" {level_dbfs:.0f} dB", style="default")
    return text


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
