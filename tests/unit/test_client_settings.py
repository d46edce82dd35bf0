"""Settings of a client's session are checked."""

from __future__ import annotations

import pytest

from bass_webrtc.errors import ConfigError
from bass_webrtc.signaling.client.settings import ClientSettings
from support.conformance import covers


@covers("CL11")
def test_no_authorization_without_a_token() -> None:
    """RFC 9725, 4.7.1."""
    assert ClientSettings("https://a.example/whip").authorization is None


@covers("CL11")
def test_token_is_sent_as_a_bearer_token() -> None:
    """It takes precedence over user name and password in the URL."""
    assert ClientSettings("https://u:p@a.example/whip", "abc").authorization == "Bearer abc"


def test_user_and_password_in_the_url_are_sent_by_http_basic() -> None:
    """MediaMTX requires HTTP Basic (RFC 7617)."""
    settings = ClientSettings("https://user:p%40ss@a.example/whip")
    assert settings.authorization == "Basic dXNlcjpwQHNz"
    assert settings.endpoint.text == "https://a.example/whip"
    assert settings.secrets == ("dXNlcjpwQHNz", "p@ss")


@covers("SE65", "SE62")
@pytest.mark.parametrize("token", ["", "Bearer abc", "a\r\nX: y", "ä", "a\x00"])
def test_invalid_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigError, match=r"token is .*expected") as caught:
        ClientSettings("https://a.example/whip", token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("url", ["", "a.example/whip", "rtmp://a.example/s3cr3t", "https://", "https://[s3cr3t/"])
def test_invalid_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"url: .*expected https") as caught:
        ClientSettings(url)
    assert "s3cr3t" not in str(caught.value)


def test_invalid_origin_is_refused() -> None:
    with pytest.raises(ConfigError, match="trusted_origins"):
        ClientSettings("https://a.example", trusted_origins=("media.example",))


@pytest.mark.parametrize("name", ["request_timeout_s", "connect_timeout_s", "delete_timeout_s", "cancel_grace_s"])
def test_timeouts_must_be_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        ClientSettings("https://a.example", **{name: 0.0})  # type: ignore[arg-type]


def test_forbid_private_is_checked() -> None:
    with pytest.raises(ConfigError, match="forbid_private is 'no'; expected True, False or None"):
        ClientSettings("https://a.example", forbid_private="no")  # type: ignore[arg-type]


@covers("SE62")
def test_repr_shows_no_secret() -> None:
    settings = ClientSettings("https://user:passw0rd@a.example/whip?key=s3cr3t", "t0ken")
    assert not any(secret in repr(settings) for secret in ("passw0rd", "s3cr3t", "t0ken"))
