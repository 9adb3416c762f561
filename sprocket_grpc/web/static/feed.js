// Follows charts: one stream for all of them, which resumes where it stopped, and pauses while the page is hidden.

import { isTemporary, pauseAfter, whenShown } from "/static/patience.js";
import { stream } from "/static/rpc.js";
import { MAX_POINTS, MOST_ENTRIES, Series } from "/static/series.js";

const SILENCE_MILLIS = 60_000; // four times as long as a stream may be silent by contract, as the command line has it
const BAD_TOKEN = new Set(["ERROR_REASON_INVALID_RESUME_TOKEN", "ERROR_REASON_CHART_EXPIRED"]); // now and later
const STREAM = "sprocket.v1.FactoryService/FollowFactoryCharts";

/** The charts of some factories of a range that ends now. */
export class Feed {
  #token = ""; // continues after all that `charts` has
  #covered = new Set(); // the ids that the token knows about
  #length;
  #start; // of the history, in microseconds since 1970

  /** The charts by the ids of their factories: a Map to Series. */
  charts = new Map();

  /** `length` is that of the range in microseconds; undefined means the whole history. */
  constructor(length) {
    this.#length = length;
    this.#forgetAll([]);
  }

  /**
   * Follows the charts of factories until the signal is aborted, or an error shows that it cannot go on.
   *
   * Continues with what it has of them. `onChange()` is called when `charts` has changed; `onState(kind, error)` with
   * `connecting`, `loading`, `live`, `paused`, `reconnecting`, or `failed`, which is the last one.
   */
  async follow(ids, { signal, onChange, onState }) {
    this.#forgetOthers(ids);
    for (let failures = 0; !signal.aborted;) {
      if (document.hidden) onState("paused");
      await whenShown(signal);
      if (signal.aborted) return;
      if (!failures) onState("connecting");
      if (this.#isOld) this.#forgetAll(ids);
      try {
        await this.#followOnce(
          ids,
          signal,
          () => {
            failures = 0;
            onChange();
          },
          onState,
        );
      } catch (error) {
        if (signal.aborted) return;
        if (BAD_TOKEN.has(error.reason) && this.#token) this.#forgetAll(ids);
        else if (!isTemporary(error)) return onState("failed", error);
        if (document.hidden) continue;
        onState("reconnecting", error);
        await pauseAfter(error, ++failures, signal);
      }
    }
  }

  async #followOnce(ids, signal, onChange, onState) {
    const startTime = this.#start === undefined ? undefined : new Date(this.#start / 1000).toISOString();
    const request = { factoryIds: ids, maxPoints: MAX_POINTS, startTime, resumeToken: this.#token };
    const ending = new AbortController();
    const end = (reason) => ending.abort(reason);
    const pauseIfHidden = () => document.hidden && end(new Error("the page is hidden"));
    document.addEventListener("visibilitychange", pauseIfHidden, { signal: ending.signal });
    let silence = setTimeout(end, SILENCE_MILLIS, new Error("the server is silent"));
    try {
      for await (const response of stream(STREAM, request, { signal: AbortSignal.any([signal, ending.signal]) })) {
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE_MILLIS, new Error("the server is silent"));
        this.#take(response, ids);
        onState(this.#isLive(response) ? "live" : "loading");
        onChange();
      }
      throw new Error("the server has ended the stream");
    } finally {
      clearTimeout(silence);
      end();
    }
  }

  /** Takes in a response, and only then keeps its token. What cannot be taken in whole is read again from the start. */
  #take(response, ids) {
    try {
      for (const { factoryId, chart } of response.charts ?? []) this.charts.get(factoryId).append(chart);
      if ([...this.charts.values()].some((each) => each.length > MOST_ENTRIES))
        throw new Error("the charts have grown too long");
    } catch (error) {
      this.#forgetAll(ids);
      throw error;
    }
    this.#token = response.resumeToken;
    this.#covered = new Set(ids);
  }

  #hasHistory = false;

  #isLive(response) {
    this.#hasHistory ||= Boolean(response.endOfHistory);
    return this.#hasHistory;
  }

  /** Keeps the charts that the token continues; the others begin anew. */
  #forgetOthers(ids) {
    this.#hasHistory = false;
    if (ids.some((id) => this.#covered.has(id) && !this.charts.has(id))) this.#forgetAll(ids);
    const kept = ids.filter((id) => this.#covered.has(id)).map((id) => [id, this.charts.get(id)]);
    const fresh = ids.filter((id) => !this.#covered.has(id)).map((id) => [id, new Series()]);
    this.charts = new Map([...kept, ...fresh]);
  }

  /** Whether the range has moved on by its length: most of the points of a new history would be before it. */
  get #isOld() {
    return this.#start < Date.now() * 1000 - 2 * this.#length;
  }

  #forgetAll(ids) {
    this.#start = this.#length === undefined ? undefined : Date.now() * 1000 - this.#length;
    this.#token = "";
    this.#covered = new Set();
    this.charts = new Map(ids.map((id) => [id, new Series()]));
  }
}
