/** The microphone: what may be asked of it, opening it, and what goes wrong with it. */

import { Problem, addProblems } from "./problem.js";

/**
 * @typedef {object} TalkSettings
 * @property {string} deviceId Empty: the one that the browser would take.
 * @property {boolean} echoCancellation
 * @property {boolean} noiseSuppression
 * @property {boolean} autoGainControl
 * @property {boolean} stereo
 * @property {number} bitrateKbps
 * @property {boolean} dim Turn the programme down while the microphone is open, as a studio does.
 * @property {boolean} pushToTalk
 */

/** @typedef {"voice" | "music"} Preset */

/**
 * A voice beside loudspeakers that play the programme: only with echo cancellation it does not howl.
 * Music wants the sound as it is, and headphones.
 * @type {Record<Preset, Partial<TalkSettings>>}
 */
export const PRESETS = {
  voice: {
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    stereo: false,
    bitrateKbps: 48,
    dim: true,
  },
  music: {
    echoCancellation: false,
    noiseSuppression: false,
    autoGainControl: false,
    stereo: true,
    bitrateKbps: 160,
    dim: false,
  },
};

addProblems({
  insecure: { passes: false, title: "The microphone needs https.", advice: "" },
  denied: {
    passes: false,
    title: "The microphone is not allowed.",
    advice: "Allow it for this page in the browser's address bar, then press Talk again.",
  },
  "no-microphone": { passes: false, title: "There is no microphone.", advice: "Plug one in, then press Talk again." },
  "busy-microphone": {
    passes: false,
    title: "The microphone does not open.",
    advice: "Another program may be using it.",
  },
  "gone-microphone": { passes: false, title: "The microphone is gone.", advice: "It was unplugged or taken away." },
  occupied: { passes: true, title: "Somebody else is on the line.", advice: "" },
});

/** @type {Record<string, string>} Kinds of problem by the name of what getUserMedia() throws. */
const KIND_OF_ERROR = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "no-microphone",
  OverconstrainedError: "no-microphone",
};

/** @returns {Problem | null} Why this page cannot have a microphone at all, or null. */
export function microphoneRefusal() {
  if (navigator.mediaDevices?.getUserMedia !== undefined) return null;
  if (isSecureContext) return new Problem("unsupported");
  const detail = `Browsers give it out over https:// and on localhost only; this page came from ${location.origin}`;
  return new Problem("insecure", { detail });
}

/**
 * Opens the microphone; the browser may ask the visitor.
 *
 * @param {TalkSettings} settings
 * @returns {Promise<MediaStream>} Rejects with a `Problem`.
 */
export async function openMicrophone(settings) {
  const refusal = microphoneRefusal();
  if (refusal !== null) throw refusal;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: constraints(settings) });
  } catch (error) {
    const name = error instanceof Error || error instanceof DOMException ? error.name : "";
    throw new Problem(KIND_OF_ERROR[name] ?? "busy-microphone");
  }
}

/** @returns {Promise<MediaDeviceInfo[]>} They have names only after a microphone was opened once. */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "");
}

/** @param {TalkSettings} settings @returns {MediaTrackConstraints} */
function constraints(settings) {
  return {
    ...(settings.deviceId && { deviceId: { exact: settings.deviceId } }),
    echoCancellation: settings.echoCancellation,
    noiseSuppression: settings.noiseSuppression,
    autoGainControl: settings.autoGainControl,
    // Echo cancellation works on one channel, whatever else is asked for.
    channelCount: hasStereo(settings) ? 2 : 1,
    sampleRate: 48_000,
  };
}

/** @param {TalkSettings} settings Whether two different channels can come out. */
export const hasStereo = (settings) => settings.stereo && !settings.echoCancellation;
