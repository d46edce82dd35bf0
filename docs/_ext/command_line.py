"""The directive ``.. command-line::`` documents every command and option of ``bass-webrtc``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer.main
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

from bass_webrtc.cli.main import app as application

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

PROGRAM = "bass-webrtc"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command without subcommands, with its full name: ``"bass-webrtc capi build"``."""
    yield from _leaves(PROGRAM, typer.main.get_command(application))


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
        return
    for child in subcommands.values():
        yield from _leaves(f"{name} {child.name}", child)


def is_argument(parameter: Any) -> bool:
    """Whether a parameter is positional."""
    return str(parameter.param_type_name) == "argument"


class CommandLine(SphinxDirective):
    """Writes one section per command."""

    def run(self) -> list[nodes.Node]:
        lines = [line for name, command in commands() for line in describe(name, command)]
        node = nodes.container()
        nested_parse_with_titles(self.state, StringList(lines, source="command line"), node)
        return list(node.children)


def describe(name: str, command: Any) -> list[str]:
    """reStructuredText for one command."""
    arguments = [parameter for parameter in command.params if is_argument(parameter)]
    usage = " ".join([name, "[OPTIONS]", *map(_argument_name, arguments)])
    lines = [name, "-" * len(name), "", escape(command.help or ""), "", ".. code-block:: text", "", f"   {usage}", ""]
    for parameter in command.params:
        lines += [_term(parameter), f"   {_explanation(parameter)}", ""]
    return lines


def _argument_name(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _term(parameter: Any) -> str:
    if is_argument(parameter):
        return f"``{_argument_name(parameter).strip('[]')}``"
    flags = ", ".join(f"``{flag}``" for flag in (*parameter.opts, *parameter.secondary_opts))
    value = parameter.metavar or parameter.name.rpartition("_")[2].upper()
    return flags if parameter.is_flag else f"{flags} ``{value}``"


def _explanation(parameter: Any) -> str:
    parts = [escape(getattr(parameter, "help", None) or "")]
    if getattr(parameter, "is_flag", False) is False and parameter.default not in (None, (), []):
        parts.append(f"Default: ``{parameter.default}``.")
    if parameter.envvar:
        parts.append(f"Environment variable: ``{parameter.envvar}``.")
    return " ".join(part for part in parts if part) or "No description."


def escape(text: str) -> str:
    """Plain text as reStructuredText."""
    plain = " ".join(text.split())
    return "".join("\\" + letter if letter in "\\*`_|<>" else letter for letter in plain)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
