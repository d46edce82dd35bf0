/** The microphone: settings, presets, opening it, and the problems that can occur. */

import { Problem, addProblems } from "./problem.js";

/**
 * @typedef {object} TalkSettings
 * @property {string} deviceId Empty for the browser's default.
 * @property {boolean} echoCancellation
 * @property {boolean} noiseSuppression
 * @property {boolean} autoGainControl
 * @property {boolean} stereo
 * @property {number} bitrateKbps
 * @property {boolean} dim Duck the programme while the microphone is open.
 * @property {boolean} pushToTalk
 */

/** @typedef {"voice" | "music"} Preset */

/**
 * `voice`: speech next to loudspeakers; without echo cancellation there would be feedback.
 * `music`: unprocessed sound, for use with headphones.
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
  insecure: { temporary: false, title: "The microphone requires HTTPS", advice: "" },
  denied: {
    temporary: false,
    title: "Microphone access denied",
    advice: "Allow it for this page in the browser's address bar, then try again.",
  },
  "no-microphone": { temporary: false, title: "No microphone found", advice: "Connect one, then try again." },
  "busy-microphone": {
    temporary: false,
    title: "Cannot open the microphone",
    advice: "Another program may be using it.",
  },
  "gone-microphone": {
    temporary: false,
    title: "Microphone disconnected",
    advice: "Connect it, then try again.",
  },
  occupied: { temporary: true, title: "Another publisher is already connected", advice: "" },
});

/** @type {Record<string, string>} Problem kind by the name of the exception that getUserMedia() throws. */
const KIND_OF_ERROR = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "no-microphone",
  OverconstrainedError: "no-microphone",
};

/** @returns {Problem | null} Why this page cannot use a microphone, or null if it can. */
export function microphoneRefusal() {
  if (navigator.mediaDevices?.getUserMedia !== undefined) return null;
  if (isSecureContext) return new Problem("unsupported");
  const detail = `Browsers allow it only over https:// and on localhost; this page was loaded from ${location.origin}`;
  return new Problem("insecure", { detail });
}

/**
 * Opens the microphone; the browser may ask the user for permission.
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

/** @returns {Promise<MediaDeviceInfo[]>} Labels are empty until a microphone has been opened once. */
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
    // Echo cancellation outputs one channel, whatever is requested.
    channelCount: hasStereo(settings) ? 2 : 1,
    sampleRate: 48_000,
  };
}

/** Whether the microphone can deliver two different channels. @param {TalkSettings} settings */
export const hasStereo = (settings) => settings.stereo && !settings.echoCancellation;
