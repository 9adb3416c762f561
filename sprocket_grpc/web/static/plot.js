// Draws a chart: goal dashed and actual full, as steps, with the area between them shaded, as the command line does.

import { replace, set, svg } from "/static/dom.js";
import { formatShort } from "/static/series.js";
import { numberTicks, timeTicks, zoneName } from "/static/ticks.js";

const CHARACTER = 7.3; // the width of a digit, in pixels
const TOP = 24;
const BOTTOM = 42;
const TICK_WIDTH = 62;
const TICK_HEIGHT = 44;
const LABEL_HEIGHT = 14;
const MARGIN_FRACTION = 0.08;

/** The picture of a chart, as large as the box it is in. */
export class Plot {
  #grid = svg("g", { class: "grid" });
  #labels = svg("g", { class: "labels" });
  #ahead = svg("path", { class: "ahead" });
  #behind = svg("path", { class: "behind" });
  #goal = svg("path", { class: "goal" });
  #actual = svg("path", { class: "actual" });
  #ends = svg("g", { class: "ends" });
  #pointer = svg("g", { class: "pointer" });
  #selection = svg("rect", { class: "selection" });
  #area = { left: 0, right: 0, top: TOP, bottom: 0 };
  #shown; // what is drawn: { series, from, to, end, zone }

  constructor() {
    const layers = [
      this.#grid,
      this.#ahead,
      this.#behind,
      this.#goal,
      this.#actual,
      this.#selection,
      this.#labels,
      this.#ends,
      this.#pointer,
    ];
    this.element = svg("svg", { class: "plot", "aria-hidden": "true" }, layers);
    new ResizeObserver(() => this.#shown && this.draw(this.#shown)).observe(this.element);
  }

  /**
   * Draws a part of a chart.
   *
   * The axis is from `from` to `to`, the curves end at `end`, all in microseconds since 1970. `zone` is `utc` or `local`.
   */
  draw(shown) {
    this.#shown = shown;
    const { width, height } = this.element.getBoundingClientRect();
    if (!width || !height) return;
    const span = visible(shown);
    const [low, high] = bounds(span, shown.series);
    const ticks = numberTicks(low, high, Math.max(2, Math.floor((height - TOP - BOTTOM) / TICK_HEIGHT)));
    this.#fit(width, height, ticks, ends(span, shown.series));
    this.#scale = { low, high };
    this.#drawAxes(ticks, shown);
    this.#drawCurves(span, shown);
    this.#drawEnds(ends(span, shown.series));
    this.point(undefined);
  }

  /** Marks a time and its values, if the picture has it. */
  point(time) {
    const { series, from, to, end } = this.#shown ?? {};
    const entry = series?.at(series.indexAt(time));
    if (time === undefined || time < from || time > Math.min(to, end) || !entry) return replace(this.#pointer);
    const [x, { top, bottom }] = [this.#x(time), this.#area];
    const dot = (value, name) => svg("circle", { class: name, cx: x, cy: this.#y(value), r: 4 });
    return replace(
      this.#pointer,
      svg("line", { x1: x, x2: x, y1: top, y2: bottom }),
      dot(entry.goal, "goal"),
      dot(entry.actual, "actual"),
    );
  }

  /** Marks a range of time, or none. */
  select(range) {
    const { top, bottom } = this.#area;
    const [x, width] = range ? [this.#x(range.from), this.#x(range.to) - this.#x(range.from)] : [0, 0];
    set(this.#selection, { x, width, y: top, height: bottom - top });
  }

  /** The horizontal positions in the window where the axis of time begins and ends. */
  get edges() {
    const offset = this.element.getBoundingClientRect().left;
    return { left: offset + this.#area.left, right: offset + this.#area.right };
  }

  /** Returns the time at a horizontal position in the window, within the axis. */
  timeAt(clientX) {
    const { left, right } = this.edges;
    const { from, to } = this.#shown;
    const fraction = (clientX - left) / (right - left);
    return from + Math.min(1, Math.max(0, fraction)) * (to - from);
  }

  #scale = { low: 0, high: 1 };

  #x(time) {
    const { left, right } = this.#area;
    const { from, to } = this.#shown;
    return round(left + ((Math.min(to, Math.max(from, time)) - from) / (to - from)) * (right - left));
  }

  #y(value) {
    const { top, bottom } = this.#area;
    const { low, high } = this.#scale;
    return round(bottom - ((value - low) / (high - low)) * (bottom - top));
  }

  #fit(width, height, ticks, values) {
    const longest = (numbers) => Math.max(1, ...numbers.map((each) => formatShort(each).length));
    const left = 14 + CHARACTER * longest(ticks);
    const right = width - 14 - CHARACTER * longest(values.map(([, value]) => value));
    this.#area = { left, right: Math.max(right, left + 10), top: TOP, bottom: height - BOTTOM };
    set(this.element, { viewBox: `0 0 ${round(width)} ${round(height)}` });
  }

  #drawAxes(ticks, { from, to, zone }) {
    const { left, right, top, bottom } = this.#area;
    const times = timeTicks(from, to, Math.max(1, Math.floor((right - left) / TICK_WIDTH)), zone);
    const line = (x1, x2, y1, y2) => svg("line", { x1, x2, y1, y2 });
    const text = (x, y, anchor, content) => svg("text", { x, y, "text-anchor": anchor }, content);
    replace(
      this.#grid,
      ticks.map((value) => line(left, right, this.#y(value), this.#y(value))),
      times.map(({ time }) => line(this.#x(time), this.#x(time), top, bottom)),
    );
    replace(
      this.#labels,
      ticks.map((value) => text(left - 7, this.#y(value) + 4, "end", formatShort(value))),
      times.map(({ time, label }) => text(this.#x(time), bottom + 17, "middle", label)),
      times.map(
        ({ time, context }) => context && text(Math.max(this.#x(time), left + 20), bottom + 33, "middle", context),
      ),
      text(4, 12, "start", "sprockets"),
      text(right, 12, "end", zoneName(zone)),
    );
  }

  #drawCurves({ first, last }, { series, from, end }) {
    const parts = { goal: "", actual: "", ahead: "", behind: "" };
    for (let index = first; index <= last; index++) {
      const { time, goal, actual } = series.at(index);
      const x = this.#x(Math.max(time, from));
      const next = this.#x(index < last ? series.times[index + 1] : end);
      const [yGoal, yActual] = [this.#y(goal), this.#y(actual)];
      parts.goal += `${index === first ? `M${x} ` : "V"}${yGoal}H${next}`;
      parts.actual += `${index === first ? `M${x} ` : "V"}${yActual}H${next}`;
      if (goal !== actual) parts[actual > goal ? "ahead" : "behind"] += `M${x} ${yGoal}H${next}V${yActual}H${x}Z`;
    }
    set(this.#goal, { d: parts.goal });
    set(this.#actual, { d: parts.actual });
    set(this.#ahead, { d: parts.ahead });
    set(this.#behind, { d: parts.behind });
  }

  /** Writes the last values beside the ends of the curves, the greater one above. */
  #drawEnds(values) {
    const places = values.map(([name, value]) => ({ name, value, y: this.#y(value) }));
    places.sort((a, b) => a.y - b.y || (a.name === "actual" ? -1 : 1));
    if (places.length === 2 && places[1].y - places[0].y < LABEL_HEIGHT) {
      const middle = (places[0].y + places[1].y) / 2;
      [places[0].y, places[1].y] = [middle - LABEL_HEIGHT / 2, middle + LABEL_HEIGHT / 2];
    }
    const x = this.#area.right + 6;
    replace(
      this.#ends,
      places.map(({ name, value, y }) => svg("text", { class: name, x, y: y + 4 }, formatShort(value))),
    );
  }
}

/** Returns the indices of the entries that are in force in the range; `last < first` if there are none. */
function visible({ series, from, to, end }) {
  const last = series.indexAt(Math.min(to, end));
  return { first: Math.max(0, series.indexAt(from)), last };
}

/** Returns the least and greatest value, with a margin. */
function bounds({ first, last }, series) {
  const values = [...series.goal.slice(first, last + 1), ...series.actual.slice(first, last + 1)];
  if (!values.length) return [0, 1];
  const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const margin = Math.max((high - low) * MARGIN_FRACTION, 1);
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}

function ends({ first, last }, series) {
  return last < first
    ? []
    : [
        ["actual", series.actual[last]],
        ["goal", series.goal[last]],
      ];
}

const round = (number) => Math.round(number * 10) / 10;
