/** Media Session: media keys of keyboards, headsets and lock screens, and the title shown there. */

/**
 * @param {import("./player.js").Player} player
 * @param {import("./channels.js").Channels} channels
 * @param {string} station
 */
export function bindMediaKeys(player, channels, station) {
  const session = navigator.mediaSession;
  if (session === undefined) return;
  const describe = () => {
    session.metadata = new MediaMetadata({
      title: channels.label || "Live",
      artist: station,
      artwork: [{ src: new URL("favicon.svg", document.baseURI).href, sizes: "any", type: "image/svg+xml" }],
    });
  };
  describe();
  channels.addEventListener("list", describe);
  channels.addEventListener("choice", describe);
  session.setActionHandler("play", () => player.start());
  // A live stream cannot pause: resuming would play old audio.
  session.setActionHandler("pause", () => player.stop());
  session.setActionHandler("stop", () => player.stop());
  player.addEventListener("change", () => {
    session.playbackState = player.state === "idle" || player.state === "failed" ? "none" : "playing";
  });
}
