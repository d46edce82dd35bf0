"""The directive ``.. c-header:: PATH`` documents a C header from its comments.

What it understands of a header:

- the comment at the top: paragraphs, and indented lines, which are C code;
- ``/* ---- title */`` (four or more hyphens): a section;
- ``#define NAME value /* comment */``, structures, enumerations and functions, each with the comment before it;
- in a function's comment, a line that begins with ``Word:`` opens a field (``Parameters:``, ``Returns:``); indented
  lines continue it. ``name: text`` inside of ``Parameters`` is one parameter.

A comment in another form is shown as the paragraphs that it is.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_TOKEN = re.compile(
    r"(?P<comment>/\*.*?\*/)"
    r"|(?P<define>^\#define[ \t]+\w+[^\n/]*(?:/(?!\*)[^\n/]*)*)"
    r"|(?P<other>^\#[^\n]*)"
    r"|(?P<struct>typedef struct \w*\s*\{.*?\}\s*\w+;)"
    r"|(?P<enum>(?:typedef )?enum \w*\s*\{.*?\}\s*\w*;)"
    r"|(?P<function>^[A-Za-z_][\w \t*]*?\bBASS_WEBRTC_CALL\s+\w+\s*\([^;{]*\)\s*;)",
    re.DOTALL | re.MULTILINE,
)
_SECTION = re.compile(r"^-{4,}\s*(.+?)\s*-*$", re.DOTALL)
_FIELD = re.compile(r"^([A-Z][a-z]+):\s+(.*)$")
_PARAMETER = re.compile(r"(?:^|(?<=[.;)]\s))((?:[a-z]\w*, )*[a-z]\w*): ")
_KNOWN = re.compile(r"\b(?:BASS_[A-Z]\w+|PEER_STATE_\w+\*?|HSTREAM|STREAMPROC)\b(?:\(\)|\*)?")

_TABLE = (
    ".. list-table::",
    "   :header-rows: 1",
    "   :widths: 45 15 40",
    "",
    "   * - name",
    "     - value",
    "     - meaning",
)


@dataclass
class Item:
    """One thing that the header declares."""

    kind: str
    """``"section"``, ``"text"``, ``"define"``, ``"struct"``, ``"enum"`` or ``"function"``."""
    code: str
    comment: str = ""


@dataclass
class Header:
    """A header, read."""

    manual: str = ""
    items: list[Item] = field(default_factory=list)

    @property
    def functions(self) -> list[str]:
        """Names of the functions, in order."""
        return [function_name(item.code) for item in self.items if item.kind == "function"]


def function_name(prototype: str) -> str:
    """The name in a prototype."""
    found = re.search(r"(\w+)\s*\(", prototype)
    assert found is not None, prototype
    return found[1]


def comment_text(comment: str) -> str:
    """A comment without its stars, its indentation kept."""
    body = comment.removeprefix("/*").removesuffix("*/")
    lines = [re.sub(r"^\s*\* ?", "", line) for line in body.strip("\n").splitlines()]
    return "\n".join(line.rstrip() for line in lines).strip()


def read_header(text: str) -> Header:
    """Read a header."""
    header = Header()
    pending = ""
    for token in _TOKEN.finditer(text):
        kind, code = str(token.lastgroup), token[0].strip()
        if kind == "comment":
            comment = comment_text(code)
            section = _SECTION.match(comment)
            if section is not None:
                header.items.append(Item("section", _as_title(section[1])))
            elif not header.manual:
                header.manual = comment
            elif header.items and header.items[-1].kind == "define" and _ends_line(text, token.start()):
                header.items[-1].comment = comment
            else:
                pending = comment
                continue
        elif kind == "define" and pending:  # A comment on a line of its own introduces a group of constants.
            header.items += [Item("text", pending), Item(kind, code)]
        elif kind != "other":
            header.items.append(Item(kind, code, pending))
        pending = ""
    return header


def _ends_line(text: str, position: int) -> bool:
    """Whether something stands before this position on the same line."""
    return bool(text[:position].rpartition("\n")[2].strip())


def _as_title(text: str) -> str:
    title = " ".join(text.split())
    return title[0].upper() + title[1:]


class CHeader(SphinxDirective):
    """Writes the header's manual, then its sections."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        lines = document(read_header(Path(path).read_text(encoding="utf-8")))
        node = nodes.container()
        nested_parse_with_titles(self.state, StringList(lines, source=path), node)
        return list(node.children)


def document(header: Header) -> list[str]:
    """reStructuredText for a header."""
    known = set(header.functions)
    lines = ["Overview", "--------", "", *prose(header.manual, known), ""]
    constants: list[Item] = []
    for item in header.items:
        if item.kind == "define":
            constants.append(item)
            continue
        lines += _constants(constants, known)
        constants = []
        if item.kind == "section":
            lines += [item.code, "-" * len(item.code), ""]
        elif item.kind == "text":
            lines += prose(item.code, known)
        elif item.kind == "function":
            lines += function(item, known)
        else:
            lines += structure(item, known)
    return lines + _constants(constants, known)


def _constants(items: list[Item], known: set[str]) -> list[str]:
    """A table of ``#define`` lines that have a value; include guards and calling conventions have none."""
    rows: list[str] = []
    for item in items:
        parts = item.code.split(None, 2)
        if len(parts) < 3 or not re.match(r"-?\d", parts[2]):
            continue
        rows += [f"   * - ``{parts[1]}``", f"     - ``{parts[2].strip()}``", f"     - {inline(item.comment, known)}"]
    return [*_TABLE, *rows, ""] if rows else []


def structure(item: Item, known: set[str]) -> list[str]:
    """A structure with a description of each member, or an enumeration as a table."""
    head, _, rest = item.code.partition("{")
    body, _, tail = rest.rpartition("}")
    if "enum" in head:
        rows = [
            row
            for number, (name, comment) in enumerate(read_members(body, ","))
            for row in (f"   * - ``{name}``", f"     - ``{number}``", f"     - {inline(comment, known)}")
        ]
        return [*prose(item.comment, known), *_TABLE, *rows, ""]
    lines = [f".. c:struct:: {tail.strip(' ;')}", "", *_indent(prose(item.comment, known)), ""]
    for member, comment in read_members(body, ";"):
        lines += [f"   .. c:member:: {member}", "", f"      {inline(comment, known)}", ""]
    return lines


def read_members(body: str, separator: str) -> list[tuple[str, str]]:
    """Members of a structure or an enumeration, each with the comment before it or behind it on its line."""
    found: list[list[str]] = []
    pending = ""
    for token in re.finditer(rf"/\*.*?\*/|(?:[^{separator}/()]|\([^()]*\))+{separator}?", body, re.DOTALL):
        text = token[0]
        if text.startswith("/*"):
            if found and _ends_line(body, token.start()):
                found[-1][1] = comment_text(text)
            else:
                pending = comment_text(text)
        elif text.strip(f" \n{separator}"):
            found.append([" ".join(text.strip(f" \n{separator}").split()), pending])
            pending = ""
    return [(member, comment) for member, comment in found]


def _indent(lines: list[str]) -> list[str]:
    return ["   " + line if line else "" for line in lines]


def function(item: Item, known: set[str]) -> list[str]:
    """A function in the form that the C domain expects, with its fields."""
    prototype = " ".join(item.code.rstrip(";").replace("BASS_WEBRTC_CALL", " ").split())
    text, fields = split_fields(item.comment)
    body = [*prose(text, known), ""]
    for name, content in fields:
        if name == "Parameters":
            body += _parameters(content, known)
        else:
            body += [f":{name}: {inline(content, known)}"]
    return [f".. c:function:: {prototype}", "", *_indent(body), ""]


def _parameters(content: str, known: set[str]) -> list[str]:
    pieces = _PARAMETER.split(content)
    if len(pieces) < 3:
        return [f":Parameters: {inline(content, known)}"]
    pairs = zip(pieces[1::2], pieces[2::2], strict=True)
    return [":Parameters:", *(f"   - ``{name}``: {inline(text, known)}" for name, text in pairs)]


def split_fields(comment: str) -> tuple[str, list[tuple[str, str]]]:
    """The text of a function's comment, and its ``Word: text`` fields."""
    text: list[str] = []
    fields: list[tuple[str, list[str]]] = []
    for line in comment.splitlines():
        match = _FIELD.match(line)
        if match is not None:
            fields.append((match[1], [match[2]]))
        elif fields and line.startswith((" ", "\t")):
            fields[-1][1].append(line.strip())
        elif line.strip() or not fields:
            (fields[-1][1] if fields else text).append(line)
    return "\n".join(text), [(name, " ".join(lines)) for name, lines in fields]


def prose(text: str, known: set[str]) -> list[str]:
    """Paragraphs and indented code as reStructuredText."""
    lines: list[str] = []
    for block in re.split(r"\n[ \t]*\n", text):
        if not block.strip():
            continue
        if all(line.startswith("    ") for line in block.splitlines()):
            code = textwrap.indent(textwrap.dedent(block), "   ").splitlines()
            lines += [".. code-block:: c", "", *code, ""]
        else:
            lines += [inline(block, known), ""]
    return lines


def inline(text: str, known: set[str]) -> str:
    """Plain text as reStructuredText; names of the library and of BASS are set as code, functions are links."""
    plain = " ".join(text.split())
    parts, end = [], 0
    for match in _KNOWN.finditer(plain):
        parts.append(_escape(plain[end : match.start()]))
        name = match[0].removesuffix("()")
        parts.append(f":c:func:`{name}`" if name in known else f"``{match[0]}``")
        end = match.end()
        if plain[end : end + 1].isalnum() or plain[end : end + 1] in "_*":
            parts.append("\\ ")
    parts.append(_escape(plain[end:]))
    return "".join(parts)


def _escape(text: str) -> str:
    return "".join("\\" + letter if letter in "\\*`_|<>" else letter for letter in text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("c-header", CHeader)
    return {"parallel_read_safe": True}
