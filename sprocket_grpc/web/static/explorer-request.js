// The editor of a request: an example to begin with, what it would do, and the commands that send the same.

import { h, say, set } from "/static/dom.js";
import { PROGRAMS, commandOf } from "/static/explorer-commands.js";
import { copyButton } from "/static/explorer-copy.js";
import { exampleRequest, forgetResources } from "/static/explorer-example.js";
import { hasKey } from "/static/rpc.js";

const drafts = new Map(); // what was typed, by the link of the method
const CHANGES = 'This request changes data. "validateOnly": true makes it a dry run.';
let preferred = PROGRAMS[0];

/** An editor. `shared` is the text of a request from a link, if any; `send` sends the text. */
export class RequestEditor {
  constructor(contract, method, { shared, send }) {
    this.contract = contract;
    this.method = method;
    this.shared = shared;
    this.area = h("textarea", {
      "aria-label": "Request as JSON", "aria-describedby": "effect", spellcheck: "false", rows: 8,
      oninput: () => this.#typed(), onkeydown: (event) => isSendKey(event) && (event.preventDefault(), send()),
    });
    this.effect = h("p", { id: "effect", role: "status" });
    this.button = h("button", { type: "button", class: "primary send", onclick: send, "aria-keyshortcuts": "Control+Enter" }, "Send");
    this.reset = h("button", { type: "button", onclick: () => { forgetResources(); this.#loadExample(); } }, "New example");
    this.programs = PROGRAMS.map((program) => h("button", { type: "button", onclick: () => this.#prefer(program) }, program));
    this.command = h("pre", { class: "command", tabindex: 0 });
    const programs = h("div", { class: "row", role: "group", "aria-label": "Program" }, this.programs);
    const copy = copyButton("Copy command", () => this.command.textContent);
    this.shell = h("div", { hidden: true }, h("div", { class: "row" }, programs, copy), this.command);
    this.#begin(shared ?? drafts.get(method.link));
  }

  /** The elements under the heading of the request; `stop` is a button that belongs beside the one to send. */
  elements(stop) {
    const copyLink = copyButton("Copy link", () => this.link);
    const hint = h("span", { class: "dim hint" }, "Ctrl+Enter sends");
    return [this.area, this.effect, h("div", { class: "row" }, this.button, stop, this.reset, copyLink, hint), this.shell];
  }

  get text() {
    return this.area.value;
  }

  /** The request as a link: in the fragment, which browsers send to no server. */
  get link() {
    return `${location.origin}${location.pathname}#${this.method.link}?request=${encodeURIComponent(this.text)}`;
  }

  /** What is wrong with the text, if it is not the JSON of a message. */
  get problem() {
    try {
      const value = JSON.parse(this.text);
      return isObject(value) ? "" : "A request is a JSON object.";
    } catch (error) {
      return `This is not JSON: ${error.message}`;
    }
  }

  /** Shows the state of the editor anew, and another example if nobody has typed. */
  callerChanged() {
    if (this.isExample) this.#loadExample();
    else this.#show();
  }

  #begin(text) {
    if (text === undefined) this.#loadExample();
    else this.#fill(text, false);
  }

  async #loadExample() {
    const before = this.text;
    const example = await exampleRequest(this.contract, this.method);
    if (this.text !== before) return; // somebody has typed meanwhile
    drafts.delete(this.method.link);
    this.shared = undefined;
    this.#fill(JSON.stringify(example, null, 2), true);
  }

  #fill(text, isExample) {
    this.area.value = text;
    this.isExample = isExample;
    this.#show();
  }

  #typed() {
    this.isExample = false;
    drafts.set(this.method.link, this.text);
    this.#show();
  }

  #show() {
    const { kind, text, isTrial = false } = this.#effectOf(this.problem);
    const origin = this.shared === this.text ? "From a link: read it before you send it. " : "";
    set(this.effect, { class: kind });
    say(this.effect, origin + text);
    say(this.button, isTrial ? "Send dry run" : "Send");
    this.shell.hidden = this.problem !== "";
    if (!this.problem) this.#showCommand();
  }

  #effectOf(problem) {
    if (problem) return { kind: "bad", text: problem };
    if (this.method.isRead) return { kind: "dim", text: "This method only reads." };
    if (!isDryRun(JSON.parse(this.text))) return { kind: "warn", text: CHANGES };
    return { kind: "good", text: "A dry run: the server checks the request and changes nothing.", isTrial: true };
  }

  #prefer(program) {
    preferred = program;
    this.#showCommand();
  }

  #showCommand() {
    for (const button of this.programs) set(button, { "aria-pressed": String(button.textContent === preferred) });
    say(this.command, commandOf(preferred, this.contract, this.method, this.text, { isAuthenticated: hasKey() }));
  }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isDryRun = (request) => request.validateOnly === true || request.validate_only === true;
const isSendKey = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey);
