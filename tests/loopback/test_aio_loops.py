"""``bass_webrtc.aio`` on loops that cannot watch the core's sockets: the default loop of Windows cannot."""

from __future__ import annotations

import asyncio

import bass_webrtc as bw


class BlindLoop(asyncio.SelectorEventLoop):
    """Watches no socket but its own, as the proactor."""

    def add_reader(self, fd: object, callback: object, *args: object) -> None:
        raise NotImplementedError

    add_writer = add_reader


def test_server_and_client_work_on_a_loop_that_watches_no_sockets() -> None:
    async def connect() -> tuple[float, str, float]:
        config = bw.ServerConfig(http_port=0, udp_port=0)
        async with bw.aio.Server(bw.Tone(), config) as server, bw.aio.Server(bw.Tone(), config) as other:
            await server.start()
            await other.start()
            async with bw.aio.WhipClient(bw.Tone(), f"{server.url}whip") as client:
                await client.start()
                assert await client.wait_connected(30.0)
                peer, offer = await other.create_offer()
                await other.remove_peer(peer.id)
                return server.stats().active_peers, offer[:3], client.stats().connected_s

    with asyncio.Runner(loop_factory=BlindLoop) as runner:
        active, offer, connected_s = runner.run(connect())
    assert (active, offer) == (1, "v=0")
    assert connected_s >= 0.0
