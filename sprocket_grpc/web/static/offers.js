// Finds out what the caller may do with factories.

import { persist } from "/static/patience.js";

/**
 * Offers what `actions(id)` returns a promise of: buttons for a factory.
 *
 * Asks for one factory after the other, since each costs several calls, and again later if the server cannot answer now.
 */
export class Offers {
  #actions;
  #waiting = new Map(); // the figures of factories, by their ids
  #ending = new AbortController();
  #isAsking = false;

  constructor(actions) {
    this.#actions = actions;
  }

  /** Shows on a figure what the caller may do with a factory, when it is known. */
  add(id, figure) {
    this.#waiting.set(id, figure);
    if (!this.#isAsking) this.#ask(this.#ending.signal);
  }

  /** Asks no more. */
  clear() {
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#waiting.clear();
    this.#isAsking = false;
  }

  async #ask(signal) {
    this.#isAsking = true;
    while (this.#waiting.size) {
      const [[id, figure]] = this.#waiting;
      const buttons = await persist(() => this.#actions(id), { signal }).catch(() => []);
      if (signal.aborted) return;
      if (this.#waiting.get(id) === figure) this.#waiting.delete(id);
      figure.offer(...buttons);
    }
    this.#isAsking = false;
  }
}
