"""Consent as a clock, in virtual time (RFC 7675)."""

from __future__ import annotations

import random

import pytest

from bass_webrtc.rtc.consent import CONSENT_LIFETIME_S, Consent
from support.conformance import covers


def _check_times(consent: Consent, until_s: float) -> list[float]:
    times = []
    now_s = consent.timeout_s()
    while now_s < until_s and not consent.is_expired(now_s):
        if consent.take_check(now_s):
            times.append(now_s)
        now_s = consent.timeout_s()
    return times


@covers("SE20")
def test_expires_30_s_after_the_last_valid_response() -> None:
    consent = Consent(100.0, random.Random(1))
    assert not consent.is_expired(129.999)
    consent.grant(129.0)
    assert not consent.is_expired(158.999)
    assert consent.is_expired(159.0)


@covers("SE21")
def test_a_response_after_the_end_revives_nothing() -> None:
    consent = Consent(0.0, random.Random(1))
    consent.grant(30.0)
    assert consent.is_expired(30.0)
    assert not consent.take_check(31.0)


@covers("SE20")
@pytest.mark.parametrize("seed", range(20))
def test_checks_come_every_4_to_6_s_and_at_random(seed: int) -> None:
    times = _check_times(Consent(0.0, random.Random(seed)), CONSENT_LIFETIME_S)
    gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert 4 <= len(times) <= 7
    assert all(4.0 <= gap <= 6.0 for gap in gaps)
    assert len(set(gaps)) == len(gaps)


@covers("SE20")
def test_a_check_that_is_late_does_not_bring_a_burst() -> None:
    consent = Consent(0.0, random.Random(1))
    assert consent.take_check(25.0)
    assert not consent.take_check(28.9)


def test_the_timeout_is_the_end_when_no_check_comes_before_it() -> None:
    consent = Consent(0.0, random.Random(1))
    assert consent.take_check(29.0)
    assert consent.timeout_s() == 30.0
