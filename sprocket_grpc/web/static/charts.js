// The charts of the chosen factories, live, and what of them is shown: the range, a zoom, the time zone.

import { h, reconcile, replace, say, set } from "/static/dom.js";
import { Feed } from "/static/feed.js";
import { ChartFigure } from "/static/figure.js";
import { Offers } from "/static/offers.js";
import { Series, fitting } from "/static/series.js";
import { explain } from "/static/shell.js";
import { RANGES } from "/static/urlstate.js";
import { ZoomedCharts } from "/static/zoomed.js";

const TICK_MILLIS = 5_000; // ranges that end now move on: an hour by a pixel in 4 s
const SHORTEST_ZOOM = 10_000; // microseconds

const STATES = {
  idle: "",
  connecting: "Connecting",
  loading: "Loading the history",
  live: "Live",
  paused: "Paused while hidden",
  reconnecting: "Reconnecting",
  offline: "Offline: reconnecting when there is a network",
  failed: "Stopped",
};

const now = () => Date.now() * 1000;

/** The panel with the charts. */
export class ChartsPanel {
  #state;
  #factories;
  #feed;
  #followed = ""; // what the feed follows, to notice changes
  #ending = new AbortController();
  #figures = new Map();
  #zoomed = new ZoomedCharts((error) => this.#takeZoom(error));
  #offers;
  #preview;
  #isDue = false;
  #bar;
  #hint = h("p", { class: "dim" }, "Choose factories in the table to see their charts.");
  #legend = legend();
  #grid = h("div", { class: "charts" });
  #status = h("span", { role: "status", class: "status" });
  #problem = h("p", { role: "alert", class: "bad" });
  #notice = h("p", { role: "status", class: "warn" });
  #zoomNotice = h("p", { role: "status", class: "warn" });
  #ranges = Object.keys(RANGES).map((range) =>
    h(
      "button",
      { type: "button", onclick: () => this.#state.update({ range, zoom: null }) },
      range.replace(/^\d+/, "$& "),
    ),
  );
  #whole = h("button", { type: "button", onclick: () => this.#unzoom() }, "Whole range");
  #zone = h("button", {
    type: "button",
    onclick: () => this.#state.update({ zone: this.#state.zone === "utc" ? "local" : "utc" }),
  });

  /**
   * `state` is the UrlState; `factories` knows names, by `name(id)`, is told the latest values, by `live(id, entry)`,
   * and says what may be done with a factory, by `actions(id)`, a promise of buttons.
   */
  constructor(state, factories) {
    this.#state = state;
    this.#factories = factories;
    this.#offers = new Offers((id) => factories.actions(id));
    const ranges = h("div", { class: "row", role: "group", "aria-label": "Range" }, this.#ranges, this.#whole);
    this.#bar = h("div", { class: "row toolbar" }, ranges, h("span", { class: "grow" }), this.#status, this.#zone);
    this.element = h(
      "section",
      { "aria-label": "Charts" },
      this.#bar,
      this.#problem,
      this.#notice,
      this.#zoomNotice,
      this.#hint,
      this.#grid,
      this.#legend,
    );
    state.addEventListener("change", () => this.update());
    factories.addEventListener("change", () => this.redraw());
    factories.addEventListener("choose", () => this.#bar.scrollIntoView({ block: "nearest" })); // on a phone, it is far
    addEventListener("keychange", () => this.#restart());
    setInterval(() => document.hidden || this.redraw(), TICK_MILLIS);
  }

  /** Shows what the state says. */
  update() {
    const { ids, range, zoom, zone } = this.#state;
    const chosen = ids ?? [];
    Object.keys(RANGES).forEach((name, index) => set(this.#ranges[index], { "aria-pressed": String(name === range) }));
    set(this.#whole, { hidden: !zoom });
    say(this.#zone, zone === "utc" ? "Times: UTC" : "Times: local");
    set(this.#zone, { title: zone === "utc" ? "Show local times" : "Show UTC" });
    for (const each of [this.#bar, this.#legend]) set(each, { hidden: !chosen.length });
    set(this.#hint, { hidden: chosen.length > 0 });
    reconcile(this.#grid, this.#figures, chosen, (id) => this.#makeFigure(id));
    set(this.#grid, { "data-count": chosen.length });
    if (this.#followed !== [range, ...chosen].join()) this.#follow(chosen, range);
    if (zoom) this.#zoomed.load(chosen, zoom);
    else replace(this.#zoomNotice);
    this.redraw();
  }

  /** Draws everything in the next frame. */
  redraw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  /** Shows what another caller may see. */
  #restart() {
    this.#feed = undefined;
    this.#followed = "";
    this.#zoomed.clear();
    reconcile(this.#grid, this.#figures, []); // what the caller before could read and change
    this.#offers.clear();
    this.update();
  }

  #follow(ids, range) {
    if (!this.#feed || this.#followed.split(",")[0] !== range) this.#feed = new Feed(RANGES[range]);
    this.#followed = [range, ...ids].join();
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#say("idle");
    replace(this.#notice);
    if (!ids.length) return;
    const { signal } = this.#ending;
    this.#feed.follow(ids, {
      signal,
      onChange: () => this.#take(),
      onState: (kind, error) => signal.aborted || this.#say(kind, error),
    });
  }

  #take() {
    for (const [id, chart] of this.#feed.charts) if (chart.length) this.#factories.live(id, chart.last);
    this.redraw();
  }

  /** Says how the stream is. Factories that were deleted leave the charts. */
  #say(kind, error) {
    const shown = kind === "reconnecting" && !navigator.onLine ? "offline" : kind;
    say(this.#status, STATES[shown]);
    set(this.#status, { "data-state": shown });
    const isClear = shown === "offline" || error?.code === "unavailable"; // the table of factories says why
    replace(this.#problem, error && !isClear ? explain(error) : null);
    if (!error?.missing?.length) return;
    this.#remove(error.missing);
    const count = error.missing.length;
    const several = `${count} factories no longer exist, and their charts are gone.`;
    replace(this.#notice, count === 1 ? "A factory no longer exists, and its chart is gone." : several);
  }

  /** Draws a chart of the zoom that has arrived, or says why it has not. */
  #takeZoom(error) {
    replace(this.#zoomNotice, error && ["The zoom lacks entries, because they cannot be read: ", explain(error)]);
    this.redraw();
  }

  #remove(ids) {
    this.#state.update({ ids: this.#state.ids.filter((each) => !ids.includes(each)) });
  }

  #makeFigure(id) {
    const figure = new ChartFigure({
      point: (time) => this.#figures.forEach((each) => each.point(time)),
      preview: (range) => {
        this.#preview = this.#bounded(range);
        this.redraw();
      },
      zoom: (range) => {
        this.#preview = undefined;
        this.#zoom(this.#bounded(range));
      },
      unzoom: () => this.#unzoom(),
      remove: () => this.#remove([id]),
    });
    this.#offers.add(id, figure);
    return figure;
  }

  #draw() {
    const view = this.#preview ?? this.#state.zoom ?? this.#full() ?? { from: now() - RANGES["1h"], to: now() };
    for (const [id, figure] of this.#figures) {
      const live = this.#feed?.charts.get(id) ?? new Series();
      if (!live.length && figure.hasEntries) continue; // what it shows stays until its history has come
      const zoomed = this.#preview ? undefined : this.#zoomed.get(id, this.#state.zoom);
      const end = Math.max(now(), live.last?.time ?? 0);
      const shown = { series: zoomed ?? live, latest: live.last, view: { ...view, end: Math.min(end, view.to) } };
      figure.show({ ...shown, name: this.#factories.name(id), zone: this.#state.zone });
    }
  }

  /** Returns the axis without a zoom; undefined if there is nothing to show. */
  #full() {
    const length = RANGES[this.#state.range];
    const charts = [...(this.#feed?.charts.values() ?? [])];
    if (!length) return fitting(charts, now());
    const to = Math.max(now(), ...charts.map((each) => each.last?.time ?? 0)); // the server's clock may be ahead
    return { from: to - length, to };
  }

  /** Returns the part of a range that is within the axis without a zoom, and not too short. */
  #bounded({ from, to }) {
    const full = this.#full() ?? { from, to };
    const middle = Math.min(full.to, Math.max(full.from, (from + to) / 2));
    const half = Math.max((to - from) / 2, SHORTEST_ZOOM / 2);
    return { from: Math.max(full.from, middle - half), to: Math.min(full.to, middle + half) };
  }

  #zoom({ from, to }) {
    const full = this.#full();
    if (full && from <= full.from && to >= full.to) this.#unzoom();
    else this.#state.update({ zoom: { from: Math.round(from), to: Math.round(to) } });
  }

  #unzoom() {
    this.#preview = undefined;
    this.#state.update({ zoom: null });
    this.redraw();
  }
}

function legend() {
  const names = { actual: "actual", goal: "goal", ahead: "ahead", behind: "behind" };
  const items = Object.entries(names).map(([name, text]) =>
    h("span", {}, h("span", { class: `swatch ${name}`, "aria-hidden": "true" }), text),
  );
  return h(
    "p",
    { class: "legend dim" },
    items,
    h("span", {}, "Drag or pinch to zoom; double-click for the whole range."),
  );
}
