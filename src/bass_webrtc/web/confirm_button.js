/** A button that must be pressed twice: the first press asks, and nothing else waits for the answer. */

const ARMED_MS = 4_000;

export class ConfirmButton {
  #button;
  #label;
  #question;
  #ask;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} button
   * @param {string} question Its text after the first press.
   * @param {() => void} confirmed Called at the second press.
   * @param {() => void} ask Called at the first press, to announce the question.
   */
  constructor(button, question, confirmed, ask) {
    this.#button = button;
    this.#label = button.textContent ?? "";
    this.#question = question;
    this.#ask = ask;
    button.addEventListener("click", () => {
      const wasArmed = this.#isArmed;
      this.#set(!wasArmed);
      if (wasArmed) confirmed();
      else this.#ask();
    });
    button.addEventListener("keydown", ({ key }) => key === "Escape" && this.#set(false));
    button.addEventListener("blur", () => this.#set(false));
  }

  get #isArmed() {
    return this.#button.classList.contains("armed");
  }

  /** @param {boolean} armed */
  #set(armed) {
    clearTimeout(this.#timer);
    this.#button.classList.toggle("armed", armed);
    this.#button.textContent = armed ? this.#question : this.#label;
    if (armed) this.#timer = setTimeout(() => this.#set(false), ARMED_MS);
  }
}
