// Waiting: while the page is hidden, and before a call that failed is made again.

const FIRST_PAUSE_MILLIS = 500;
const LONGEST_PAUSE_MILLIS = 30_000;
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1; // a longer one would end at once

/** Returns after how long to try again after a number of failures: later each time, and not before the server says. */
export function backoff(failures, error) {
  const most = Math.min(LONGEST_PAUSE_MILLIS, FIRST_PAUSE_MILLIS * 2 ** (failures - 1));
  return Math.max(error?.retryMillis ?? 0, most * (0.5 + Math.random() / 2));
}

/** Returns whether the same call can succeed later, although nobody does anything about it. */
export const isTemporary = (error) => !FINAL.has(error.code);

/**
 * Returns whether a change may be sent again without asking: the server says when, or it is unknown whether the change
 * has arrived.
 */
export const canBeSentAgain = (error) => error.retryMillis !== undefined || error.code === "unavailable";

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

/**
 * Waits after an error; a page that is shown again tries at once, unless the server has said when. `onWait(error, millis)`
 * is told for how long.
 */
export function pauseAfter(error, failures, signal, onWait) {
  const millis = backoff(failures, error);
  onWait?.(error, millis);
  return pause(millis, signal, error.retryMillis === undefined ? ["visibilitychange", "online"] : []);
}

/**
 * Makes an attempt until it succeeds, and returns what it returns. After an error that `isWorthwhile` accepts, it is made
 * again when the server says, or a little later each time; `onWait(error, millis)` is told.
 *
 * Throws any other error, and AbortError if `signal` ends it.
 */
export async function persist(attempt, { signal, onWait, isWorthwhile = isTemporary }) {
  for (let failures = 0; ;) {
    await whenShown(signal);
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted || !isWorthwhile(error)) throw error;
      await pauseAfter(error, ++failures, signal, onWait);
    }
  }
}

function pause(millis, signal, events) {
  return new Promise((resolve) => {
    const ending = new AbortController();
    const timer = millis !== undefined && setTimeout(end, Math.min(millis, LONGEST_TIMER_MILLIS));
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
