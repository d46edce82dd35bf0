"""Invites: how often, how long and by whom they can be used."""

from __future__ import annotations

import contextlib
import threading
import unicodedata
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bass_webrtc.errors import BassWebRtcError, ConfigError
from bass_webrtc.signaling.messages import Refused
from bass_webrtc.signaling.server import invites as module
from bass_webrtc.signaling.server.invites import MAX_NAME, Invite, Invites, clean_name, invite_url


@dataclass
class Scene:
    """Invites with a settable clock."""

    now: float = 1_790_000_000.0
    invites: Invites = field(init=False)

    def __post_init__(self) -> None:
        self.invites = Invites(lambda: self.now)

    def refusal(self, secret: str) -> tuple[int, str]:
        with pytest.raises(Refused) as refused:
            self.invites.admit(secret)
        return refused.value.status, refused.value.detail


def test_new_invite_is_listed_without_its_secret() -> None:
    scene = Scene()
    assert not scene.invites.required
    made = scene.invites.create("  Anna\n Lind ", uses=2, expires_s=60)
    assert (made.name, made.uses_left, made.expires_at) == ("Anna Lind", 2, 1_790_000_060)
    assert len(made.secret) == 24
    assert scene.invites.all() == (Invite(made.id, "Anna Lind", 2, 1_790_000_060),)
    assert scene.invites.required
    assert made.secret not in repr(made)
    assert made.secret not in repr(vars(scene.invites))


def test_one_time_invite_is_spent_by_its_call() -> None:
    scene = Scene()
    made = scene.invites.create()
    admitted = scene.invites.admit(made.secret)
    assert admitted.secret == ""
    assert scene.refusal(made.secret)[0] == 409, "its guest connects"
    assert scene.invites.connected(admitted)
    assert scene.refusal(made.secret)[0] == 409, "its guest is connected"
    assert [one.uses_left for one in scene.invites.all()] == [0], "listed while in use, so that it can be revoked"
    scene.invites.released(admitted)
    assert scene.refusal(made.secret) == (410, "This invite was used up.")
    assert scene.invites.all() == ()
    assert scene.invites.required, "no guest gets in because the last invite has ended"


def test_call_that_does_not_connect_gives_its_use_back() -> None:
    scene = Scene()
    made = scene.invites.create()
    for _ in range(3):
        scene.invites.failed(scene.invites.admit(made.secret))
    assert scene.invites.connected(scene.invites.admit(made.secret))


def test_invite_for_several_calls_admits_so_many() -> None:
    scene = Scene()
    made = scene.invites.create(uses=3)
    admitted = [scene.invites.admit(made.secret) for _ in range(2)]
    assert all(scene.invites.connected(one) for one in admitted)
    third = scene.invites.admit(made.secret)
    assert scene.refusal(made.secret)[0] == 409
    scene.invites.released(admitted[0])
    assert scene.refusal(made.secret)[0] == 409, "the end of a call gives no use back"
    scene.invites.failed(third)
    assert scene.invites.connected(scene.invites.admit(made.secret))


def test_expired_invite_is_refused_but_its_call_goes_on() -> None:
    scene = Scene()
    made, unused = scene.invites.create(uses=2, expires_s=60), scene.invites.create(expires_s=60)
    admitted = scene.invites.admit(made.secret)
    scene.now += 59.9
    assert len(scene.invites.all()) == 2
    scene.now += 0.1
    assert scene.invites.connected(admitted), "it was admitted in time"
    assert scene.refusal(made.secret) == (410, "This invite has expired.")
    assert scene.refusal(unused.secret) == (410, "This invite has expired.")
    assert [one.id for one in scene.invites.all()] == [made.id], "it is in use"
    scene.invites.released(admitted)
    assert scene.invites.all() == ()
    assert scene.refusal(made.secret)[0] == 410


def test_revoked_invite_ends_its_calls() -> None:
    scene = Scene()
    revoked: list[Invite] = []
    scene.invites.on_revoked = revoked.append
    made = scene.invites.create("Anna", uses=3)
    first, second, third = (scene.invites.admit(made.secret) for _ in range(3))
    assert scene.invites.connected(first)
    scene.invites.revoke(made.id)
    assert [(one.id, one.secret) for one in revoked] == [(made.id, "")]
    assert scene.refusal(made.secret) == (410, "This invite was revoked.")
    assert not scene.invites.connected(second), "its call may not go on"
    scene.invites.failed(third)
    scene.invites.released(first)
    with pytest.raises(KeyError):
        scene.invites.revoke(made.id)
    assert len(revoked) == 1


@pytest.mark.parametrize("secret", ["", "x", "\ud800", "…" * 5000])
def test_unknown_secret_is_refused(secret: str) -> None:
    scene = Scene()
    assert scene.refusal(secret)[0] == 403
    made = scene.invites.create()
    for other in (secret, made.id, made.secret[:-1], made.secret + " ", made.secret.swapcase()):
        assert scene.refusal(other)[0] == 403


@pytest.mark.parametrize(
    "wrong",
    [{"uses": 0}, {"uses": 1001}, {"uses": True}, {"uses": 1.5}, {"expires_s": 59}, {"expires_s": 2_592_001}],
)
def test_wrong_argument_is_named_with_its_value(wrong: dict[str, Any]) -> None:
    scene = Scene()
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"{name} is {value}; expected a whole number"):
        scene.invites.create(**wrong)
    assert not scene.invites.required


def test_number_of_open_invites_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INVITES", 3)
    scene = Scene()
    made = [scene.invites.create() for _ in range(3)]
    with pytest.raises(BassWebRtcError, match="3 invites are open"):
        scene.invites.create()
    scene.invites.revoke(made[0].id)
    scene.invites.create()
    scene.now += 86_400
    assert scene.invites.create().id, "expired ones do not count"


def test_latest_ended_invites_are_told_apart_from_unknown_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ENDED", 2)
    scene = Scene()
    made = [scene.invites.create() for _ in range(3)]
    for one in made:
        scene.invites.revoke(one.id)
    assert [scene.refusal(one.secret)[0] for one in made] == [403, 410, 410]


def test_version_changes_with_what_is_listed() -> None:
    scene = Scene()
    seen = [scene.invites.version]
    made, other = scene.invites.create(), scene.invites.create()
    seen.append(scene.invites.version)
    admitted = scene.invites.admit(made.secret)
    assert scene.invites.connected(admitted)
    seen.append(scene.invites.version)
    scene.invites.released(admitted)
    seen.append(scene.invites.version)
    scene.invites.revoke(other.id)
    seen.append(scene.invites.version)
    assert sorted(set(seen)) == seen


def test_threads_that_use_one_invite_at_once_share_its_uses() -> None:
    invites = Invites()
    made = invites.create(uses=100)
    admitted: list[Invite] = []
    begin = threading.Barrier(8)

    def use() -> None:
        begin.wait()
        for _ in range(50):
            with contextlib.suppress(Refused):
                one = invites.admit(made.secret)
                assert invites.connected(one)
                admitted.append(one)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 100
    for one in admitted:
        invites.released(one)
    assert invites.all() == ()


# Names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna", "Anna"),
        ("  Anna \t\r\n Lind\u2028\u00a0 ", "Anna Lind"),
        ("An\x00na\x1b[31m", "Anna[31m"),
        ("\u202egnihtemos\u2066", "gnihtemos"),
        ("\ufeffAn\u200bna\u00ad", "Anna"),
        ("\ud800Anna", "Anna"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("A\u200d\u200d\u200d\u200dB", "A\u200dB"),
        ("\u200d \u200c", ""),
        ("<b>Anna</b> & Co", "<b>Anna</b> & Co"),
        ("x" * 59 + " yz", "x" * 59),
        ("ä" * 61, "ä" * 60),
    ],
)
def test_name_is_one_line_of_visible_text(text: str, expected: str) -> None:
    assert clean_name(text) == expected


@given(st.text(max_size=200))
@example("\u200d\u200d \u200d")
@example("x" * 59 + "\u200dy")
def test_any_text_becomes_a_name_that_stays_as_it_is(text: str) -> None:
    name = clean_name(text)
    assert len(name) <= MAX_NAME
    assert clean_name(name) == name
    assert name == " ".join(name.split())
    assert not any(unicodedata.bidirectional(one) in ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI") for one in name)
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in name)


def test_url_is_below_the_root_of_the_server() -> None:
    assert invite_url("S") == "/call?invite=S"
    assert invite_url("S", "/radio") == "/radio/call?invite=S"
    assert invite_url("S", "https://radio.example/") == "https://radio.example/call?invite=S"


def test_call_that_is_lost_is_not_counted() -> None:
    """The guest calls again with an invite for one call; what one of both sides has ended is counted."""
    invites = Invites()
    secret = invites.create("Anna").secret
    for _ in range(3):
        admitted = invites.admit(secret)
        assert invites.connected(admitted)
        invites.released(admitted, is_lost=True)
    admitted = invites.admit(secret)
    assert invites.connected(admitted)
    invites.released(admitted)
    with pytest.raises(Refused, match="used up"):
        invites.admit(secret)
