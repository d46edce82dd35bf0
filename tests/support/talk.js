// A WHIP publisher for tests: publish() and stats(), driven from Python. Deliberately independent of the page.

const POLL_MS = 20;

class Talker {
  constructor() {
    this.connection = null;
    this.session = null;
    this.track = null;
  }

  // Resolves with the status if it is not 201, otherwise once connected.
  async publish(url, { channels = 2, timeoutMs = 10000 } = {}) {
    const processing = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const media = await navigator.mediaDevices.getUserMedia({ audio: { ...processing, channelCount: channels } });
    this.track = media.getAudioTracks()[0];
    this.connection = new RTCPeerConnection();
    this.connection.addTransceiver(this.track, { direction: "sendonly", streams: [media] });
    await this.connection.setLocalDescription();
    const offer = this.connection.localDescription.sdp;
    const headers = { "Content-Type": "application/sdp" };
    const response = await fetch(url, { method: "POST", headers, body: offer });
    const body = await response.text();
    if (response.status !== 201) {
      this.vanish();
      return { status: response.status, body, retryAfter: response.headers.get("Retry-After") };
    }
    this.session = new URL(response.headers.get("Location"), response.url).href;
    await this.connection.setRemoteDescription({ type: "answer", sdp: body });
    for (let waitedMs = 0; this.connection.connectionState !== "connected"; waitedMs += POLL_MS) {
      if (waitedMs > timeoutMs) throw new Error(`not connected within ${timeoutMs} ms: ${this.connection.connectionState}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return { status: 201, body, offer, session: this.session, settings: this.track.getSettings() };
  }

  // The outbound-rtp, remote-inbound-rtp and media-source entries of getStats().
  async stats() {
    const found = { state: this.connection.connectionState };
    (await this.connection.getStats()).forEach((entry) => {
      if (entry.type === "outbound-rtp" && entry.kind === "audio") found.outbound = entry;
      if (entry.type === "remote-inbound-rtp" && entry.kind === "audio") found.remote = entry;
      if (entry.type === "media-source" && entry.kind === "audio") found.source = entry;
    });
    return found;
  }

  async stop() {
    if (this.session) await fetch(this.session, { method: "DELETE" });
    this.vanish();
  }

  // Closes without DELETE.
  vanish() {
    if (this.connection) this.connection.close();
    if (this.track) this.track.stop();
    this.connection = this.session = this.track = null;
  }
}

window.talker = new Talker();
