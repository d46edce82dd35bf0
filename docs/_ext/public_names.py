"""Links references to public objects, whose modules are internal, to the names under which programs import them.

A signature mentions ``bass_webrtc.server.peer.Peer``; the reference documents ``bass_webrtc.Peer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes

import bass_webrtc

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> nodes.Element | None:
    """Find the public name for a reference that matched nothing; None leaves the reference unresolved."""
    if node.get("refdomain") != "py":
        return None
    name, _, member = _split(node["reftarget"])
    if name not in bass_webrtc.__all__:
        return None
    target = f"bass_webrtc.{name}" + (f".{member}" if member else "")
    domain = env.domains["py"]
    for kind in ("obj", "class", "exc", "meth", "attr"):
        found = domain.resolve_xref(env, node["refdoc"], app.builder, kind, target, node, content)
        if found is not None:
            return found
    return None


def _split(target: str) -> tuple[str, str, str]:
    """``("Server", ".", "start")`` of ``bass_webrtc.server.server.Server.start``; a class name begins in upper case."""
    parts = target.split(".")
    start = next((index for index, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    return parts[start], ".", ".".join(parts[start + 1 :])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
