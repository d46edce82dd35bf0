"""The tables of statistics describe every field, and the structures of the C API follow them."""

from __future__ import annotations

import dataclasses

import pytest

from bass_webrtc.capi.header import HEADER, parse_header
from bass_webrtc.stats import (
    CHANNEL_STATISTICS,
    PEER_STATISTICS,
    SERVER_STATISTICS,
    ChannelStats,
    PeerStats,
    ServerStats,
    Statistic,
)

TABLES = [(ServerStats, SERVER_STATISTICS), (ChannelStats, CHANNEL_STATISTICS), (PeerStats, PEER_STATISTICS)]
C_TYPES = {
    "counter": {"uint64_t"},
    "gauge": {"double", "uint32_t", "int64_t", "uint8_t"},
    "text": {"uint32_t", "char[64]"},
}
C_STRUCTURES = [("WebRtcStatsFFI", SERVER_STATISTICS), ("WebRtcPeerStatsFFI", PEER_STATISTICS)]


@pytest.mark.parametrize(("owner", "table"), TABLES, ids=["server", "channel", "peer"])
def test_every_field_is_described_once(owner: type, table: tuple[Statistic, ...]) -> None:
    fields = [field.name for field in dataclasses.fields(owner) if field.name not in ("channels", "peers")]
    assert [one.name for one in table] == fields
    assert all(one.help.endswith(".") for one in table)
    assert all(f"    {one.name}: {one.help}" in str(owner.__doc__) for one in table)


@pytest.mark.parametrize(("owner", "table"), TABLES, ids=["server", "channel", "peer"])
def test_unit_in_the_name_is_the_unit_of_the_table(owner: type, table: tuple[Statistic, ...]) -> None:
    for suffix in ("ms", "us", "s", "ppm"):
        assert {one.unit for one in table if one.name.endswith(f"_{suffix}")} <= {suffix}, suffix


@pytest.mark.parametrize(("structure", "table"), C_STRUCTURES)
def test_c_structure_has_the_fields_of_the_table(structure: str, table: tuple[Statistic, ...]) -> None:
    declared = parse_header(HEADER.read_text(encoding="utf-8")).structures[structure]
    types = {slot.name: slot.type for slot in declared}
    assert types.keys() == {one.c_name for one in table if one.c_name}
    for one in table:
        if one.c_name:
            assert types[one.c_name] in C_TYPES[one.kind], one.name
