// The chart of one factory: its name and latest values, what can be done, the picture, and its entries as a table.

import { h, replace, say, set } from "/static/dom.js";
import { listen } from "/static/gestures.js";
import { Plot } from "/static/plot.js";
import { Series, format, gap, gapClass } from "/static/series.js";
import { formatTime, zoneName } from "/static/ticks.js";

const MOST_ROWS = 500;

/** A chart with what belongs to it. */
export class ChartFigure {
  #series = new Series();
  #latest;
  #view = { from: 0, to: 1, end: 1 };
  #zone = "utc";
  #name = "";
  #pointed;
  #plot = new Plot();
  #heading = h("h3");
  #values = h("span", { class: "values" });
  #actions = h("span", { class: "row actions" });
  #rows = h("tbody");
  #caption = h("caption", { class: "dim" });
  #plotBox;
  #remove;
  #table;
  #filled = ""; // what the table shows, so that it stays while nothing changes

  /**
   * `wanted` has what the figure asks for: `point(time)`, `preview(range)`, `zoom(range)`, `unzoom()` and `remove()`.
   */
  constructor(wanted) {
    this.#plotBox = h("div", { class: "plot-box", role: "slider", "aria-valuemin": 0 }, this.#plot.element);
    listen(this.#plotBox, {
      ...wanted,
      plot: this.#plot,
      view: () => this.#view,
      series: () => this.#series,
      pointed: () => this.#pointed,
    });
    const remove = h("button", { type: "button", class: "plain remove", onclick: wanted.remove }, "×");
    this.#remove = remove;
    this.#table = h(
      "details",
      { ontoggle: () => this.#fillTable() },
      h("summary", { class: "dim" }, "Entries as a table"),
      this.#makeTable(),
    );
    const head = h("figcaption", {}, h("div", { class: "row" }, this.#heading, this.#actions, remove), this.#values);
    this.element = h("figure", { class: "panel" }, head, this.#plotBox, this.#table);
  }

  /** Whether it shows a chart. */
  get hasEntries() {
    return this.#series.length > 0;
  }

  /** Shows a part of a chart: `view` is `{ from, to, end }` as Plot.draw has it; `latest` is the entry in force now. */
  show({ name, series, latest, view, zone }) {
    [this.#name, this.#series, this.#latest, this.#view, this.#zone] = [name, series, latest, view, zone];
    say(this.#heading, name);
    set(this.#remove, { "aria-label": `Remove the chart of ${name}`, title: "Remove" });
    set(this.#plotBox, { "aria-label": `Chart of ${name}. Arrow keys show the entries; plus and minus zoom.` });
    this.#plot.draw({ series, zone, ...view });
    this.point(this.#pointed);
    this.#fillTable();
  }

  /** Marks a time, or none. */
  point(time) {
    this.#pointed = time;
    this.#plot.point(time);
    this.#sayValues();
  }

  /** Shows buttons for what the caller may do with the factory. */
  offer(...buttons) {
    replace(this.#actions, buttons);
  }

  #sayValues() {
    const index = this.#pointed === undefined ? -1 : this.#series.indexAt(Math.min(this.#pointed, this.#view.end));
    const entry = this.#pointed === undefined ? this.#latest : this.#series.at(index);
    if (entry) this.#sayEntry(entry, this.#pointed ?? entry.time, this.#pointed === undefined ? "last changed " : "");
    else replace(this.#values, this.#latest ? "no entries yet" : "waiting for its entries");
    const most = Math.max(0, this.#series.length - 1);
    set(this.#plotBox, {
      "aria-valuemax": most,
      "aria-valuenow": index < 0 ? most : index,
      "aria-valuetext": this.#values.textContent,
    });
  }

  #sayEntry({ goal, actual }, time, what) {
    const difference = h("span", { class: gapClass(goal, actual) }, gap(goal, actual));
    const when = h("span", { class: "dim" }, `, ${what}`, h("span", { class: "whole" }, this.#time(time)));
    replace(this.#values, `actual ${format(actual)} of goal ${format(goal)}: `, difference, when);
  }

  #time(micros) {
    return `${formatTime(micros, this.#zone)} ${zoneName(this.#zone)}`;
  }

  #makeTable() {
    const heads = ["Time", "Goal", "Actual", "Difference"].map((each, index) =>
      h("th", { scope: "col", class: index ? "number" : null }, each),
    );
    const table = h("table", {}, this.#caption, h("thead", {}, h("tr", {}, heads)), this.#rows);
    return h("div", { class: "entries", tabindex: 0, role: "region", "aria-label": "Entries" }, table);
  }

  /** Fills the table, the latest entry first, while it is open. */
  #fillTable() {
    if (!this.#table?.open) return;
    const [series, { from, to }] = [this.#series, this.#view];
    const [first, last] = [Math.max(0, series.indexAt(from)), series.indexAt(to)];
    const count = last - first + 1;
    const filled = [this.#name, this.#zone, series.length, first, last].join();
    if (this.#filled === filled) return;
    this.#filled = filled;
    const indices = Array.from({ length: Math.min(count, MOST_ROWS) }, (_, index) => last - index);
    const cut = count > MOST_ROWS ? `, of which these are the latest ${MOST_ROWS}` : "";
    const name = h("bdi", {}, this.#name);
    replace(this.#caption, `${format(count)} entries of `, name, `${cut}. Times are ${zoneName(this.#zone)}.`);
    replace(
      this.#rows,
      indices.map((index) => this.#row(series.at(index))),
    );
  }

  #row({ time, goal, actual }) {
    const number = (content, name = "") => h("td", { class: `number ${name}` }, content);
    return h(
      "tr",
      {},
      h("td", {}, formatTime(time, this.#zone, { isExact: true })),
      number(format(goal)),
      number(format(actual)),
      number(gap(goal, actual), gapClass(goal, actual)),
    );
  }
}
