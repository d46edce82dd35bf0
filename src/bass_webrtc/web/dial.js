/** Draws a level meter: a bar and a peak needle per channel, and the scale below them. */

/** Scale of a digital peak meter (IEC 60268-18): [dBFS, fraction of the bar], linear in between. */
const SCALE = [
  [-60, 0],
  [-50, 0.075],
  [-40, 0.15],
  [-30, 0.3],
  [-20, 0.5],
  [0, 1],
];

/** Scale labels in dBFS; `narrow` labels are shown on narrow screens, too. */
const MARKS = [
  { db: -60 },
  { db: -50 },
  { db: -40, narrow: true },
  { db: -30, narrow: true },
  { db: -24 },
  { db: -18, narrow: true },
  { db: -12 },
  { db: -9, narrow: true },
  { db: -6 },
  { db: -3, narrow: true },
  { db: 0, narrow: true },
];

/** How often the level is updated for assistive technology. */
const ANNOUNCE_EVERY_MS = 1000;

/** With reduced motion the meter is redrawn four times a second, otherwise in every frame. */
const FRAME_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 250 : 0;

/** @param {number} db dBFS @returns {number} Fraction of the bar, 0 to 1. */
export function share(db) {
  const above = SCALE.findIndex(([mark]) => db < mark);
  if (above <= 0) return above === 0 ? 0 : 1;
  const [[low, from], [high, to]] = [SCALE[above - 1], SCALE[above]];
  return from + ((to - from) * (db - low)) / (high - low);
}

/** The text for a level. @param {number} db dBFS */
export const decibels = (db) => (db <= -60 ? "–∞" : `${db < -0.05 ? "–" : ""}${Math.abs(db).toFixed(1)}`);

export class Dial {
  #meter;
  #bars;
  #drawnAtMs = 0;
  #announcedAtMs = 0;
  #drawing = false;

  /**
   * @param {HTMLElement} root Contains one `.bar` per channel, or one for both, and a `.scale`.
   * @param {import("./meter.js").Meter} meter
   */
  constructor(root, meter) {
    this.#meter = meter;
    this.#bars = [...root.querySelectorAll(".bar")].map((bar) => ({
      bar,
      fill: /** @type {HTMLElement} */ (bar.querySelector(".fill")),
      needle: /** @type {HTMLElement} */ (bar.querySelector(".needle")),
      figure: /** @type {HTMLElement} */ (bar.querySelector(".figure")),
    }));
    root.querySelectorAll(".scale").forEach(drawScale);
    this.#draw(0);
  }

  start() {
    if (this.#drawing) return;
    this.#drawing = true;
    const frame = (/** @type {number} */ nowMs) => {
      if (!this.#drawing) return;
      requestAnimationFrame(frame);
      this.#meter.read(nowMs);
      if (nowMs - this.#drawnAtMs >= FRAME_MS) this.#draw(nowMs);
      if (nowMs - this.#announcedAtMs >= ANNOUNCE_EVERY_MS) this.#announce(nowMs);
    };
    requestAnimationFrame(frame);
  }

  stop() {
    this.#drawing = false;
    this.#meter.reset();
    this.#draw(0);
    this.#announce(0);
  }

  /** What a bar shows: its channel, or the louder one if there is only one bar. @param {number} channel */
  #reading(channel) {
    const { channels } = this.#meter;
    if (this.#bars.length > 1) return channels[channel];
    const loudest = (/** @type {"level" | "hold"} */ name) => Math.max(...channels.map((one) => one[name]));
    return { level: loudest("level"), hold: loudest("hold") };
  }

  /** @param {number} nowMs */
  #draw(nowMs) {
    this.#drawnAtMs = nowMs;
    this.#bars.forEach(({ fill, needle, figure }, channel) => {
      const { level, hold } = this.#reading(channel);
      fill.style.clipPath = `inset(0 ${(100 * (1 - share(level))).toFixed(2)}% 0 0)`;
      needle.style.left = `${(100 * share(hold)).toFixed(2)}%`;
      figure.textContent = decibels(hold);
    });
  }

  /** @param {number} nowMs */
  #announce(nowMs) {
    this.#announcedAtMs = nowMs;
    this.#bars.forEach(({ bar }, channel) => {
      const { hold } = this.#reading(channel);
      bar.setAttribute("aria-valuenow", String(Math.round(Math.max(hold, -60))));
      bar.setAttribute("aria-valuetext", hold <= -60 ? "silent" : `${Math.round(hold)} dBFS`);
    });
  }
}

/** Draws the marks of a scale. @param {Element} scale */
export const drawScale = (scale) => scale.append(...MARKS.map(markElement));

/** @param {{ db: number, narrow?: boolean }} mark */
function markElement({ db, narrow }) {
  const mark = document.createElement("span");
  mark.className = narrow ? "mark" : "mark wide";
  mark.style.left = `${100 * share(db)}%`;
  mark.textContent = String(Math.abs(db));
  return mark;
}
