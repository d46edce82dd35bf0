/** Gains as faders show them: in decibels, with silence at the lower end. */

/** Lower end of a fader in dB, which means silence. */
export const LOWEST_DB = -48;
/** Upper end of a fader in dB: a factor of 4. */
export const HIGHEST_DB = 12;

const MAX_GAIN = 4;

/** @param {number} gain Factor, 0 to 4. @returns {number} Position of the fader in dB. */
export const dbOf = (gain) => (gain <= 0 ? LOWEST_DB : Math.max(20 * Math.log10(gain), LOWEST_DB));

/** @param {number} db Position of the fader in dB. @returns {number} Factor, 0 to 4. */
export function gainOf(db) {
  if (db <= LOWEST_DB) return 0;
  // 12 dB is a little less than 4, which is what the upper end means.
  return db >= HIGHEST_DB ? MAX_GAIN : Number((10 ** (db / 20)).toFixed(4));
}

/** @param {number} db Position of the fader. @returns {string} */
export function textOf(db) {
  if (db <= LOWEST_DB) return "off";
  const rounded = Math.round(db * 10) / 10;
  return `${rounded > 0 ? "+" : rounded < 0 ? "–" : ""}${Math.abs(rounded).toFixed(1)} dB`;
}
