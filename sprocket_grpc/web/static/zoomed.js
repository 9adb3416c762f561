// The entries of a zoom in full detail, of which the live charts may have only a selection.

import { persist } from "/static/patience.js";
import { stream } from "/static/rpc.js";
import { MAX_POINTS, Series } from "/static/series.js";

const TIMEOUT_MILLIS = 60_000;
const CALL = "sprocket.v1.FactoryService/GetFactoryChart";

/** The charts of one zoom at a time: a zoom is `{ from, to }` in microseconds since 1970. */
export class ZoomedCharts {
  #key = "";
  #charts = new Map(); // by the ids of factories; undefined while they are read
  #ending = new AbortController();
  #onChange;

  /** `onChange(error)` is called when there is a chart, or an error because of which there is none yet. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** Returns the chart of a factory; undefined if it has not been read. */
  get(id, zoom) {
    return zoom && this.#key === keyOf(zoom) ? this.#charts.get(id) : undefined;
  }

  /** Reads the charts of factories that it does not have. */
  load(ids, zoom) {
    if (this.#key !== keyOf(zoom)) this.clear(keyOf(zoom));
    for (const id of ids.filter((each) => !this.#charts.has(each))) this.#read(id, zoom, this.#charts);
  }

  /** Forgets the zoom. */
  clear(key = "") {
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#key = key;
    this.#charts = new Map();
  }

  async #read(id, zoom, charts) {
    const { signal } = this.#ending;
    charts.set(id, undefined);
    try {
      charts.set(id, await persist(() => readZoom(id, zoom, signal), { signal, onWait: this.#onChange }));
      this.#onChange();
    } catch (error) {
      charts.delete(id); // the live chart stays
      if (!signal.aborted) this.#onChange(error);
    }
  }
}

async function readZoom(id, { from, to }, signal) {
  const time = (micros) =>
    `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, -1)}${String(Math.floor(micros % 1000)).padStart(3, "0")}Z`;
  const request = { factoryId: id, startTime: time(from), endTime: time(to), maxPoints: MAX_POINTS };
  const series = new Series();
  const ending = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MILLIS)]);
  for await (const { chart } of stream(CALL, request, { signal: ending })) if (chart) series.append(chart);
  return series;
}

const keyOf = ({ from, to }) => `${from}-${to}`;
