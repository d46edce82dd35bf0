"""Chromium as the oracle for what to accept: whatever it accepts and is harmless is accepted here.

Each of some 900 offers, answers, candidates and trickle fragments is given to Chromium and to our readers. The table
"Where we differ from Chromium" in docs/conformance.md lists every difference with its reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.browsers import Chromium
from support.conformance import covers
from support.sdp_variations import Variation, variations
from support.sdp_verdicts import REFUSED, of_chromium, ours

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
HEADING = "## Where we differ from Chromium\n"
CATEGORIES = ("same", "more tolerant", "stricter", "different")


@pytest.mark.timeout(300)  # One evaluation of 400 inputs takes 5 s, and minutes on a busy machine.
@covers("SD3", "SD5")
def test_every_difference_from_chromium_is_listed(
    chromium: Chromium, record_property: Callable[[str, object], None]
) -> None:
    inputs = variations()
    found: dict[str, str] = {}
    details: dict[str, str] = {}
    for one, (theirs, error) in zip(inputs, of_chromium(chromium, inputs), strict=True):
        own, why = ours(one)
        found[one.id] = _category(theirs, own)
        details[one.id] = f"Chromium: {theirs} {error}; here: {own} {why}"
    for kind in ("offer", "answer", "candidate", "fragment"):
        counts = Counter(category for name, category in found.items() if name.startswith(f"{kind}:"))
        parts = ", ".join(f"{counts[category]} {category}" for category in CATEGORIES)
        record_property("summary", f"beside Chromium, {counts.total()} {kind}s: {parts}")
    listed = _listed(inputs)
    unlisted = {name: f"{category}; {details[name]}" for name, category in found.items() if category != "same"}
    gone = {name: category for name, category in listed.items() if found.get(name) != category}
    assert len(inputs) >= 220
    assert {name: text for name, text in unlisted.items() if name not in listed} == {}, "differences without a reason"
    assert gone == {}, "differences that are listed but do not exist"


def _category(theirs: str, own: str) -> str:
    if theirs == own:
        return "same"
    if REFUSED in (theirs, own):
        return "stricter" if own == REFUSED else "more tolerant"
    return "different"


def _listed(inputs: list[Variation]) -> dict[str, str]:
    """Return the category of each difference in the table; ``description: x`` stands for offers and answers."""
    known = {one.id for one in inputs}
    rows = PAGE.read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    listed: dict[str, str] = {}
    for category, reason, cell in re.findall(r"^\| ([a-z ]+) \| ([^|]+) \| (`[^|]+`) \|$", rows, re.MULTILINE):
        assert category in CATEGORIES
        assert len(reason) > 20
        for name in re.findall(r"`([^`]+)`", cell):
            kind, _, rest = name.partition(": ")
            for full in (f"offer: {rest}", f"answer: {rest}") if kind == "description" else (name,):
                assert full in known, f"{full} is not a variation"
                assert full not in listed, f"{full} is listed twice"
                listed[full] = category
    return listed
