// A WHIP publisher for tests: publish() and stats(), driven from Python. Apart from the project's page on purpose.

const CHECK_MS = 20;

class Talker {
  constructor() {
    this.connection = null;
    this.session = null;
    this.track = null;
  }

  // Resolves with the response's status when it is no 201, else once the connection is up.
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
    for (let waitedMs = 0; this.connection.connectionState !== "connected"; waitedMs += CHECK_MS) {
      if (waitedMs > timeoutMs) throw new Error(`not connected, but ${this.connection.connectionState}`);
      await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
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

  // Goes without a word to the server.
  vanish() {
    if (this.connection) this.connection.close();
    if (this.track) this.track.stop();
    this.connection = this.session = this.track = null;
  }
}

window.talker = new Talker();
