/** Media Session: media keys of keyboards, headsets and lock screens, and the title shown there. */

/** @param {import("./player.js").Player} player @param {string} station */
export function bindMediaKeys(player, station) {
  const session = navigator.mediaSession;
  if (session === undefined) return;
  session.metadata = new MediaMetadata({
    title: "Live",
    artist: station,
    artwork: [{ src: new URL("favicon.svg", document.baseURI).href, sizes: "any", type: "image/svg+xml" }],
  });
  session.setActionHandler("play", () => player.start());
  // A live stream cannot pause: resuming would play old audio.
  session.setActionHandler("pause", () => player.stop());
  session.setActionHandler("stop", () => player.stop());
  player.addEventListener("change", () => {
    session.playbackState = player.state === "idle" || player.state === "failed" ? "none" : "playing";
  });
}
