// What people do with a chart: point, drag, pinch, scroll with Ctrl, and press keys.

import { set } from "/static/dom.js";

const DRAG_PIXELS = 6;
const ZOOM_STEP = 1.6;
const FEW = 10;
const SETTLE_MILLIS = 250;

/**
 * Listens to the gestures on an element with a plot.
 *
 * `target` has `plot`, a Plot; `view()`, the axis as `{ from, to }`; `series()`; `pointed()`, the time that is marked or
 * undefined; and gets `point(time)`, `preview(range)` while a zoom is under way, `zoom(range)`, and `unzoom()`.
 */
export function listen(element, target) {
  const fingers = new Map(); // the times under the fingers that touch the chart, by the ids of their pointers
  let drag; // { from, x } while a mouse selects a range
  let pinched;

  element.addEventListener("pointerdown", (event) => {
    const time = target.plot.timeAt(event.clientX);
    if (event.pointerType === "touch") fingers.set(event.pointerId, { time, x: event.clientX });
    else if (event.button === 0) drag = { from: time, x: event.clientX };
    element.setPointerCapture(event.pointerId);
  });

  element.addEventListener("pointermove", (event) => {
    const time = target.plot.timeAt(event.clientX);
    if (fingers.has(event.pointerId)) fingers.get(event.pointerId).x = event.clientX;
    if (fingers.size === 2) target.preview((pinched = spread([...fingers.values()], target.plot.edges)));
    else target.point(time);
    if (drag) target.plot.select(Math.abs(event.clientX - drag.x) < DRAG_PIXELS ? undefined : ordered(drag.from, time));
  });

  const finish = (event) => {
    if (drag && event.type === "pointerup" && Math.abs(event.clientX - drag.x) >= DRAG_PIXELS) {
      target.zoom(ordered(drag.from, target.plot.timeAt(event.clientX)));
    }
    target.plot.select(undefined);
    drag = undefined;
    fingers.delete(event.pointerId);
    if (pinched && fingers.size < 2) target.zoom(pinched);
    if (fingers.size < 2) pinched = undefined;
  };
  for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, finish);
  element.addEventListener("pointerleave", () => target.point(undefined));
  element.addEventListener("dblclick", () => target.unzoom());
  element.addEventListener("blur", () => target.point(undefined));
  element.addEventListener("keydown", (event) => onKey(event, target));
  listenToWheel(element, target);
  set(element, { tabindex: 0 });
}

/** Trackpads send a pinch as scrolling with Ctrl. */
function listenToWheel(element, target) {
  let settling;
  const onWheel = (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const range = scaled(target.view(), target.plot.timeAt(event.clientX), Math.exp(event.deltaY / 200));
    target.preview(range);
    clearTimeout(settling);
    settling = setTimeout(() => target.zoom(range), SETTLE_MILLIS);
  };
  element.addEventListener("wheel", onWheel, { passive: false });
}

const KEYS = {
  ArrowLeft: (target) => step(target, -1),
  ArrowRight: (target) => step(target, 1),
  PageDown: (target) => step(target, -FEW),
  PageUp: (target) => step(target, FEW),
  Home: (target) => step(target, -Infinity),
  End: (target) => step(target, Infinity),
  "+": (target) => target.zoom(scaled(target.view(), centre(target), 1 / ZOOM_STEP)),
  "=": (target) => KEYS["+"](target),
  "-": (target) => target.zoom(scaled(target.view(), centre(target), ZOOM_STEP)),
  Escape: (target) => target.unzoom(),
};

function onKey(event, target) {
  if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key](target);
}

/** Marks another entry: some entries before or after the one that is marked, within the axis. */
function step(target, entries) {
  const [series, { from, to }] = [target.series(), target.view()];
  const [first, last] = [Math.max(0, series.indexAt(from)), series.indexAt(to)];
  if (last < 0) return;
  const marked = target.pointed();
  const start = marked !== undefined ? series.indexAt(marked) : entries < 0 ? last + 1 : first - 1;
  let index = Math.min(last, Math.max(first, start + entries));
  while (entries < 0 && index > first && series.times[index] === marked) index--; // entries can have the same time
  target.point(Math.max(from, series.times[index]));
}

function centre(target) {
  const { from, to } = target.view();
  return target.pointed() ?? (from + to) / 2;
}

/** Returns a range that is longer by a factor, with a time at the same place in it. */
function scaled({ from, to }, time, factor) {
  return { from: time - (time - from) * factor, to: time + (to - time) * factor };
}

/** Returns the range in which the times that two fingers have touched are under them. */
function spread([one, other], edges) {
  const [a, b] = one.x < other.x ? [one, other] : [other, one];
  const perPixel = Math.abs(b.time - a.time) / Math.max(1, b.x - a.x);
  const from = Math.min(a.time, b.time) - (a.x - edges.left) * perPixel;
  return { from, to: from + (edges.right - edges.left) * perPixel };
}

const ordered = (a, b) => ({ from: Math.min(a, b), to: Math.max(a, b) });
