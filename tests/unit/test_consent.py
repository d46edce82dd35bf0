"""Consent timers in virtual time (RFC 7675)."""

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
def test_response_after_expiry_is_ignored() -> None:
    consent = Consent(0.0, random.Random(1))
    consent.grant(30.0)
    assert consent.is_expired(30.0)
    assert not consent.take_check(31.0)


@covers("SE20")
@pytest.mark.parametrize("seed", range(20))
def test_checks_are_sent_at_random_intervals_of_4_to_6_s(seed: int) -> None:
    times = _check_times(Consent(0.0, random.Random(seed)), CONSENT_LIFETIME_S)
    gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert 4 <= len(times) <= 7
    assert all(4.0 <= gap <= 6.0 for gap in gaps)
    assert len(set(gaps)) == len(gaps)


@covers("SE20")
def test_late_check_does_not_cause_a_burst() -> None:
    consent = Consent(0.0, random.Random(1))
    assert consent.take_check(25.0)
    assert not consent.take_check(28.9)


def test_timeout_is_expiry_if_no_check_is_due_before() -> None:
    consent = Consent(0.0, random.Random(1))
    assert consent.take_check(29.0)
    assert consent.timeout_s() == 30.0
