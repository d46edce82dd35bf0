"""Errors of the client are informative and safe to log."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.signaling.client.errors import ErrorMaker, Reply
from bass_webrtc.signaling.client.urls import Url
from bass_webrtc.signaling.messages import Headers
from support.conformance import covers

URL = Url.parse("https://media.example/whip?key=qu3ry-s3cr3t")
TOKEN = "t0ken"


def reply(status: int = 400, body: str | bytes = b"", *fields: tuple[str, str], withheld: bool = False) -> Reply:
    data = body.encode() if isinstance(body, str) else body
    return Reply(status, Headers(fields), data, URL, withheld)


PROBLEM = ("Content-Type", "application/problem+json; charset=utf-8")
TEXT = ("Content-Type", "text/plain")


def maker(*secrets: str) -> ErrorMaker:
    return ErrorMaker(secrets, lambda: 784111777.0)


@covers("CL1")
@pytest.mark.parametrize(
    ("field", "body", "detail"),
    [
        (PROBLEM, json.dumps({"title": "Bad", "detail": "No Opus."}), "No Opus."),
        (PROBLEM, json.dumps({"title": "Bad"}), "Bad"),
        (
            ("Content-Type", "application/json"),
            '{"status":"error","error":"no stream is available"}',
            "no stream is available",
        ),
        (PROBLEM, "{", "the server refused"),
        (PROBLEM, "[" * 4000, "the server refused"),
        (PROBLEM, '{"detail": 7}', "the server refused"),
        (PROBLEM, "[]", "the server refused"),
        (TEXT, "one\r\n two\x1b[31m", "one two [31m"),
        (TEXT, b"\xff\xfe", "\ufffd\ufffd"),
        (("Content-Type", "text/html"), "<html>…", "the server refused"),
        (TEXT, "", "the server refused"),
    ],
)
def test_detail_comes_from_the_response_body(field: tuple[str, str], body: str | bytes, detail: str) -> None:
    """MediaMTX and LiveKit answer with JSON of their own, others with text."""
    error = maker().refusal(reply(400, body, field))
    assert (error.status, error.url, error.detail) == (400, "https://media.example/whip", detail)


def test_detail_is_truncated() -> None:
    assert len(maker().refusal(reply(400, "x" * 4000, TEXT)).detail) == 200


@covers("SE62", "CL11")
def test_tokens_and_secret_urls_are_hidden() -> None:
    """Even if the server repeats them."""
    errors = maker(TOKEN)
    errors.hide(URL)
    errors.hide(Url.parse("https://media.example/s/s3ss10n-of-mine?id=4%2F4x"), shortest=10)
    body = f"{TOKEN} is bad at /s/s3ss10n-of-mine?id=4%2F4x or id 4/4x with qu3ry-s3cr3t"
    assert str(errors.refusal(reply(401, body, TEXT))) == (
        "https://media.example/whip: HTTP 401: … is bad at /s/…?… or id … with …"
    )


@covers("SE62")
def test_truncation_does_not_reveal_part_of_a_secret() -> None:
    detail = maker("s3cr3t" * 5).refusal(reply(400, "x" * 190 + "s3cr3t" * 5, TEXT)).detail
    assert "s3" not in detail


@covers("CL12")
def test_error_has_retry_after() -> None:
    error = maker().refusal(reply(503, "", ("Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT")))
    assert error.retry_after_s == 10.0
    assert maker().refusal(reply(503)).retry_after_s is None


@covers("CL11")
def test_error_says_that_the_token_was_not_sent() -> None:
    """The user may not expect this after a redirect to another origin."""
    assert "token was not sent" in maker(TOKEN).refusal(reply(401, "no", TEXT, withheld=True)).detail
    assert "token was not sent" not in maker(TOKEN).refusal(reply(404, "no", TEXT, withheld=True)).detail


@covers("SE70")
@given(st.binary(), st.sampled_from(["application/json", "text/plain", "", "text/html", "a+json"]))
def test_any_body_gives_one_printable_line(body: bytes, media_type: str) -> None:
    detail = maker().refusal(reply(500, body, ("Content-Type", media_type))).detail
    assert detail
    assert len(detail) <= 200
    assert "\n" not in detail
