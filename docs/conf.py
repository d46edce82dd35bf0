"""Sphinx configuration: `make docs` builds the site into build/docs."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import bass_webrtc  # noqa: E402

project = "bass-webrtc"
author = "bass-webrtc contributors"
version = release = bass_webrtc.__version__
language = "en"
smartquotes = False  # Options have two hyphens, and C strings have straight quotes.

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "public_names",
    "c_header",
    "command_line",
    "metric_names",
]
exclude_patterns = ["_ext"]

html_theme = "furo"
html_title = "bass-webrtc"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_enable_extensions = ["attrs_block", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "inherited-members": True}
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# References to this project's own names must resolve. Those to the standard library, to NumPy and to internal types
# lead nowhere, because the build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(?!bass_webrtc\.).*"),
    ("py:.*", r"bass_webrtc\.\w+\..*"),
    ("c:.*", r"(?!BASS_WEBRTC_).*"),
]
