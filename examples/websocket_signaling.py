"""Your own signaling over a WebSocket: a browser calls this program or is called by it, with audio both ways.

python examples/websocket_signaling.py
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import WSCloseCode, WSMsgType, web

import bass_webrtc as bw

MAX_CONNECTIONS = 5
MAX_MESSAGE_BYTES = 64 * 1024
PAGE = """<!doctype html>
<title>A call</title>
<button id="call">Call</button> <button id="called">Be called</button>
<p id="state">not connected</p> <audio id="far"></audio>
<script>
async function begin(offers) {
  const microphone = await navigator.mediaDevices.getUserMedia({audio: true});
  const signaling = new WebSocket(`ws://${location.host}/signaling`);
  const send = message => signaling.send(JSON.stringify(message));
  const peer = new RTCPeerConnection();
  const far = document.querySelector("#far");
  for (const track of microphone.getTracks()) peer.addTrack(track, microphone);
  peer.onconnectionstatechange = () => document.querySelector("#state").textContent = peer.connectionState;
  peer.ontrack = event => { far.srcObject = event.streams[0]; far.play(); };
  peer.onicecandidate = event => send({type: "candidate", candidate: event.candidate?.candidate ?? ""});
  const describe = async description => {
    const sdp = description.sdp.replace("useinbandfec=1", "useinbandfec=1;stereo=1");  // Otherwise Chrome decodes mono.
    await peer.setLocalDescription({type: description.type, sdp});
    send(peer.localDescription);
  };
  const receive = async message => {
    if (message.type === "candidate") return peer.addIceCandidate({candidate: message.candidate, sdpMid: message.mid});
    await peer.setRemoteDescription(message);
    if (message.type === "offer") await describe(await peer.createAnswer());
  };
  let received = Promise.resolve();  // In order: a candidate must wait for its description.
  signaling.onmessage = event => received = received.then(() => receive(JSON.parse(event.data)));
  signaling.onopen = async () => offers ? describe(await peer.createOffer()) : send({type: "call me"});
}
document.querySelector("#call").onclick = () => begin(true);
document.querySelector("#called").onclick = () => begin(false);
</script>"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on; 0.0.0.0 for all")
parser.add_argument("--port", default=8090, type=int, help="TCP port")
parser.add_argument(
    "--allow-origin",
    action="append",
    default=[],
    metavar="ORIGIN",
    help="origin of the page, if it is not opened on this machine: https://radio.example; repeatable",
)
arguments = parser.parse_args()
# Browsers let any web page open a WebSocket to any server, also to localhost, and name the page's origin. Comparing it
# with the Host field would not do: a page whose name has been made to resolve to 127.0.0.1 sends its name in both.
origins = {f"http://{name}:{arguments.port}" for name in ("127.0.0.1", "localhost")} | {*arguments.allow_origin}
server = bw.aio.Server(bw.Tone(440, right_hz=880), bw.ServerConfig(signaling_mode="callback"))
sockets: dict[bw.Peer, web.WebSocketResponse] = {}
connections: set[web.WebSocketResponse] = set()


async def signal(request: web.Request) -> web.WebSocketResponse:
    """Serve one browser until its WebSocket closes. Programs that are no browsers send no origin."""
    if request.headers.get("Origin", f"http://127.0.0.1:{arguments.port}") not in origins:
        raise web.HTTPForbidden(text="Pages of this origin may not connect; see --allow-origin.")
    if len(connections) >= MAX_CONNECTIONS:
        raise web.HTTPServiceUnavailable(text="Too many connections.")
    socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=MAX_MESSAGE_BYTES)
    connections.add(socket)
    try:
        await socket.prepare(request)
        await talk(socket)
    except (bw.BassWebRtcError, LookupError, TypeError, ValueError) as error:  # What the browser sent is of no use.
        await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode()[:100])
    finally:
        connections.discard(socket)
        for peer in [one for one, its_socket in sockets.items() if its_socket is socket]:
            del sockets[peer]
            peer.close()
    return socket


async def talk(socket: web.WebSocketResponse) -> None:
    """Exchange descriptions and candidates with one browser, for one call."""
    peer: bw.Peer | None = None
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            break
        received = message.json()
        if received["type"] == "offer" and peer is None:
            peer, answer = await server.add_peer(received["sdp"])
            sockets[peer] = socket
            await socket.send_json({"type": "answer", "sdp": answer})
        elif received["type"] == "call me" and peer is None:
            peer, offer = await server.create_offer()
            sockets[peer] = socket
            await socket.send_json({"type": "offer", "sdp": offer})
        elif received["type"] == "answer" and peer is not None:
            peer.set_answer(received["sdp"])
        elif received["type"] == "candidate" and peer is not None:
            peer.add_ice_candidate(received["candidate"])


async def page(request: web.Request) -> web.Response:
    """Return the page."""
    return web.Response(text=PAGE, content_type="text/html")


async def play(app: web.Application) -> AsyncIterator[None]:
    """Run the server as long as the web application."""
    loop = asyncio.get_running_loop()

    def trickle(peer: bw.Peer, candidate: str, mid: str, _index: int) -> None:
        """Send a candidate of the server to the browser. Called on the event thread."""
        message = {"type": "candidate", "candidate": candidate, "mid": mid}
        if peer in sockets:
            asyncio.run_coroutine_threadsafe(sockets[peer].send_json(message), loop)

    server.on("ice_candidate", trickle)
    server.on("peer_connected", lambda peer: print(f"{peer} connected"))
    server.on("peer_disconnected", lambda peer, reason: print(f"{peer}: {reason}"))
    await server.start()
    yield
    await server.close()


app = web.Application()
app.add_routes([web.get("/", page), web.get("/signaling", signal)])
app.cleanup_ctx.append(play)
with contextlib.suppress(KeyboardInterrupt):
    ready = f"Open http://{arguments.host}:{arguments.port}/. Press Ctrl-C to quit."
    web.run_app(app, host=arguments.host, port=arguments.port, print=lambda _: print(ready))
