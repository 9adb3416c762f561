// Calls the server that served this page, by the Connect protocol in JSON.

let key = ""; // in the memory of this page alone, and gone with it

/**
 * Authenticates all later calls by an API key or token; an empty text means none.
 *
 * Throws Error if the text cannot be one: browsers do not send it, as if the server could not be reached.
 */
export function setKey(text) {
  const trimmed = text.trim();
  if (!/^[\x21-\x7e]*$/.test(trimmed)) throw new Error("A key has only ASCII characters, and no spaces");
  key = trimmed;
  dispatchEvent(new Event("keychange"));
}

/** Returns whether calls have a key. */
export const hasKey = () => key !== "";

/**
 * A call that failed.
 *
 * `code` is Connect's, such as `not_found`; `reason` that of the contract, such as `ERROR_REASON_ETAG_MISMATCH`, or empty;
 * `requestId` identifies the call in the server's log; `retryMillis` is after how long a new attempt makes sense, or
 * undefined; `violations` are the fields that are wrong: `{ field, description }`; `missing` are the ids of resources that do not exist.
 */
export class RpcError extends Error {
  constructor(body, requestId = "", retryAfterMillis = undefined) {
    super(body.message || body.code || "the call failed");
    this.name = "RpcError";
    this.code = body.code ?? "unknown";
    this.details = body.details ?? [];
    this.requestId = requestId ?? "";
    this.retryAfterMillis = retryAfterMillis; // by HTTP, which proxies have too
  }

  get reason() {
    return this.#detail("google.rpc.ErrorInfo")?.reason ?? "";
  }

  get violations() {
    return this.#detail("google.rpc.BadRequest")?.fieldViolations ?? [];
  }

  get retryMillis() {
    const delay = this.#detail("google.rpc.RetryInfo")?.retryDelay;
    return delay ? parseFloat(delay) * 1000 : this.retryAfterMillis;
  }

  get missing() {
    return this.#details("google.rpc.ResourceInfo").map((each) => each.resourceName);
  }

  #detail(type) {
    return this.#details(type)[0];
  }

  #details(type) {
    return this.details.filter((each) => each.type === type).map((each) => each.debug ?? {});
  }
}

/**
 * Calls a method with one response, and returns it: `await call("sprocket.v1.FactoryService/GetFactory", { id })`.
 *
 * Throws RpcError; and AbortError if `signal` ends the call. `onHeaders` gets the headers of the response.
 */
export async function call(method, request, { signal, timeoutMillis = 15_000, onHeaders } = {}) {
  const headers = { ...common(timeoutMillis), "content-type": "application/json" };
  const options = { method: "POST", headers, body: json(request) };
  return answer(await send(`/${method}`, options, signal, timeoutMillis), onHeaders);
}

/** Reads as `call` does, by GET: what has not changed is not sent again. */
export async function read(method, request, { signal, timeoutMillis = 15_000 } = {}) {
  const query = new URLSearchParams({ connect: "v1", encoding: "json", message: JSON.stringify(request) });
  const options = { cache: "no-cache", headers: common(timeoutMillis) };
  return answer(await send(`/${method}?${query}`, options, signal, timeoutMillis));
}

/**
 * Yields the responses of a method that streams them, until the server ends the stream.
 *
 * Throws RpcError, with the code `unavailable` if the stream breaks off; and AbortError if `signal` ends it.
 */
export async function* stream(method, request, { signal, onHeaders } = {}) {
  const headers = { ...common(), "content-type": "application/connect+json", "connect-accept-encoding": "gzip" };
  const response = await send(`/${method}`, { method: "POST", headers, body: envelope(request) }, signal);
  onHeaders?.(response.headers);
  if (!response.ok) throw await failure(response);
  const requestId = response.headers.get("x-request-id");
  for await (const { isLast, message } of envelopes(response.body, signal)) {
    if (!isLast) yield message;
    else if (message.error) throw new RpcError(message.error, requestId);
    else return;
  }
  throw lost("the connection was lost");
}

/** Returns a new request id. Pages over plain HTTP have no `crypto.randomUUID`. */
export function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// A text is JSON already: JavaScript would round its large numbers.
const json = (message) => (typeof message === "string" ? message : JSON.stringify(message));

const GRACE_MILLIS = 5_000; // for the server's own answer that the time is over

const lost = (message) => new RpcError({ code: "unavailable", message });

function common(timeoutMillis) {
  const headers = { "connect-protocol-version": "1" };
  if (key) headers.authorization = `Bearer ${key}`;
  if (timeoutMillis) headers["connect-timeout-ms"] = String(timeoutMillis);
  return headers;
}

async function send(url, options, signal, timeoutMillis) {
  const ends = [signal, timeoutMillis && AbortSignal.timeout(timeoutMillis + GRACE_MILLIS)].filter(Boolean);
  try {
    return await fetch(url, { cache: "no-store", credentials: "omit", ...options, signal: AbortSignal.any(ends) });
  } catch {
    signal?.throwIfAborted();
    throw lost("the server cannot be reached");
  }
}

async function answer(response, onHeaders) {
  onHeaders?.(response.headers);
  if (!response.ok) throw await failure(response);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw lost("the connection was lost");
  }
}

async function failure(response) {
  const requestId = response.headers.get("x-request-id");
  const body = await response.json().catch(() => undefined);
  return new RpcError(body?.code ? body : ofProxy(response.status), requestId, retryAfter(response.headers));
}

/** Returns the error of a proxy, which has answered in the place of the server. */
function ofProxy(status) {
  const code = status >= 500 || status === 429 ? "unavailable" : "unknown";
  return { code, message: `HTTP status ${status}` };
}

/** Returns the milliseconds of a header Retry-After, which has seconds or a date; undefined without one. */
function retryAfter(headers) {
  const text = headers.get("retry-after") ?? "";
  const millis = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(millis) ? undefined : Math.max(0, millis);
}

const COMPRESSED = 1;
const LAST = 2;
const HEAD_BYTES = 5;

function envelope(message) {
  const data = new TextEncoder().encode(json(message));
  const whole = new Uint8Array(HEAD_BYTES + data.length);
  new DataView(whole.buffer).setUint32(1, data.length);
  whole.set(data, HEAD_BYTES);
  return whole;
}

async function* envelopes(body, signal) {
  const reader = body.getReader();
  let kept = new Uint8Array();
  try {
    for (;;) {
      const size = kept.length < HEAD_BYTES ? Infinity : HEAD_BYTES + new DataView(kept.buffer, kept.byteOffset).getUint32(1);
      if (kept.length >= size) {
        if (kept[0] & LAST) await drained(reader); // so that the connection is used again
        yield opened(kept[0], kept.subarray(HEAD_BYTES, size));
        kept = kept.subarray(size);
        continue;
      }
      const { done, value } = await reader.read();
      if (done) return;
      kept = joined(kept, value);
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof SyntaxError) throw lost("the response is not JSON");
    throw error instanceof TypeError ? lost("the connection was lost") : error;
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function drained(reader) {
  while (!(await reader.read()).done);
}

async function opened(flags, data) {
  const text = flags & COMPRESSED ? await inflated(data) : new TextDecoder().decode(data);
  return { isLast: Boolean(flags & LAST), message: JSON.parse(text) };
}

const inflated = (data) => new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).text();

function joined(first, second) {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
