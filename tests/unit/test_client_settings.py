"""What a client is told, checked."""

from __future__ import annotations

import pytest

from bass_webrtc.errors import ConfigError
from bass_webrtc.signaling.client.settings import ClientSettings
from support.conformance import covers


@covers("CL11")
def test_no_token_no_authorization() -> None:
    """CL11 (WHIP 4.7.1)."""
    assert ClientSettings("https://a.example/whip").authorization is None


@covers("CL11")
def test_a_token_is_a_bearer_token() -> None:
    """It goes before what stands in the URL."""
    assert ClientSettings("https://u:p@a.example/whip", "abc").authorization == "Bearer abc"


def test_user_and_password_of_the_url() -> None:
    """MediaMTX asks for HTTP Basic (RFC 7617)."""
    settings = ClientSettings("https://user:p%40ss@a.example/whip")
    assert settings.authorization == "Basic dXNlcjpwQHNz"
    assert settings.endpoint.text == "https://a.example/whip"
    assert settings.secrets == ("dXNlcjpwQHNz", "p@ss")


@covers("SE65", "SE62")
@pytest.mark.parametrize("token", ["", "Bearer abc", "a\r\nX: y", "ä", "a\x00"])
def test_tokens_that_are_none(token: str) -> None:
    """The error does not show it."""
    with pytest.raises(ConfigError) as caught:
        ClientSettings("https://a.example/whip", token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("url", ["", "a.example/whip", "rtmp://a.example/s3cr3t", "https://", "https://[s3cr3t/"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"url: .*expected https") as caught:
        ClientSettings(url)
    assert "s3cr3t" not in str(caught.value)


def test_origins_that_are_none() -> None:
    with pytest.raises(ConfigError, match="trusted_origins"):
        ClientSettings("https://a.example", trusted_origins=("media.example",))


@pytest.mark.parametrize("name", ["request_timeout_s", "connect_timeout_s", "delete_timeout_s", "cancel_grace_s"])
def test_times_are_more_than_nothing(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        ClientSettings("https://a.example", **{name: 0.0})  # type: ignore[arg-type]


@covers("SE62")
def test_no_secret_is_shown() -> None:
    settings = ClientSettings("https://user:passw0rd@a.example/whip?key=s3cr3t", "t0ken")
    assert not any(secret in repr(settings) for secret in ("passw0rd", "s3cr3t", "t0ken"))
