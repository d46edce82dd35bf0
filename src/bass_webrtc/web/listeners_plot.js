/** Plots the number of listeners over time, as SVG. */

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 10, right: 6, bottom: 22, left: 34 };
const HOUR_S = 3600;
/** Shortest and longest time shown. */
const MIN_SPAN_S = HOUR_S;
const MAX_SPAN_S = 24 * HOUR_S;
/** Steps of the time axis. */
const STEPS_S = [600, 1800, HOUR_S, 2 * HOUR_S, 4 * HOUR_S, 6 * HOUR_S];
/** Smallest distance of two labels of the time axis, in pixels. */
const LABEL_PX = 62;

/** @typedef {[number, number]} Point Unix time in s, and listeners. */

/** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, String(value)));
  made.textContent = text;
  return made;
}

/** @param {number} unixS */
const clock = (unixS) => new Date(1000 * unixS).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** A round number that is not below `value`, and can be halved. @param {number} value */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  const factors = power > 1 ? [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10] : [2, 4, 6, 8, 10];
  return factors.map((factor) => Math.round(factor * power)).find((round) => round >= value) ?? value;
}

/** @param {number} listeners */
export const listenersText = (listeners) => `${listeners} ${listeners === 1 ? "listener" : "listeners"}`;

export class ListenersPlot {
  #svg;
  #readout;
  /** @type {Point[]} */
  #history = [];
  #drawn = "";

  /** @param {HTMLElement} figure Contains an `svg` and a `figcaption`, which shows the value under the pointer. */
  constructor(figure) {
    this.#svg = /** @type {SVGSVGElement} */ (figure.querySelector("svg"));
    this.#readout = /** @type {HTMLElement} */ (figure.querySelector("figcaption"));
    new ResizeObserver(() => this.#draw()).observe(figure);
    this.#svg.addEventListener("pointermove", ({ offsetX }) => this.#point(offsetX));
    this.#svg.addEventListener("pointerleave", () => this.#point(null));
  }

  /** @param {Point[]} history One value a minute. @param {number} listeners Now. @param {number} peak */
  show(history, listeners, peak) {
    const nowS = Math.floor(Date.now() / 1000);
    this.#history = [...history.filter(([unixS]) => unixS > nowS - MAX_SPAN_S && unixS < nowS), [nowS, listeners]];
    this.#svg.setAttribute("aria-label", `${listenersText(listeners)} now, at most ${peak} in the last 24 hours`);
    // Drawn anew only if something visible has changed.
    const drawn = `${history.at(-1)} ${history.length} ${listeners} ${Math.floor(nowS / 60)}`;
    if (drawn !== this.#drawn) this.#draw();
    this.#drawn = drawn;
  }

  get #size() {
    return { width: this.#svg.clientWidth, height: this.#svg.clientHeight };
  }

  get #scales() {
    const { width, height } = this.#size;
    const [last] = this.#history.at(-1) ?? [0];
    const spanS = Math.max(last - (this.#history[0]?.[0] ?? last), MIN_SPAN_S);
    const highest = roundUp(Math.max(...this.#history.map(([, listeners]) => listeners)));
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    return {
      last,
      spanS,
      highest,
      x: (/** @type {number} */ unixS) => MARGIN.left + inner.width * (1 - (last - unixS) / spanS),
      y: (/** @type {number} */ listeners) => MARGIN.top + inner.height * (1 - listeners / highest),
      time: (/** @type {number} */ px) => last - spanS * (1 - (px - MARGIN.left) / inner.width),
    };
  }

  #draw() {
    const { width, height } = this.#size;
    if (width === 0 || this.#history.length === 0) return;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const { x, y, highest, last, spanS } = this.#scales;
    const line = this.#history.map(([unixS, listeners]) => `${x(unixS).toFixed(1)} ${y(listeners).toFixed(1)}`);
    const base = y(0).toFixed(1);
    const area = `M${x(this.#history[0][0]).toFixed(1)} ${base}L${line.join("L")}L${x(last).toFixed(1)} ${base}z`;
    this.#svg.replaceChildren(
      ...[0, highest / 2, highest].flatMap((level) => [
        shape("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(level), y2: y(level) }),
        shape("text", { class: "tick", x: MARGIN.left - 8, y: y(level) + 4, "text-anchor": "end" }, String(level)),
      ]),
      shape("path", { class: "area", d: area }),
      shape("path", { class: "line", d: `M${line.join("L")}` }),
      ...this.#timeLabels(width, spanS, last, x).map((unixS) =>
        shape("text", { class: "tick", x: x(unixS), y: height - 4, "text-anchor": "middle" }, clock(unixS)),
      ),
      shape("circle", { class: "now", cx: x(last), cy: y(this.#history.at(-1)?.[1] ?? 0), r: 4 }),
      shape("line", { class: "pointer", x1: -9, x2: -9, y1: MARGIN.top, y2: height - MARGIN.bottom }),
    );
  }

  /** @param {number} width @param {number} spanS @param {number} last @param {(unixS: number) => number} x */
  #timeLabels(width, spanS, last, x) {
    const stepS = STEPS_S.find((step) => (width * step) / spanS >= LABEL_PX) ?? 12 * HOUR_S;
    const offsetS = 60 * new Date(1000 * last).getTimezoneOffset();
    const first = Math.ceil((last - spanS - offsetS) / stepS) * stepS + offsetS;
    const all = Array.from({ length: Math.ceil(spanS / stepS) }, (_, index) => first + index * stepS);
    return all.filter((unixS) => x(unixS) > MARGIN.left + 16 && x(unixS) < width - 22);
  }

  /** Shows the value at a place. @param {number | null} px */
  #point(px) {
    const pointer = this.#svg.querySelector(".pointer");
    if (px === null || this.#history.length === 0 || !pointer) {
      this.#readout.textContent = "";
      pointer?.setAttribute("transform", "");
      return;
    }
    const { time, x } = this.#scales;
    const wanted = time(px);
    const [unixS, listeners] = this.#history.reduce((best, point) =>
      Math.abs(point[0] - wanted) < Math.abs(best[0] - wanted) ? point : best,
    );
    pointer.setAttribute("transform", `translate(${(x(unixS) + 9).toFixed(1)} 0)`);
    this.#readout.textContent = `${clock(unixS)}: ${listenersText(listeners)}`;
  }
}
