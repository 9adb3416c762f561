// The entries of charts in memory, and what is read off them. Times are in microseconds since 1970.

/** The most entries of a chart that the page keeps; then it reads the chart again, downsampled by the server. */
export const MOST_ENTRIES = 20_000;

/** How many entries of a chart the server sends as its history: more than a screen has pixels. */
export const MAX_POINTS = 2_000;

const TAIL_FRACTION = 20; // the time axis extends beyond the last entry by a twentieth, so that its values are visible
const SECOND = 1_000_000;

/** The chart of a factory, in columns of equal length, oldest first. An entry's values hold until the next one. */
export class Series {
  times = [];
  goal = [];
  actual = [];

  get length() {
    return this.times.length;
  }

  /** Appends a chunk (`sprocket.v1.FactoryChart`), all of it or, if it cannot be read, nothing. */
  append(chunk) {
    const times = numbers(chunk.timeMicros);
    const goal = numbers(chunk.sprocketProductionGoal);
    const actual = numbers(chunk.sprocketProductionActual);
    if (goal.length !== times.length || actual.length !== times.length)
      throw new Error("the columns of a chart differ in length");
    times.forEach((time, index) => {
      this.times.push(time);
      this.goal.push(goal[index]);
      this.actual.push(actual[index]);
    });
  }

  /** Returns the index of the entry that is in force at a time; -1 before the first one. */
  indexAt(time) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Returns the entry with an index: `{ time, goal, actual }`; undefined if there is none. */
  at(index) {
    if (index < 0 || index >= this.length) return undefined;
    return { time: this.times[index], goal: this.goal[index], actual: this.actual[index] };
  }

  get last() {
    return this.at(this.length - 1);
  }
}

/** Returns the time axis that fits charts: `{ from, to }`, or undefined if they have no entries. */
export function fitting(all, now) {
  const charts = all.filter((each) => each.length);
  if (!charts.length) return undefined;
  const from = Math.min(...charts.map((each) => each.times[0]));
  return { from, to: Math.max(...charts.map((each) => fittingEnd(from, each.last.time, now))) };
}

/** Returns the difference of actual and goal, whole numbers or BigInts, in words. */
export function gap(goal, actual) {
  if (goal === actual) return "on goal";
  return goal > actual ? `${format(goal - actual)} behind` : `${format(actual - goal)} ahead`;
}

/** Returns the class of CSS of a difference. */
export const gapClass = (goal, actual) => (actual < goal ? "bad" : "good");

/** Returns a whole number for people: `1,234`. */
export const format = (number) => FORMAT.format(number);

/** Returns a number in at most five characters where there is little room: `1.23M`. */
export const formatShort = (number) => (Math.abs(number) < 100_000 ? FORMAT : COMPACT).format(number);

const FORMAT = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const numbers = (texts = []) => texts.map(Number);

function fittingEnd(first, last, now) {
  if (first === last) return Math.max(now, last + SECOND);
  return Math.max(last + 1, Math.min(now, last + (last - first) / TAIL_FRACTION));
}
