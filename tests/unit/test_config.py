"""Settings are checked when they are created."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from bass_webrtc import ChannelConfig, ConfigError, IceServer, ServerConfig
from bass_webrtc.config import StreamConfig, check_channel_name
from support.conformance import covers

TOKENS = ("token", "publish_token", "play_token")
UNUSABLE = (
    " ",
    "s3cr3t key",
    " s3cr3t",
    "s3cr3t\n",
    "s3cr3t\r\nX: y",
    "s3cr3t\t",
    "s3cr3t\x00",
    "s3cr3t\x7f",
    "s3cr3tä",
    "s3cr3t€",
)
"""Tokens that a header field, or a browser's fetch, cannot carry."""


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("sample_rate", 44_100),
        ("channels", 1),
        ("bitrate_kbps", 5),
        ("bitrate_kbps", 511),
        ("bitrate_kbps", 128.5),
        ("bitrate_kbps", True),
        ("buffer_ms", 9),
        ("buffer_ms", 1_001),
        ("receive_enhancement", "always"),
        ("receive_enhancement", True),
        ("receive_enhancement", ["on"]),
        ("max_peers", 0),
        ("max_peers_per_address", 0),
        ("max_peers_per_address", 6),
        ("max_peers_per_address", True),
        ("max_peers", 10_001),
        ("signaling_mode", "sip"),
        ("http_port", -1),
        ("http_port", 65_536),
        ("udp_port", "8189"),
        ("public_ips", ("radio.example",)),
        ("trusted_proxies", ("proxy.example",)),
        ("trusted_proxies", ("10.0.0.1/8",)),
        ("trusted_proxies", "10.0.0.1"),
        ("allowed_hosts", ("https://radio.example",)),
        ("allowed_hosts", ("radio.example:8080",)),
        ("allowed_hosts", "radio.example"),
        ("allowed_hosts", ("*.radio.example",)),
        ("allow_origins", ("radio.example",)),
        ("allow_origins", ("null",)),
        ("allow_origins", "https://radio.example"),
        ("fan_out_threads", 0),
        ("fan_out_threads", 17),
        ("max_connections", 0),
        ("max_connections", 100_001),
        ("max_connections_per_address", 0),
        ("frame_ms", 30),
        ("complexity", 11),
        ("application", "music"),
        ("token", ""),
        ("play_token", ""),
        ("publish_token", ""),
        *((name, wrong) for name in TOKENS for wrong in (5, b"secret", True, ["secret"], *UNUSABLE)),
        *(("turn_secret", wrong) for wrong in ("", 5, b"shared", "shared\n", " shared", "sha\x00red", "\x7f")),
        ("http_host", None),
        ("http_host", 5),
        ("http_host", ""),
        ("public_ips", (5,)),
        ("trusted_proxies", (5,)),
        ("allowed_hosts", (5,)),
        ("visitor_ice_servers", ("s.example",)),
        ("ice_servers", "s.example"),
        ("tls_certificate", 5),
        ("tls_key", ""),
        ("tls_certificate", "only.pem"),
        ("tls_key", "only.pem"),
    ],
)
def test_wrong_value_raises_with_its_name_and_what_was_expected(name: str, wrong: object) -> None:
    with pytest.raises(ConfigError, match=rf"{name}.*expected"):
        ServerConfig(**{name: wrong})  # type: ignore[arg-type]


@covers("SE62", "SE65")
@pytest.mark.parametrize("name", [*TOKENS, "turn_secret"])
def test_error_does_not_show_an_unusable_secret(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}.*expected") as caught:
        ServerConfig(**{name: "s3cr3t\n"})  # type: ignore[arg-type]
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("token", ["a", "dGhl-bm9ydGg_c2Vh.~+/==", "p@ss,w0rd;\"'\\{}", "Bearer"])
def test_tokens_that_browsers_and_encoders_can_send_are_accepted(name: str, token: str) -> None:
    assert getattr(ServerConfig(**{name: token}), name) == token  # type: ignore[arg-type]


@covers("SE62")
def test_repr_shows_no_token() -> None:
    assert "s3cr3t" not in repr(ServerConfig(token="s3cr3t", publish_token="s3cr3t", play_token="s3cr3t"))


@pytest.mark.parametrize("arguments", [(5,), (b"stun:s",), ("turn:t", 5, "c"), ("turn:t", "u", b"c"), (None,)])
def test_ice_server_of_wrong_types_is_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        IceServer(*arguments)  # type: ignore[arg-type]


def test_defaults_do_not_change() -> None:
    config = ServerConfig()
    assert (config.sample_rate, config.channels, config.bitrate_kbps, config.max_peers) == (48_000, 2, 128, 5)
    assert (config.http_host, config.http_port, config.udp_port) == ("127.0.0.1", 8080, 8189)
    assert (config.frame_ms, config.complexity, config.application, config.fec, config.dtx) == (
        20,
        10,
        "audio",
        True,
        False,
    )
    assert config.signaling_mode == "http"
    assert config.frame_samples == 960


def test_positional_arguments_keep_their_order() -> None:
    """Those that programs could pass by position before the encoder's became keyword-only."""
    names = (
        *("sample_rate", "channels", "bitrate_kbps", "buffer_ms", "max_peers", "signaling_mode", "http_host"),
        *("http_port", "udp_port", "public_ips", "announce_local_addresses", "visitor_ice_servers", "turn_secret"),
        *("ice_servers", "ice_relay_only"),
    )
    assert tuple(inspect.signature(ServerConfig).parameters)[: len(names)] == names
    with pytest.raises(TypeError):
        ServerConfig(*(getattr(ServerConfig(), name) for name in names), True)  # type: ignore[call-arg]


def test_stream_config_has_the_same_defaults_and_checks() -> None:
    stream, server = StreamConfig(), ServerConfig()
    assert all(getattr(stream, field.name) == getattr(server, field.name) for field in dataclasses.fields(stream))
    with pytest.raises(ConfigError, match=r"buffer_ms.*expected"):
        StreamConfig(buffer_ms=9)


def test_settings_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ServerConfig().max_peers = 6  # type: ignore[misc]


SECRET = "the north sea"


@pytest.mark.parametrize(
    "server",
    [
        ("http://turn.example",),
        ("turn:",),
        ("turn:h:65536", "u", "c"),
        ("turn:h:0", "u", "c"),
        ("stun:h?transport=tcp",),
        ("turn:h?transport=sctp", "u", "c"),
        ('turn:h>; rel="x', "u", "c"),
        ("turn:[fe80::1%eth0]", "u", "c"),
        ("turn:h", "u"),
        ("turn:h", "u", 'c"'),
        ("turn:h", "u;v", "c"),
        ("turn:h",),
    ],
)
def test_ice_servers_that_clients_cannot_use_are_refused(server: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"ICE server|turn_secret"):
        ServerConfig(visitor_ice_servers=(IceServer(*server),))


@covers("SE50", "SE62")
def test_turn_servers_need_credentials_or_a_secret() -> None:
    turn = IceServer("turns:[2001:db8::1]:5349?transport=tcp")
    config = ServerConfig(
        visitor_ice_servers=(turn, IceServer("stun:h"), IceServer("turn:h", "u", "c")), turn_secret=SECRET
    )
    assert SECRET not in repr(config)
    with pytest.raises(ConfigError, match=r"turn_secret.*expected"):
        ServerConfig(visitor_ice_servers=(turn,))
    with pytest.raises(ConfigError, match=r"turn_secret.*expected"):
        ServerConfig(turn_secret="")


@pytest.mark.parametrize(
    "bitrates", [(), (128, 128), (48, 128), (5,), (511,), (128, 96, 64, 48, 32), 128, "128", (128.0,), (True,), (None,)]
)
def test_bitrates_of_a_channel_fall(bitrates: Any) -> None:
    with pytest.raises(ConfigError, match="bitrates_kbps is"):
        ChannelConfig(bitrates_kbps=bitrates)


@pytest.mark.parametrize("bitrates", [[128, 48], (510, 96, 24, 6)])
def test_up_to_four_falling_bitrates_are_kept_as_a_tuple(bitrates: Any) -> None:
    assert ChannelConfig(bitrates_kbps=bitrates).bitrates_kbps == tuple(bitrates)


@pytest.mark.parametrize(("name", "wrong"), [("application", "music"), ("complexity", 11)])
def test_channel_refuses_what_a_server_refuses(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {wrong!r}"):
        ChannelConfig(**{name: wrong})


@pytest.mark.parametrize(("bitrate", "fallbacks"), [(64, (64,)), (64, (96,)), (128, (96, 64, 48, 32)), (128, 48)])
def test_fallback_bitrates_are_below_the_first(bitrate: int, fallbacks: Any) -> None:
    with pytest.raises(ConfigError, match="fallback_bitrates_kbps is"):
        ServerConfig(bitrate_kbps=bitrate, fallback_bitrates_kbps=fallbacks)
    assert ServerConfig(bitrate_kbps=128, fallback_bitrates_kbps=(48,)).bitrates_kbps == (128, 48)


@pytest.mark.parametrize("name", ["", ".jazz", "a/b", "a b", "jäzz", "x" * 65, "a\n", None, 5])
def test_unusable_channel_name_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match=r"the name of a channel is .*expected 1 to 64 of"):
        check_channel_name(name)


@pytest.mark.parametrize("name", ["jazz", "Late.Night_2-x", "-", "x" * 64, "a."])
def test_usable_channel_name_is_accepted(name: str) -> None:
    check_channel_name(name)
