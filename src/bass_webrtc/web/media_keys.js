/** The keys of a keyboard, a headset or a lock screen, and what a phone shows there. */

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
  // What is live cannot be held: a pause that goes on later would play the past.
  session.setActionHandler("pause", () => player.stop());
  session.setActionHandler("stop", () => player.stop());
  player.addEventListener("change", () => {
    session.playbackState = player.state === "idle" || player.state === "failed" ? "none" : "playing";
  });
}
