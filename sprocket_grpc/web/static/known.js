// What the page knows of factories: their names, and their latest values, from lists and from charts.

import { persist } from "/static/patience.js";
import { read } from "/static/rpc.js";

const GET = "sprocket.v1.FactoryService/GetFactory";

/** The factories that the page has read, as `sprocket.v1.Factory` with the latest `goal` and `actual`. */
export class KnownFactories {
  #factories = new Map(); // by their ids
  #liveAt = new Map(); // when the values of a factory came from its chart
  #asked = new Set(); // the ids of factories that are read by themselves, also in vain
  #ending = new AbortController();

  get(id) {
    return this.#factories.get(id);
  }

  /** Returns the name of a factory. */
  name(id) {
    return this.get(id)?.displayName ?? `Factory ${id.slice(-8)}`;
  }

  /** Keeps a factory as the server has sent it, except values that its chart has brought since the call began. */
  take(factory, began) {
    const values = {
      goal: BigInt(factory.sprocketProductionGoal ?? 0),
      actual: BigInt(factory.sprocketProductionActual ?? 0),
    };
    const { goal, actual } = this.#liveAt.get(factory.id) >= began ? (this.get(factory.id) ?? values) : values;
    this.#factories.set(factory.id, { ...factory, goal, actual });
  }

  /** Takes in the latest values of a factory from its chart, and returns whether they are new. */
  live(id, { goal, actual }) {
    this.#liveAt.set(id, Date.now());
    const factory = this.get(id);
    if (!factory || (Number(factory.goal) === goal && Number(factory.actual) === actual)) return false;
    Object.assign(factory, { goal: BigInt(goal), actual: BigInt(actual) });
    return true;
  }

  /** Reads the factories that are not known, such as those of another page, and calls `onChange()` for each. */
  learn(ids, onChange) {
    const { signal } = this.#ending;
    const missing = ids.filter((id) => !this.#factories.has(id) && !this.#asked.has(id));
    for (const id of missing) this.#read(id, signal).then(onChange, () => {}); // who cannot be read has no name
  }

  /** Forgets everything: another caller may see other factories. */
  clear() {
    this.#ending.abort();
    this.#ending = new AbortController();
    for (const each of [this.#factories, this.#liveAt, this.#asked]) each.clear();
  }

  async #read(id, signal) {
    this.#asked.add(id);
    const began = Date.now();
    const { factory } = await persist(() => read(GET, { id }, { signal }), { signal });
    this.take(factory, began);
  }
}
