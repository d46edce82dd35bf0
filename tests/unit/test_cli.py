"""The command line without a server: how arguments are parsed, what is printed, exit codes."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import io
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from bass_webrtc import (
    BassFile,
    BassInput,
    ConfigError,
    IceServer,
    PcmSource,
    PortInUseError,
    ServerConfig,
    ServerStats,
    SourceEnd,
    Tone,
    WhepClient,
    WhipClient,
    __version__,
)
from bass_webrtc.bass import devices
from bass_webrtc.bass.devices import Device
from bass_webrtc.cli import demo, doctor, endpoint_doctor, input_player, push_pull
from bass_webrtc.cli import main as cli
from bass_webrtc.cli.doctor import Finding
from bass_webrtc.cli.recorder import Samples

STOPPING = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    STOPPING.append(signal.SIGBREAK)


class FakeServer:
    """Records its arguments and the calls made to it."""

    made: list[FakeServer]

    def __init__(self, source: object, config: ServerConfig) -> None:
        self.source, self.config = source, config
        self.log: list[str] = []
        self.callbacks: dict[str, Callable[..., None]] = {}
        self.channels = {"main": source}
        self.url = "http://127.0.0.1:1234/"
        self.made.append(self)

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append("close")

    def on(self, event: str, callback: Callable[[], None]) -> None:
        self.callbacks[event] = callback

    def add_channel(self, name: str, source: object) -> None:
        self.channels[name] = source

    def start(self) -> None:
        self.log.append("start")

    def read_input(self, frames: int) -> Samples:
        return np.zeros((frames, 2), np.float32)

    def stats(self) -> ServerStats:
        self.log.append("stats")
        return ServerStats(frames_sent=len(self.log))


@pytest.fixture(autouse=True)
def whole_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows divides them, and ``Rounds`` counts them."""
    monkeypatch.setattr("bass_webrtc.loop_thread._INTERRUPTIBLE_S", None)


@pytest.fixture(autouse=True)
def _objects_are_collected_later() -> Iterator[None]:
    """``cli.main`` freezes all objects that exist, here those of the tests."""
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _log_is_not_shown_afterwards() -> Iterator[None]:
    """``--log-level`` is for a process of its own."""
    root, own = logging.getLogger(), logging.getLogger("bass_webrtc")
    before = [*root.handlers], own.level
    yield
    root.handlers[:], own.level = before
    own.setLevel(before[1])


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """The event that a signal sets; afterwards the handlers are what they were."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield cli._stop_on_signals()
    for number, handler in before.items():
        signal.signal(number, handler)


class Rounds(threading.Event):
    """An event that is set after the given number of waits."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        self.rounds -= 1
        return self.rounds < 0


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[FakeServer]:
    monkeypatch.setattr(FakeServer, "made", [], raising=False)
    monkeypatch.setattr(cli, "Server", FakeServer)
    monkeypatch.setattr(cli, "_stop_on_signals", lambda: Rounds(0))
    return FakeServer.made


def _invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(cli.app, arguments)


def test_every_option_reaches_the_configuration(servers: list[FakeServer]) -> None:
    result = _invoke(
        *("serve", "tone", "--host", "::", "--port", "81", "--udp-port", "82", "--max-peers", "9", "--bitrate", "64"),
        *("--max-peers-per-address", "7", "--fan-out-threads", "3"),
        *("--public-ip", "192.0.2.1", "--public-ip", "2001:db8::1", "--frame-ms", "10", "--token", "secret"),
        "--no-local-addresses",
        *("--tls-cert", "cert.pem", "--tls-key", "key.pem", "--turn-secret", "shared"),
        *("--visitor-ice-server", "stun:s.example", "--visitor-ice-server", "turns:t.example:443?transport=tcp"),
        *("--allowed-host", "radio.example", "--allowed-host", "*", "--allow-origin", "https://page.example"),
        *("--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8", "--public-url", "https://radio.example/r/"),
        *("--publish-token", "p", "--play-token", "l", "--require-token-on-sessions", "--strict-http", "--no-page"),
        *("--fallback-bitrate", "24", "--fallback-bitrate", "48"),
        *("--complexity", "3", "--application", "voip", "--no-fec", "--dtx", "--buffer-ms", "60"),
        *("--receive-enhancement", "off"),
        *("--max-connections", "99", "--max-connections-per-address", "8", "--signaling-mode", "whep"),
        *("--ice-server", "turn:alice:secret@t.example", "--relay-only"),
    )
    assert result.exit_code == 0, result.output
    assert servers[0].config == ServerConfig(
        http_host="::",
        http_port=81,
        udp_port=82,
        max_peers=9,
        max_peers_per_address=7,
        fan_out_threads=3,
        bitrate_kbps=64,
        fallback_bitrates_kbps=(48, 24),
        public_ips=("192.0.2.1", "2001:db8::1"),
        announce_local_addresses=False,
        frame_ms=10,
        token="secret",
        tls_certificate=Path("cert.pem"),
        tls_key=Path("key.pem"),
        visitor_ice_servers=(IceServer("stun:s.example"), IceServer("turns:t.example:443?transport=tcp")),
        turn_secret="shared",
        allowed_hosts=("radio.example", "*"),
        allow_origins=("https://page.example",),
        trusted_proxies=("127.0.0.1", "10.0.0.0/8"),
        public_url="https://radio.example/r/",
        publish_token="p",
        play_token="l",
        require_token_on_sessions=True,
        strict_http=True,
        demo_page=False,
        complexity=3,
        application="voip",
        fec=False,
        dtx=True,
        buffer_ms=60,
        receive_enhancement="off",
        max_connections=99,
        max_connections_per_address=8,
        signaling_mode="whep",
        ice_servers=(IceServer("turn:t.example", "alice", "secret"),),
        ice_relay_only=True,
    )


NOT_OPTIONS = {
    "sample_rate": "there is one value",
    "channels": "there is one value",
    "decode_stream": "the command reads the audio itself; --input-device and --record-input say what for",
    "source": "an argument",
    "reconnect": "push and pull are there to stay connected; what supervises them can stop them",
}
"""Settings without an option, and why."""


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("serve", [field.name for field in dataclasses.fields(ServerConfig)]),
        ("push", inspect.signature(WhipClient).parameters),
        ("pull", inspect.signature(WhepClient).parameters),
        ("doctor", set(inspect.signature(endpoint_doctor.examine_endpoint).parameters) - {"protocol"}),
    ],
)
def test_every_setting_has_an_option_or_a_reason(command: str, settings: Sequence[str]) -> None:
    parsed = get_command(cli.app)
    options = {name for parameter in parsed.commands[command].params for name in parameter.opts}  # type: ignore[attr-defined]
    for name in settings:
        option = cli._OPTION_OF_FIELD.get(name)
        assert (option is None) is (name in NOT_OPTIONS), name
        assert option is None or option == "URL" or option in options, (name, option)


def test_help_of_serve_is_divided_by_headings() -> None:
    lines = _invoke("serve", "--help").stdout.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", *(f"{heading}:" for heading in cli._SERVE_HEADINGS.values())]
    parsed = get_command(cli.app)
    for parameter in parsed.commands["serve"].params:  # type: ignore[attr-defined]
        name = parameter.opts[0] if parameter.param_type_name == "option" else "SOURCE"
        assert sum(f"{line} ".startswith(f"  {name} ") for line in lines) == 1, name


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--tls-cert", "cert.pem"], "--tls-cert"),
        (["serve", "--no-local-addresses"], "--no-local-addresses"),
        (["serve", "--relay-only"], "--relay-only"),
        (["serve", "--public-url", "radio.example"], "--public-url"),
        (["serve", "--signaling-mode", "callback"], "--signaling-mode"),
        (["serve", "--visitor-ice-server", "turn:t.example"], "--turn-secret"),
        (["serve", "--visitor-ice-server", "t.example"], "--visitor-ice-server:"),
        (["serve", "--ice-server", "stun:"], "--ice-server:"),
        (["push", "tone", "http://h/whip", "--ice-server", "stun:"], "--ice-server:"),
        (["serve", "--max-peers-per-address", "9"], "--max-peers-per-address"),
        (["serve", "--tls-self-signed", "--tls-cert", "c", "--tls-key", "k"], "--tls-self-signed"),
        (["push", "tone", "http://h/whip", "--trusted-origin", "h"], "--trusted-origin"),
        (["pull", "http://h/whep", "--tls-ca", "no such file"], "--tls-ca"),
        (["serve", "--fallback-bitrate", "5"], "--fallback-bitrate"),
        (["serve", "--bitrate", "64", "--fallback-bitrate", "64"], "--fallback-bitrate"),
    ],
    ids=str,
)
def test_errors_name_options_not_settings(servers: list[FakeServer], arguments: list[str], option: str) -> None:
    result = _invoke(*arguments)
    text = " ".join(result.output.split())
    assert result.exit_code == 2
    assert option in text.partition("Invalid value")[2]
    settings = [name for name in cli._OPTION_OF_FIELD if "_" in name]
    assert not [name for name in settings if name in text]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--no-local-addresses"], "--no-local-addresses is set;"),
        (["--relay-only"], "--relay-only is set;"),
        (["--tls-cert", "c"], "one of --tls-cert and --tls-key is not set;"),
    ],
    ids=str,
)
def test_errors_have_no_values_of_python(servers: list[FakeServer], arguments: list[str], text: str) -> None:
    assert text in " ".join(_invoke("serve", *arguments).output.split())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_urls_for_the_local_network_can_be_reached(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    monkeypatch.setenv("LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(cli, "local_addresses", lambda: ["192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"])
    stderr = _invoke("serve", "tone", "--tls-self-signed", "--host", host).stderr
    expected = {"0.0.0.0": ["192.0.2.1"], "::": ["192.0.2.1", "[2001:db8::1]"]}.get(host, [])
    network = [line for line in stderr.splitlines() if line.startswith("in the local network")]
    assert network == [f"in the local network https://{address}:1234/" for address in expected]
    file = tmp_path / "bass-webrtc" / "self-signed.pem"
    assert f"certificate {file}, SHA-256 " in stderr
    assert servers[0].config.tls_certificate == file, "the one that is served"


def test_error_of_a_running_server_names_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise PortInUseError("TCP port 8080 is in use; set another http_port (0 selects a free one)")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit):
        cli.main()
    assert "set another --port (0" in capsys.readouterr().err


def _flush() -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()


def test_log_lines_go_to_standard_error_from_a_level_on(servers: list[FakeServer]) -> None:
    """Wherever that is at the time: the live table replaces it."""
    log = logging.getLogger("bass_webrtc.server.peers")
    for options, expected in (
        ([], ["info"]),
        (["--log-level", "debug"], ["debug", "info"]),
        (["--log-level", "error"], []),
    ):
        assert _invoke("serve", "tone", *options).exit_code == 0
        before, sys.stderr = sys.stderr, io.StringIO()
        try:
            log.debug("debug")
            log.info("info")
            _flush()
            lines = sys.stderr.getvalue().splitlines()
            sys.stderr = None
            log.error("there is no standard error")
            _flush()
        finally:
            sys.stderr = before
        assert [line.rpartition(" ")[2] for line in lines] == expected
    assert _invoke("serve", "tone", "--log-level", "loud").exit_code == 2
    assert [thread.name for thread in threading.enumerate()].count("bass-webrtc log") == 1


def test_configuration_without_options_is_the_default(servers: list[FakeServer]) -> None:
    assert _invoke("serve", "tone").exit_code == 0
    assert servers[0].config == ServerConfig()


def test_secrets_can_come_from_the_environment(servers: list[FakeServer]) -> None:
    _invoke("serve", "tone", BASS_WEBRTC_TOKEN="secret", BASS_WEBRTC_TURN_SECRET="shared")
    assert servers[0].config.token == "secret"
    assert servers[0].config.turn_secret == "shared"


@pytest.mark.parametrize(
    "command", [("serve", "tone"), ("push", "tone", "http://h/whip"), ("pull", "http://h/whep"), ("doctor",)]
)
def test_empty_token_in_the_environment_is_refused(servers: list[FakeServer], command: tuple[str, ...]) -> None:
    """Otherwise a script whose secret is missing starts a server that is open to everyone."""
    result = _invoke(*command, BASS_WEBRTC_TOKEN="")
    assert result.exit_code == 2
    assert "BASS_WEBRTC_TOKEN is empty; expected a value, or unset it" in " ".join(result.output.split())
    assert servers == []


def test_empty_turn_secret_in_the_environment_is_refused(servers: list[FakeServer]) -> None:
    result = _invoke("serve", "tone", BASS_WEBRTC_TURN_SECRET="")
    assert result.exit_code == 2
    assert "BASS_WEBRTC_TURN_SECRET is empty" in " ".join(result.output.split())
    assert servers == []


def test_option_overrides_an_empty_token_in_the_environment(servers: list[FakeServer]) -> None:
    assert _invoke("serve", "tone", "--token", "secret", BASS_WEBRTC_TOKEN="").exit_code == 0
    assert servers[0].config.token == "secret"


@pytest.mark.parametrize(
    ("argument", "server"),
    [
        ("stun:s.example", IceServer("stun:s.example")),
        ("turn:alice:secret@t.example", IceServer("turn:t.example", "alice", "secret")),
        ("TURN://alice:s%40cret@t.example/", IceServer("turn:t.example", "alice", "s@cret")),
        ("turns:17:alice:a/b=@[::1]:443?transport=tcp", IceServer("turns:[::1]:443?transport=tcp", "17:alice", "a/b=")),
    ],
)
def test_ice_server_argument_may_contain_credentials(servers: list[FakeServer], argument: str, server: object) -> None:
    assert _invoke("serve", "tone", "--ice-server", argument, "--ice-server", "stun:other.example").exit_code == 0
    assert servers[0].config.ice_servers == (server, IceServer("stun:other.example"))


def test_push_and_pull_parse_ice_servers_like_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Sequence[IceServer]] = []
    monkeypatch.setattr(cli, "WhipClient", lambda *arguments: made.append(arguments[-1]))
    monkeypatch.setattr(cli, "WhepClient", lambda *arguments, **_: made.append(arguments[-1]))
    monkeypatch.setattr(push_pull, "push", lambda _opened, make, _stop: make(Tone()))
    monkeypatch.setattr(push_pull, "pull", lambda *_: None)
    options = ["--ice-server", "turn:alice:secret@t.example", "--ice-server", "stun:s.example"]
    assert _invoke("push", "tone", "http://s.example/whip", *options).exit_code == 0
    assert _invoke("pull", "http://s.example/whep", *options).exit_code == 0
    assert made == [(IceServer("turn:t.example", "alice", "secret"), IceServer("stun:s.example"))] * 2
    assert _invoke("pull", "http://s.example/whep", "--ice-server", "turn:t.example").exit_code == 2
    assert _invoke("pull", "http://s.example/whep", *options, "--ice-server", "turn:a:b@t?transport=tls").exit_code == 2
    assert _invoke("serve", "tone", "--visitor-ice-server", "stun:a, b").exit_code == 2


@pytest.mark.parametrize(("options", "expected"), [([], None), (["--allow-private"], False)])
def test_private_networks_can_be_allowed(
    options: list[str], expected: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By push, pull and doctor; the default is that of the clients."""
    made: list[object] = []

    def make(*_: object, **more: object) -> list[Finding]:
        made.append(more.get("forbid_private"))
        return []

    monkeypatch.setattr(cli, "WhipClient", make)
    monkeypatch.setattr(cli, "WhepClient", make)
    monkeypatch.setattr(endpoint_doctor, "examine_endpoint", make)
    monkeypatch.setattr(push_pull, "push", lambda _opened, make, _stop: make(Tone()))
    monkeypatch.setattr(push_pull, "pull", lambda *_: None)
    assert _invoke("push", "tone", "http://s.example/whip", *options).exit_code == 0
    assert _invoke("pull", "http://s.example/whep", *options).exit_code == 0
    assert _invoke("doctor", "http://s.example/whep", *options).exit_code == 0
    assert made == [expected] * 3


def test_origins_that_get_the_token_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """To push, pull and doctor."""
    made: list[object] = []

    def make(*_: object, **more: object) -> list[Finding]:
        made.append(more["trusted_origins"])
        return []

    monkeypatch.setattr(cli, "WhipClient", make)
    monkeypatch.setattr(cli, "WhepClient", make)
    monkeypatch.setattr(endpoint_doctor, "examine_endpoint", make)
    monkeypatch.setattr(push_pull, "push", lambda _opened, make, _stop: make(Tone()))
    monkeypatch.setattr(push_pull, "pull", lambda *_: None)
    options = ["--trusted-origin", "https://a.example", "--trusted-origin", "https://b.example"]
    for command in (["push", "tone", "http://h/whip"], ["pull", "http://h/whep"], ["doctor", "http://h/whep"]):
        assert _invoke(*command, *options).exit_code == 0
    assert made == [("https://a.example", "https://b.example")] * 3


@pytest.mark.parametrize("url", ["turn:t.example", "http://t.example"])
def test_unusable_visitor_ice_server_is_rejected(servers: list[FakeServer], url: str) -> None:
    result = _invoke("serve", "tone", "--visitor-ice-server", url)
    assert result.exit_code == 2
    assert not servers


@pytest.mark.parametrize(
    ("argument", "source"),
    [
        ("tone", Tone(440.0)),
        ("tone:1000.5", Tone(1000.5)),
        ("./tone", BassFile("./tone")),
        ("song.mp3", BassFile("song.mp3")),
        ("https://radio.example/stream", BassFile("https://radio.example/stream")),
    ],
)
def test_source_argument_is_parsed(servers: list[FakeServer], argument: str, source: object) -> None:
    assert _invoke("serve", argument).exit_code == 0
    assert servers[0].source == source


def test_loop_option_repeats_the_file(servers: list[FakeServer]) -> None:
    _invoke("serve", "song.mp3", "--loop")
    assert servers[0].source == BassFile("song.mp3", loop=True)


def test_channels_are_added_in_order_before_the_start(servers: list[FakeServer]) -> None:
    result = _invoke(
        *("serve", "tone", "--loop", "--channel", "jazz=jazz.mp3", "--channel", "talk=device:2"),
        *("--channel", "news=https://radio.example/?a=b", "--channel", "test=tone:1000"),
    )
    assert result.exit_code == 0, result.output
    assert [*servers[0].channels.items()][1:] == [
        ("jazz", BassFile("jazz.mp3", loop=True)),
        ("talk", BassInput(2)),
        ("news", BassFile("https://radio.example/?a=b", loop=True)),
        ("test", Tone(1000.0)),
    ]


@pytest.mark.parametrize(
    ("arguments", "links"),
    [
        ([], ("http://127.0.0.1:1234/", "http://127.0.0.1:1234/?channel=jazz")),
        (["--no-page"], ("http://127.0.0.1:1234/whep", "http://127.0.0.1:1234/whep/jazz")),
        (["--signaling-mode", "whep"], ("http://127.0.0.1:1234/whep", "http://127.0.0.1:1234/whep/jazz")),
        (["--public-url", "https://a.example/r"], ("https://a.example/r/", "https://a.example/r/?channel=jazz")),
        (["--public-url", "https://a.example/r/"], ("https://a.example/r/", "https://a.example/r/?channel=jazz")),
    ],
    ids=str,
)
def test_link_of_each_channel_is_printed(
    servers: list[FakeServer], arguments: list[str], links: tuple[str, str]
) -> None:
    result = _invoke("serve", "tone", "--channel", "jazz=tone", *arguments)
    lines = [line for line in result.stderr.splitlines() if line.startswith("channel ")]
    assert lines == [f"channel main {links[0]}", f"channel jazz {links[1]}"]


def test_channels_that_have_no_players_are_refused(servers: list[FakeServer]) -> None:
    result = _invoke("serve", "tone", "--channel", "jazz=tone", "--signaling-mode", "whip")
    assert result.exit_code == 2
    assert "no players" in result.stderr
    assert servers == []


def test_demo_programme_plays_without_a_source(servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    class Programme:
        def __init__(self, source: PcmSource, loop: object) -> None:
            assert (source.sample_rate, source.channels, loop) == (48_000, 2, "the loop")

        def start(self) -> None:
            log.append("start")

        def close(self) -> None:
            log.append("close")

    monkeypatch.setattr(demo, "DemoProgramme", Programme)
    monkeypatch.setattr(demo, "render", lambda: "the loop")
    assert _invoke("serve").exit_code == 0
    assert isinstance(servers[0].source, PcmSource)
    assert log == ["start", "close"]


@pytest.mark.parametrize(("argument", "number"), [("device", None), ("device:2", 2)])
def test_device_argument_names_an_input(servers: list[FakeServer], argument: str, number: int | None) -> None:
    assert _invoke("serve", argument).exit_code == 0
    assert servers[0].source == BassInput(number)


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--max-peers", "0"],
        ["serve", "--max-peers", "many"],
        ["serve", "--bitrate", "5"],
        ["serve", "--frame-ms", "15"],
        ["serve", "--port", "70000"],
        ["serve", "--udp-port", "-1"],
        ["serve", "--public-ip", "radio.example"],
        ["serve", "--token", ""],
        ["serve", "--tls-cert", "cert.pem"],
        ["serve", "--stats-every", "0"],
        ["serve", "--ice-server", "turn:t.example"],
        ["serve", "--ice-server", "t.example"],
        ["serve", "--input-device", "loud"],
        ["serve", "--input-device", "-1"],
        ["serve", "tone:high"],
        ["serve", "--channel", "jazz"],
        ["serve", "--channel", "jazz="],
        ["serve", "--channel", "=jazz.mp3"],
        ["serve", "--channel", "jazz=tone:high"],
        ["serve", "--fallback-bitrate", "low"],
        ["serve", "tone:-1"],
        ["serve", "tone:nan"],
        ["serve", "tone:"],
        ["serve", "device:first"],
        ["serve", "a.mp3", "b.mp3"],
        ["serve", "--volume", "11"],
        ["play"],
    ],
    ids=" ".join,
)
def test_bad_arguments_exit_with_code_2_and_a_reason(servers: list[FakeServer], arguments: list[str]) -> None:
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.output
    assert servers == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["serve", "--port", "70000"], "--port: --port is 70000"),
        (["serve", "--bitrate", "many"], "'--bitrate': 'many' is not a number; expected a whole number"),
        (["serve", "tone:high"], "SOURCE: 'high' is not a number; expected tone:HZ"),
        (["serve", "--channel", "jazz"], "--channel: 'jazz' is not a channel; expected NAME=SOURCE"),
        (["serve", "--channel", "jazz=tone:high"], "--channel: 'high' is not a number; expected tone:HZ"),
        (["pull", "ftp://h/whep"], "URL: URL"),
        (["serve", "--input-device", "loud"], "no output device 'loud'; expected none, default or a number"),
    ],
)
def test_usage_error_names_the_argument(servers: list[FakeServer], arguments: list[str], reason: str) -> None:
    assert reason in _invoke(*arguments).output


@pytest.mark.parametrize(
    "command", ["", "serve", "push", "pull", "devices", "doctor", "capi", "capi build", "capi cflags", "capi ldflags"]
)
def test_help_fits_80_columns(command: str) -> None:
    result = _invoke(*command.split(), "--help", COLUMNS="80")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "..." not in result.output.partition("Commands:")[2]


def test_ready_line_goes_to_standard_error(servers: list[FakeServer]) -> None:
    result = _invoke("serve", "tone")
    assert result.stderr == "listening on http://127.0.0.1:1234/\n"
    assert result.stdout == ""
    assert servers[0].log == ["start", "close"]


def test_end_of_source_is_reported(servers: list[FakeServer], capsys: pytest.CaptureFixture[str]) -> None:
    _invoke("serve", "tone")
    servers[0].callbacks["source_ended"](SourceEnd(45, "BASS_ERROR_ENDED", reopens=False))
    servers[0].callbacks["source_ended"](SourceEnd(45, "BASS_ERROR_ENDED", reopens=True))
    assert capsys.readouterr().err == "source ended (BASS_ERROR_ENDED); sending silence\n"


def test_end_of_source_names_the_channel_of_several(
    servers: list[FakeServer], capsys: pytest.CaptureFixture[str]
) -> None:
    _invoke("serve", "tone", "--channel", "jazz=tone")
    servers[0].callbacks["source_ended"](SourceEnd(45, "BASS_ERROR_ENDED", reopens=False, channel="jazz"))
    assert capsys.readouterr().err == "source of channel jazz ended (BASS_ERROR_ENDED); sending silence\n"


def test_statistics_are_printed_as_json_lines(servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Rounds(2)
    monkeypatch.setattr(cli, "_stop_on_signals", lambda: stop)
    lines = [json.loads(line) for line in _invoke("serve", "tone", "--stats-every", "2.5").stdout.splitlines()]
    assert [line["frames_sent"] for line in lines] == [2, 3]
    assert lines[0] == json.loads(json.dumps(ServerStats(frames_sent=2).as_dict()))
    assert stop.waits == [2.5] * 3


def test_failure_is_one_line_and_exit_code_1(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: FakeServer) -> None:
        raise PortInUseError("TCP port 8080 is in use")

    monkeypatch.setattr(FakeServer, "start", fail)
    monkeypatch.setattr("sys.argv", ["bass-webrtc", "serve", "tone"])
    with pytest.raises(SystemExit) as exited:
        cli.main()
    assert exited.value.code == 1
    assert capsys.readouterr().err == "bass-webrtc: TCP port 8080 is in use\n"
    assert servers[0].log == ["close"]


def test_operating_system_error_names_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "missing" / "input.wav"

    def fail() -> None:
        missing.open("wb")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as exited:
        cli.main()
    assert exited.value.code == 1
    assert capsys.readouterr().err == f"bass-webrtc: {missing}: No such file or directory\n"


def test_output_in_a_code_page_without_arrows_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows gives a pipe such an encoding."""
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding="cp1252", newline="\n"))
    monkeypatch.setattr(cli, "app", lambda: print("↑ 128 kbit/s, Müller"))  # noqa: T201
    cli.main()
    sys.stdout.flush()
    assert pipe.getvalue() == "? 128 kbit/s, Müller\n".encode("cp1252")


def test_garbage_collection_does_not_look_at_what_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stop the signaling for 50 ms."""
    monkeypatch.setattr(cli, "app", lambda: None)
    cli.main()
    assert gc.get_freeze_count() > 10_000


@pytest.mark.parametrize("number", STOPPING)
def test_first_signal_stops_and_second_kills(stop: threading.Event, number: signal.Signals) -> None:
    assert not stop.is_set()
    signal.raise_signal(number)
    assert stop.wait(10.0)
    assert signal.getsignal(number) == signal.SIG_DFL


def test_devices_lists_outputs_and_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = (Device(0, "No sound", "", False, True), Device(1, "Speakers [front]", "hw", True, True))
    monkeypatch.setattr(devices, "outputs", lambda: outputs)
    monkeypatch.setattr(devices, "inputs", lambda: (Device(0, "Microphone", "", False, False),))
    result = _invoke("devices")
    assert result.exit_code == 0
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "output 0 No sound",
        "output 1 Speakers [front] (default)",
        "input 0 Microphone (not available)",
    ]


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warning", 0), ("error", 1)])
def test_doctor_prints_advice_and_exits_with_1_on_errors(
    monkeypatch: pytest.MonkeyPatch, level: Any, code: int
) -> None:
    findings = [Finding("Python", "ok", "3.11"), Finding("BASS", level, "libbass.so [x]", "Install sound-lib")]
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    result = _invoke("doctor")
    assert result.exit_code == code
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "ok Python: 3.11",
        f"{level} BASS: libbass.so [x]",
        "Install sound-lib",
    ]


@pytest.mark.parametrize("arguments", [("ftp://h/whip",), ("http://h/stream",), ("http://h/whip", "--protocol", "sip")])
def test_doctor_rejects_a_url_without_known_protocol(arguments: tuple[str, ...]) -> None:
    assert _invoke("doctor", *arguments).exit_code == 2


def test_version_is_shown() -> None:
    result = _invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"{__version__}\n")


def test_incoming_audio_is_recorded(servers: list[FakeServer], tmp_path: Path) -> None:
    result = _invoke("serve", "tone", "--record-input", str(tmp_path / "input.wav"))
    assert (result.exit_code, result.stderr) == (0, "listening on http://127.0.0.1:1234/\n")
    assert (tmp_path / "input.wav").read_bytes()[:4] == b"RIFF"


def test_failed_start_keeps_the_existing_recording(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: FakeServer) -> None:
        raise PortInUseError("TCP port 8080 is in use")

    path = tmp_path / "input.wav"
    path.write_text("yesterday", encoding="utf-8")
    monkeypatch.setattr(FakeServer, "start", fail)
    assert isinstance(_invoke("serve", "tone", "--record-input", str(path)).exception, PortInUseError)
    assert path.read_text(encoding="utf-8") == "yesterday"


def test_playing_and_recording_without_bassmix_is_a_usage_error(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ConfigError("needs BASSmix")

    monkeypatch.setattr(input_player, "find_splitter", fail)
    result = _invoke("serve", "tone", "--input-device", "default", "--record-input", "input.wav")
    assert (result.exit_code, servers) == (2, [])
    assert "needs BASSmix" in result.output


def test_recording_error_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    cli._report_recording_error(OSError(28, "No space left on device"))
    assert capsys.readouterr().err == "bass-webrtc: recording stopped: No space left on device\n"


def test_signal_inside_a_wait_stops_the_command(stop: threading.Event) -> None:
    """The signal handler runs in the thread that waits, which may hold the event's lock at that moment."""
    with stop._cond:  # type: ignore[attr-defined]
        signal.raise_signal(signal.SIGTERM)
    assert stop.wait(10.0)
