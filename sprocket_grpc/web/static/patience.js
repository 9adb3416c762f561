// Waiting: while the page is hidden, and before a call that failed is made again.

const FIRST_PAUSE_MILLIS = 500;
const LONGEST_PAUSE_MILLIS = 30_000;

/** Returns after how long to try again after a number of failures: later each time, and not before the server says. */
export function backoff(failures, error) {
  const most = Math.min(LONGEST_PAUSE_MILLIS, FIRST_PAUSE_MILLIS * 2 ** (failures - 1));
  return Math.max(error?.retryMillis ?? 0, most * (0.5 + Math.random() / 2));
}

/** Returns whether the same call can succeed later, although nobody does anything about it. */
export const isTemporary = (error) => !FINAL.has(error.code);

const FINAL = new Set([
  "invalid_argument",
  "not_found",
  "permission_denied",
  "unauthenticated",
  "unimplemented",
  "failed_precondition",
  "data_loss",
]);

/** Waits until the page is visible; not any longer once the signal is aborted. */
export async function whenShown(signal) {
  while (document.hidden && !signal.aborted) await pause(undefined, signal, ["visibilitychange"]);
}

/** Waits for some milliseconds, and no longer than the page stays as it is: shown or hidden, online or offline. */
export const pauseWhileUnchanged = (millis, signal) => pause(millis, signal, ["visibilitychange", "online"]);

/** Waits for some milliseconds after an error; a page that is shown again tries at once, unless the server has said when. */
export const pauseAfter = (error, failures, signal) =>
  pause(backoff(failures, error), signal, error.retryMillis === undefined ? ["visibilitychange", "online"] : []);

function pause(millis, signal, events) {
  return new Promise((resolve) => {
    const ending = new AbortController();
    const timer = millis !== undefined && setTimeout(end, millis);
    function end() {
      clearTimeout(timer);
      ending.abort();
      resolve();
    }
    const options = { signal: ending.signal };
    signal.addEventListener("abort", end, options);
    for (const name of events) (name === "online" ? window : document).addEventListener(name, end, options);
    if (signal.aborted) end();
  });
}
