// What the server answers: messages, errors with what the contract says about them, and how long it took.

import { h, replace, say, set } from "/static/dom.js";
import { commentNodes } from "/static/explorer-comment.js";
import { copyButton } from "/static/explorer-copy.js";
import { pretty } from "/static/explorer-json.js";
import { askForKey } from "/static/shell.js";

const KEPT_MESSAGES = 50; // of a stream, so that it may run for days

/** Shows the answer of a method. `fieldLink(path)` returns a link to the documentation of a field of the request. */
export class Answer {
  constructor(contract, method, fieldLink) {
    this.contract = contract;
    this.isStream = method.isStream;
    this.fieldLink = fieldLink;
    this.status = h("p", { role: "status", class: "dim" }, "Nothing sent yet.");
    this.facts = h("p", { class: "dim facts" });
    this.error = h("div", { class: "error" });
    this.messages = h("ol", { class: "messages", "aria-label": "Messages" });
    this.elements = [this.status, this.facts, this.error, this.messages];
  }

  begin() {
    this.began = performance.now();
    this.count = 0;
    this.requestId = "";
    replace(this.error);
    replace(this.messages);
    this.#state("dim", "Waiting for the answer…");
  }

  headers(headers) {
    this.requestId = headers.get("x-request-id") ?? "";
  }

  /** Shows a message, the newest first, and forgets the oldest. */
  add(message) {
    this.count += 1;
    const head = this.isStream
      ? h("div", { class: "dim" }, `Message ${this.count}, after ${this.#took()}`)
      : copyButton("Copy response", () => JSON.stringify(message, null, 2));
    this.messages.prepend(h("li", {}, head, h("pre", { tabindex: 0 }, pretty(message))));
    if (this.messages.childElementCount > KEPT_MESSAGES) this.messages.lastElementChild.remove();
    if (this.isStream) this.#state("good", "The stream is open.");
  }

  succeed() {
    this.#state("good", this.isStream ? "OK: the stream has ended." : "OK");
  }

  stopped() {
    this.#state("dim", "Stopped.");
  }

  fail(error) {
    this.requestId = error.requestId || this.requestId;
    this.#state("bad", error.code.toUpperCase());
    const explained = [this.#violations(error), this.#reason(error.reason), retryNode(error.retryMillis)];
    replace(this.error, explained, keyNode(error), rawDetails(error));
  }

  #state(kind, text) {
    set(this.status, { class: kind });
    say(this.status, text);
    const counted = this.count === 1 ? "1 message" : `${this.count} messages`;
    const kept = this.count > KEPT_MESSAGES ? `, the last ${KEPT_MESSAGES} are shown` : "";
    const id = this.requestId && [" · request id ", h("code", {}, this.requestId)];
    replace(this.facts, this.#took(), this.isStream && ` · ${counted}${kept}`, id);
  }

  #took() {
    const millis = performance.now() - this.began;
    return millis < 10_000 ? `${Math.round(millis)} ms` : `${(millis / 1000).toFixed(1)} s`;
  }

  // The fields that are wrong, as a table whose links lead to their documentation; or the message, if none are named.
  #violations(error) {
    const wrong = violations(error);
    if (!wrong.length) return h("p", {}, error.message);
    const rows = wrong.map(({ field, description }) => h("tr", {}, h("td", {}, this.fieldLink(field)), h("td", {}, description)));
    const head = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"), h("th", { scope: "col" }, "What is wrong")));
    return h("table", { class: "violations" }, head, h("tbody", {}, rows));
  }

  #reason(reason) {
    if (!reason) return null;
    const link = `ErrorReason.${reason}`;
    const [comment] = (this.contract.entries.get(link)?.comment ?? "").split(/\n+Example of/);
    return h("div", { class: "panel reason" }, h("a", { href: `#${link}`, class: "name" }, reason), commentNodes(this.contract, comment));
  }
}

/** The fields that an error names: those that are wrong, and those that refer to what does not exist. */
export function violations(error) {
  const missing = error.details.filter((each) => each.type === "google.rpc.PreconditionFailure");
  const referring = missing.flatMap((each) => each.debug?.violations ?? []);
  return [...error.violations, ...referring.map(({ subject, description }) => ({ field: subject, description }))];
}

// Counts down until a new attempt makes sense.
function retryNode(millis) {
  if (millis === undefined) return null;
  const node = h("p", { role: "timer" });
  const end = performance.now() + millis;
  const tick = () => {
    const seconds = Math.ceil((end - performance.now()) / 1000);
    say(node, seconds > 0 ? `Retry in ${seconds} s.` : "You can retry now.");
    if (seconds > 0) setTimeout(() => (node.isConnected ? tick() : undefined), 250);
  };
  tick();
  return node;
}

function keyNode(error) {
  return error.code === "unauthenticated" && h("button", { type: "button", onclick: askForKey }, "Set a key…");
}

function rawDetails(error) {
  if (!error.details.length) return null;
  const content = error.details.map(({ type, debug, value }) => ({ [type]: debug ?? value }));
  const text = pretty({ message: error.message, details: content });
  return h("details", {}, h("summary", { class: "dim" }, "Details as JSON"), h("pre", { tabindex: 0 }, text));
}
