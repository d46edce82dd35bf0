"""A Jupyter kernel that runs a server and clients in its cells, on its running loop; prints ``passed`` at its end."""

from __future__ import annotations

import sys
from typing import Any

from jupyter_client.manager import start_new_kernel

CELLS = (
    "import bass_webrtc as bw\nserver = bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0)); server.start()",
    "player = bw.aio.WhepClient(server.url + 'whep'); await player.start(); assert await player.wait_connected(20)",
    "publisher = bw.WhipClient(bw.Tone(), server.url + 'whip'); publisher.start(); print(publisher.wait_connected(20))",
    "await player.stop()",
)
"""The last objects stay open: the kernel's exit closes them."""


def main() -> None:
    """Run the cells, and shut the kernel down as a notebook does."""
    manager, client = start_new_kernel(kernel_name="python3")
    printed: list[str] = []
    for cell in CELLS:
        answer = client.execute_interactive(
            cell,
            timeout=60,
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
        )
        assert answer["content"]["status"] == "ok", answer["content"]
    assert "".join(printed) == "True\n", printed
    client.shutdown()
    process: Any = getattr(manager.provisioner, "process", None)
    assert process.wait(20) == 0
    client.stop_channels()
    sys.stdout.write("passed\n")


if __name__ == "__main__":
    main()
