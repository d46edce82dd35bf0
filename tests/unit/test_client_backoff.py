"""When a client retries, and how long it waits."""

from __future__ import annotations

import random
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.errors import SignalingError
from bass_webrtc.signaling.client.backoff import (
    MAX_RETRY_AFTER_S,
    Backoff,
    BackoffSettings,
    is_worth_retrying,
    parse_retry_after,
)
from bass_webrtc.stats import Kind
from support.conformance import covers

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE_S = 784111777.0


class Always(random.Random):
    """Random number generator that always returns the same value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


def failure(status: int, retry_after_s: float | None = None) -> SignalingError:
    return SignalingError(status, "https://a.example/", "no", retry_after_s)


@covers("CL12", "CL1")
@pytest.mark.parametrize("kind", ["player", "publisher"])
@pytest.mark.parametrize("status", [0, 408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_temporary_failures_are_retried(status: int, kind: Kind) -> None:
    """An unknown 5xx counts as 500."""
    assert is_worth_retrying(failure(status), kind)


@covers("CL12", "CL1")
@pytest.mark.parametrize("kind", ["player", "publisher"])
@pytest.mark.parametrize(
    "status", [201, 301, 302, 303, 307, 308, 400, 401, 403, 405, 406, 410, 413, 415, 422, 451, 499]
)
def test_permanent_failures_are_not_retried(status: int, kind: Kind) -> None:
    """An unknown 4xx counts as 400."""
    assert not is_worth_retrying(failure(status), kind)


@covers("CL22")
def test_player_retries_404_until_there_is_a_publisher() -> None:
    """MediaMTX answers 404 for this case."""
    assert is_worth_retrying(failure(404), "player")
    assert not is_worth_retrying(failure(404), "publisher")


def test_publisher_retries_404_after_a_session() -> None:
    """A proxy is often back before the server behind it."""
    backoff = Backoff("publisher", source=Always(0.0))
    assert backoff.failed(failure(404), 0.0) is None
    backoff.succeeded(0.0)
    assert [backoff.failed(error, 9.0) for error in (failure(0), failure(404), failure(404))] == [0.0, 0.25, 0.5]
    assert backoff.failed(failure(401), 9.0) is None


def test_invalid_certificate_is_not_retried() -> None:
    error = failure(0)
    error.__cause__ = ssl.SSLCertVerificationError("expired")
    assert not is_worth_retrying(error, "player")


@covers("CL12")
@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("7", None, 7.0),
        (" 0 ", None, 0.0),
        ("86400", None, MAX_RETRY_AFTER_S),
        ("9" * 5000, None, MAX_RETRY_AFTER_S),
        ("Sun, 06 Nov 1994 08:49:47 GMT", None, 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", None, 10.0),
        ("Sun Nov  6 08:49:47 1994", None, 10.0),
        ("Sun, 06 Nov 1994 08:49:27 GMT", None, 0.0),
        ("Sun, 06 Nov 2044 08:49:27 GMT", None, MAX_RETRY_AFTER_S),
        (
            "Sun, 06 Nov 1994 09:00:05 GMT",
            "Sun, 06 Nov 1994 09:00:00 GMT",
            5.0,
        ),  # Relative to the server's own clock, which is wrong.
        ("Sun, 06 Nov 1994 08:49:47 GMT", "rubbish", 10.0),
        (None, None, None),
        ("", None, None),
        ("soon", None, None),
        ("-1", None, None),
        ("1.5", None, None),
        ("٣", None, None),
    ],
)
def test_retry_after_is_parsed_and_capped(value: str | None, date: str | None, expected: float | None) -> None:
    """RFC 9110, 10.2.3: seconds, or a date in any of the three formats."""
    assert parse_retry_after(value, date, DATE_S) == expected


@covers("SE70")
@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, ?[0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} .{0,5}"), st.text())
def test_parsing_retry_after_never_fails(value: str, date: str) -> None:
    seconds = parse_retry_after(value, date, DATE_S)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


@covers("CL12")
def test_waits_double_up_to_a_limit() -> None:
    """The limit is lower for a server that does not respond, so that the client finds it within 2 s of its return."""
    settings = BackoffSettings(first_s=0.25, max_unreachable_s=1.0, max_refused_s=30.0)
    unreachable = Backoff("player", settings, Always(0.0))
    assert [unreachable.failed(failure(0), 0.0) for _ in range(5)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    refused = Backoff("player", settings, Always(0.0))
    waits = [refused.failed(failure(503), 0.0) for _ in range(2000)]
    assert waits[:8] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert waits[-1] == 30.0


@covers("CL12")
def test_half_of_a_wait_is_random() -> None:
    generator = random.Random(1)
    waits = [Backoff("publisher", source=generator).failed(failure(0), 0.0) for _ in range(200)]
    numbers = [wait for wait in waits if wait is not None]
    assert len(set(numbers)) > 190
    assert 0.125 <= min(numbers) < 0.14
    assert 0.235 < max(numbers) <= 0.25


@covers("CL12", "CL22")
def test_wait_is_at_least_retry_after() -> None:
    assert Backoff("player", source=Always(0.0)).failed(failure(409, 7.0), 0.0) == 7.0
    assert Backoff("player", source=Always(1.0)).failed(failure(503, 7.0), 0.0) == 7.125


@covers("CL12")
def test_first_attempt_after_a_session_does_not_wait() -> None:
    """A server that was killed and restarted at once is found at once."""
    backoff = Backoff("player", source=Always(0.0))
    for _ in range(5):
        backoff.failed(failure(503), 0.0)
    backoff.succeeded(10.0)
    assert [backoff.failed(failure(0), 60.0) for _ in range(3)] == [0.0, 0.25, 0.5]


def test_short_sessions_count_as_failures() -> None:
    """A server that ends each session at once is not contacted without a pause."""
    backoff = Backoff("player", source=Always(0.0))
    waits = []
    for now_s in range(0, 20, 5):
        backoff.succeeded(now_s)
        waits.append(backoff.failed(failure(0), now_s + 2.9))
    assert waits == [0.25, 0.5, 1.0, 2.0]


def test_server_that_fell_silent_is_looked_for_as_before() -> None:
    """It was killed, or its link is down, soon after the session began: nobody has taken the path."""
    backoff = Backoff("publisher", source=Always(0.0))
    waits = []
    for now_s in range(0, 30, 5):
        backoff.succeeded(now_s)
        waits.append(backoff.failed(failure(0), now_s + 1.0, is_lost=True))
    assert waits == [0.25, 0.5, 1.0, 1.0, 1.0, 1.0]


def test_two_publishers_on_one_path_leave_each_other_alone_for_longer_and_longer() -> None:
    """Each takes the path from the other when it connects; a server such as MediaMTX allows that."""
    for seed in range(20):
        generator = random.Random(seed)
        clients = [Backoff("publisher", source=generator) for _ in range(2)]
        now_s, changes = 0.0, []
        clients[0].succeeded(now_s)
        for turn in range(1, 200):
            loser, winner = clients[(turn - 1) % 2], clients[turn % 2]
            now_s += 0.3  # to connect
            winner.succeeded(now_s)
            assert loser.short_session_s(now_s) is not None
            wait_s = loser.failed(failure(0), now_s)
            assert wait_s is not None
            now_s += wait_s
            changes.append(now_s)
        assert len([at_s for at_s in changes if at_s < 60.0]) < 15
        assert changes[-1] - changes[-2] > 14.0


def test_session_that_lasts_ends_the_series_of_short_ones() -> None:
    backoff = Backoff("publisher", source=Always(0.0))
    for now_s in range(0, 60, 10):
        backoff.succeeded(now_s)
        backoff.failed(failure(0), now_s + 1.0)
    backoff.succeeded(100.0)
    assert backoff.short_session_s(120.0) == 20.0
    assert backoff.short_session_s(132.0) is None
    assert [backoff.failed(failure(0), 132.0) for _ in range(2)] == [0.0, 0.25]
    backoff.succeeded(200.0)
    assert backoff.failed(failure(0), 201.0) == 0.25


@covers("CL12")
def test_permanent_failure_gives_no_wait() -> None:
    assert Backoff("player").failed(failure(401, 5.0), 0.0) is None
