"""The documentation site builds without a warning, and its extensions read what they document."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import c_header
import command_line
import metric_names

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "src/bass_webrtc/capi/bass_webrtc.h"


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build a site as `make docs` does."""
    command = [sys.executable, "-m", "sphinx", "-E", "-q", "-W", "--keep-going", "-n", "-b", "html"]
    return subprocess.run(
        [*command, "-c", str(ROOT / "docs"), "-d", str(target / "doctrees"), str(source), str(target / "html")],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    result = build(ROOT / "docs", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    c_page = (tmp_path / "html/reference/c.html").read_text(encoding="utf-8")
    python_page = (tmp_path / "html/reference/python.html").read_text(encoding="utf-8")
    assert 'id="c.BASS_WEBRTC_Start"' in c_page
    assert 'href="#bass_webrtc.Peer"' in python_page, "the types in signatures are links"


def test_broken_references_are_errors(tmp_path: Path) -> None:
    broken = ("[](no-such-page.md)", "{py:class}`bass_webrtc.Sever`", "{c:func}`BASS_WEBRTC_Strat`")
    (tmp_path / "index.md").write_text("# Page\n\n" + "\n\n".join(broken) + "\n", encoding="utf-8")
    result = build(tmp_path, tmp_path / "build")
    assert result.returncode == 1
    for line, name in enumerate(("no-such-page", "bass_webrtc.Sever", "BASS_WEBRTC_Strat")):
        assert re.search(rf"index.md:{3 + 2 * line}: WARNING: .*{name}", result.stderr)


# -- the C header


def test_header_is_read_completely() -> None:
    text = HEADER.read_text(encoding="utf-8")
    header = c_header.read_header(text)
    assert len(header.functions) == len(re.findall(r"BASS_WEBRTC_CALL BASS_WEBRTC_\w+\(", text))
    assert all(item.comment for item in header.items if item.kind in ("function", "struct"))
    lines = "\n".join(c_header.document(header))
    for name in re.findall(r"^#define (BASS_WEBRTC_\w+) +-?\d", text, re.MULTILINE):
        assert f"``{name}``" in lines


SMALL = """
/*
 * small.h: a manual.
 *
 *     call(); // code
 */
/* ------------------------------------------------------------------ numbers */

/* One group */
#define ONE 1 /* the first */
#define TWO 2

/* Settings. */
typedef struct {
    int level; /* in dB,
                  two lines */
    char name[64];
    /* Called. */
    void (*on_end)(int code, void *user);
} Config;

enum {
    FIRST, /* at first */
    SECOND /* then */
};

/* ---- functions */

/* Start it_now with *care*.
 *
 * Parameters: handle: the server. level, other: two
 *             numbers: not a parameter, but text.
 * Returns:    1 or 0. */
int BASS_WEBRTC_CALL BASS_WEBRTC_Start(void *handle, int level, int other);

/* A sentence without fields. See BASS_WEBRTC_Start(). */
int BASS_WEBRTC_CALL BASS_WEBRTC_Stop(void *handle);
"""


def test_header_parser_reads_sections_constants_and_fields() -> None:
    header = c_header.read_header(SMALL)
    kinds = ["section", "text", "define", "define", "struct", "enum", "section", "function", "function"]
    assert [item.kind for item in header.items] == kinds
    assert [item.comment for item in header.items if item.kind == "define"] == ["the first", ""]
    lines = c_header.document(header)
    assert "   call(); // code" in lines
    members = [line.strip() for line in lines if "c:member::" in line or (line.startswith("      ") and line.strip())]
    assert members[:5] == [
        ".. c:member:: int level",
        "in dB, two lines",
        ".. c:member:: char name[64]",
        ".. c:member:: void (*on_end)(int code, void *user)",
        "Called.",
    ]
    assert lines[lines.index("   * - ``SECOND``") + 1 :][:2] == ["     - ``1``", "     - then"]
    assert ".. c:function:: int BASS_WEBRTC_Start(void *handle, int level, int other)" in lines
    assert "      - ``handle``: the server." in lines
    assert "   :Returns: 1 or 0." in lines
    assert "   Start it\\_now with \\*care\\*." in lines
    assert "   A sentence without fields. See :c:func:`BASS_WEBRTC_Start`." in lines


# -- the command line and the metrics


def test_every_command_and_option_has_a_description() -> None:
    found = dict(command_line.commands())
    assert {"bass-webrtc serve", "bass-webrtc push", "bass-webrtc capi build"} <= set(found)
    for name, command in found.items():
        assert "No description." not in "\n".join(command_line.describe(name, command)), name


def test_metrics_have_a_kind_and_a_meaning() -> None:
    found = metric_names.metrics()
    assert len(found) > 40
    assert all(name.startswith("bass_webrtc_") and kind in ("counter", "gauge") and text for name, kind, text in found)
