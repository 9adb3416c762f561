// Round numbers and times for the axes of charts, and times for people.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const [YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MILLISECOND] = [0, 1, 2, 3, 4, 5, 6]; // the arguments of Date.UTC
const DAY_MILLIS = 86_400_000;
const MONDAY = 4; // days after 1970-01-01

/** The distances of ticks: the unit, how many of it, and their length in milliseconds. */
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((count) => [MILLISECOND, count, count]),
  ...[1, 2, 5, 10, 15, 30].map((count) => [SECOND, count, count * 1000]),
  ...[1, 2, 5, 10, 15, 30].map((count) => [MINUTE, count, count * 60_000]),
  ...[1, 2, 3, 6, 12].map((count) => [HOUR, count, count * 3_600_000]),
  ...[1, 2, 7, 14].map((count) => [DAY, count, count * DAY_MILLIS]),
  ...[1, 2, 3, 6].map((count) => [MONTH, count, count * 30.4 * DAY_MILLIS]),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((count) => [YEAR, count, count * 365.25 * DAY_MILLIS]),
];

/** Returns at most `count` round whole numbers from `low` to `high`, at equal distances. */
export function numberTicks(low, high, count) {
  for (let power = 1; ; power *= 10) {
    for (const step of [power, 2 * power, 5 * power]) {
      const first = Math.ceil(low / step);
      const length = Math.floor(high / step) - first + 1;
      if (length <= count) return Array.from({ length }, (_, index) => (first + index) * step);
    }
  }
}

/**
 * Returns round times for an axis: `{ time, label, context }`, with times in microseconds since 1970.
 *
 * `context` is what the label leaves out, such as the year, where it is another than that of the tick before; else empty.
 */
export function timeTicks(from, to, count, zone) {
  const [start, end] = [from / 1000, to / 1000];
  const [unit, step] = STEPS.find(([, , millis]) => (end - start) / millis <= count) ?? STEPS.at(-1);
  let before = "";
  return roundTimes(start, end, unit, step, zone).map((millis) => {
    const [label, context] = labels(fields(millis, zone), unit);
    const tick = { time: millis * 1000, label, context: context === before ? "" : context };
    before = context;
    return tick;
  });
}

/** Returns a time in microseconds since 1970 for people, exact if it `isExact`: `2026-03-12 14:30:05.123456`. */
export function formatTime(micros, zone, { isExact = false } = {}) {
  const [year, month, day, hour, minute, second] = fields(Math.floor(micros / 1000), zone);
  const fraction = isExact ? `.${pad(((micros % 1e6) + 1e6) % 1e6, 6)}` : "";
  return `${year}-${pad(month + 1)}-${pad(day)} ${pad(hour)}:${pad(minute)}:${pad(second)}${fraction}`;
}

/** Returns the name of a time zone: `UTC`, or that of this device, such as `Europe/Zurich`. */
export const zoneName = (zone) => (zone === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone);

function roundTimes(start, end, unit, step, zone) {
  const values = fields(start, zone).map((each, index) => (index <= unit ? each : index === DAY ? 1 : 0));
  values[unit] -= offset(values, unit, step);
  const times = [];
  for (let time = moment(values, zone); time <= end; time = moment(values, zone)) {
    if (time >= start && time !== times.at(-1)) times.push(time); // an hour may occur twice, or not at all
    values[unit] += step;
  }
  return times;
}

/** Returns how much a value is over a multiple of the step. Weeks begin on Mondays. */
function offset(values, unit, step) {
  if (unit !== DAY) return values[unit] % step;
  const days = Date.UTC(values[YEAR], values[MONTH], values[DAY]) / DAY_MILLIS;
  return (days - (step % 7 ? 0 : MONDAY)) % step;
}

function fields(millis, zone) {
  const date = new Date(millis);
  const get = zone === "utc" ? "getUTC" : "get";
  return ["FullYear", "Month", "Date", "Hours", "Minutes", "Seconds", "Milliseconds"].map((name) => date[get + name]());
}

const moment = (values, zone) => (zone === "utc" ? Date.UTC(...values) : new Date(...values).getTime());

function labels([year, month, day, hour, minute, second, millisecond], unit) {
  const date = `${day} ${MONTHS[month]}`;
  const clock = `${pad(hour)}:${pad(minute)}`;
  if (unit === YEAR) return [String(year), ""];
  if (unit === MONTH) return [MONTHS[month], String(year)];
  if (unit === DAY) return [date, String(year)];
  if (unit <= MINUTE) return [clock, `${date} ${year}`];
  if (unit === SECOND) return [`${clock}:${pad(second)}`, `${date} ${year}`];
  return [`${pad(second)}.${pad(millisecond, 3)}`, `${date} ${clock}`];
}

const pad = (number, length = 2) => String(number).padStart(length, "0");
