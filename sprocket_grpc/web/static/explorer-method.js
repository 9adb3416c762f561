// The page of a method: its comment, a request to edit and send, the answer, and the fields of both.

import { h, set } from "/static/dom.js";
import { Answer, violations } from "/static/explorer-answer.js";
import { commentNodes, nameNodes } from "/static/explorer-comment.js";
import { forgetResources } from "/static/explorer-example.js";
import { Fields, show, typeName } from "/static/explorer-fields.js";
import { RequestEditor } from "/static/explorer-request.js";
import { call, stream } from "/static/rpc.js";

const SHOWN_CHARACTERS = 800; // of a comment
const TIMEOUT_MILLIS = 60_000; // of a call with one response; the server's own limit is 30 s by default

/** Returns the page of a method: its `element`, and `close`, which ends its call. */
export function methodView(contract, method, shared) {
  const page = new MethodPage(contract, method, shared);
  return { element: page.element, close: () => page.close() };
}

/** What a method does to data and how it answers, in a word. */
export function kindOf(method) {
  return method.isStream ? "stream" : method.isRead ? "read" : "write";
}

// The comment of a method. Of a long one, what follows the first paragraph is closed, so that the request stays in sight.
function documentation(contract, comment = "") {
  const [first, ...rest] = commentNodes(contract, comment);
  const isLong = comment.length > SHOWN_CHARACTERS;
  return [first, isLong ? h("details", { class: "more" }, h("summary", {}, "Details and errors"), rest) : rest];
}

class MethodPage {
  constructor(contract, method, shared) {
    this.contract = contract;
    this.method = method;
    this.fields = new Fields(contract, method.request);
    this.answer = new Answer(contract, method, (path) => this.#fieldLink(path));
    this.stop = h("button", { type: "button", class: "stop", hidden: true, onclick: () => this.ending?.abort() }, "Stop");
    this.editor = new RequestEditor(contract, method, { shared, send: () => this.send() });
    this.keychange = () => { forgetResources(); this.editor.callerChanged(); };
    addEventListener("keychange", this.keychange);
    this.element = this.#element();
  }

  close() {
    removeEventListener("keychange", this.keychange);
    this.ending?.abort();
  }

  async send() {
    if (this.editor.problem || this.isBusy) return;
    const { signal } = (this.ending = new AbortController());
    this.#busy(true);
    this.#clearMarks();
    this.answer.begin();
    try {
      await this.#call(signal);
      this.answer.succeed();
    } catch (error) {
      this.#failed(error, signal);
    }
    this.#busy(false);
  }

  async #call(signal) {
    const options = { signal, onHeaders: (headers) => this.answer.headers(headers) };
    const { path, isStream } = this.method;
    if (!isStream) this.answer.add(await call(path, this.editor.text, { ...options, timeoutMillis: TIMEOUT_MILLIS }));
    else for await (const message of stream(path, this.editor.text, options)) this.answer.add(message);
  }

  #failed(error, signal) {
    if (signal.aborted) this.answer.stopped();
    else if (error.code === undefined) throw error; // a defect of this page
    else {
      this.answer.fail(error);
      violations(error).forEach(({ field }) => this.fields.reveal(field)?.element.classList.add("wrong"));
    }
  }

  #busy(isBusy) {
    this.isBusy = isBusy;
    set(this.editor.button, { "aria-disabled": isBusy && "true" });
    if (document.activeElement === this.stop) this.editor.button.focus(); // a hidden button has no focus
    this.stop.hidden = !isBusy;
  }

  #clearMarks() {
    this.element.querySelectorAll(".wrong").forEach((row) => row.classList.remove("wrong"));
  }

  // A link to a field of the request, which opens it on this page.
  #fieldLink(path) {
    const row = this.fields.reveal(path);
    if (!row) return h("code", {}, path);
    const open = (event) => { event.preventDefault(); show(this.fields.reveal(path).element); };
    return h("a", { class: "name", href: `#${row.link}`, onclick: open }, nameNodes(path));
  }

  #element() {
    const { contract, method } = this;
    return h("article", {},
      h("h1", { tabindex: -1 }, method.name, " ", h("span", { class: `tag ${kindOf(method)}` }, kindOf(method))),
      h("p", { class: "dim" }, h("a", { href: `#${method.service}` }, `${contract.package}.${method.service}`), `/${method.name}`),
      documentation(contract, method.comment),
      h("div", { class: "columns" },
        half("Request", typeName(contract, method.request), this.editor.elements(this.stop)),
        half("Response", [method.isStream && "stream of ", typeName(contract, method.response)], this.answer.elements)),
      h("h2", {}, "Fields of the request"), this.fields.element,
      h("h2", {}, "Fields of the response"), new Fields(contract, method.response).element);
  }
}

// The request or the response, under a heading with its type.
function half(title, type, elements) {
  return h("section", { "aria-label": title }, h("h2", {}, title, " ", h("span", { class: "type" }, type)), elements);
}
