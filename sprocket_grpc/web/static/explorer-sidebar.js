// The list of what the contract has, and its search.

import { h, replace, say, set } from "/static/dom.js";
import { nameNodes, summary } from "/static/explorer-comment.js";
import { kindOf } from "/static/explorer-method.js";

const SHOWN_RESULTS = 60;
const SNIPPET_CHARACTERS = 90;

/** The list and the search. `/` gives it the focus, the arrow keys move in it, and Escape ends the search. */
export class Sidebar {
  constructor(contract) {
    this.contract = contract;
    this.input = h("input", {
      type: "search", placeholder: "Search", "aria-label": "Search methods, types, fields and comments",
      "aria-keyshortcuts": "/", autocomplete: "off", spellcheck: "false", oninput: () => this.#search(), onfocus: () => this.#open(true),
    });
    const toggle = () => this.#open(!this.isOpen);
    this.menu = h("button", { type: "button", class: "menu", "aria-expanded": "false", onclick: toggle }, "Contents");
    this.found = h("p", { class: "dim", role: "status" });
    this.tree = h("div", { class: "tree" }, tree(contract));
    this.results = h("ul", { class: "results", hidden: true });
    this.lists = h("div", { class: "lists" }, this.found, this.tree, this.results);
    this.element = h("nav", { class: "browse", "aria-label": "Contract", onkeydown: (event) => this.#key(event) },
      h("div", { class: "row search" }, this.input, this.menu), this.lists);
    addEventListener("keydown", (event) => isShortcut(event) && (event.preventDefault(), this.input.focus()));
  }

  /** Marks the link to what is shown, and closes the list on a small screen. */
  mark(link) {
    this.#open(false);
    for (const each of this.tree.querySelectorAll("a")) set(each, { "aria-current": each.hash === `#${link}` && "page" });
    const current = this.tree.querySelector("a[aria-current]");
    current?.closest("details")?.setAttribute("open", "");
    if (current && !this.tree.hidden) scrollWithin(this.lists, current);
  }

  get isOpen() {
    return this.element.classList.contains("open");
  }

  #open(isOpen) {
    this.element.classList.toggle("open", isOpen);
    set(this.menu, { "aria-expanded": String(isOpen) });
  }

  #search() {
    const query = this.input.value.trim();
    this.tree.hidden = query !== "";
    this.results.hidden = query === "";
    const found = query ? this.contract.search(query) : [];
    replace(this.results, found.slice(0, SHOWN_RESULTS).map((entry) => result(entry, query)));
    say(this.found, query ? countOf(found) : "");
  }

  #key(event) {
    if (event.key === "Escape") this.#clear();
    else if (event.key === "Enter" && event.target === this.input) this.results.querySelector("a")?.click();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") this.#move(event);
  }

  #clear() {
    this.input.value = "";
    this.#search();
    this.#open(false);
  }

  #move(event) {
    const stops = [this.input, ...this.lists.querySelectorAll("a, summary")].filter((each) => each.checkVisibility());
    const next = stops[stops.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1)];
    event.preventDefault();
    next?.focus();
  }
}

function isShortcut(event) {
  const isTyping = event.target.closest?.("input, textarea, select, dialog");
  return event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey;
}

function tree(contract) {
  const services = contract.services.map((service) => [
    h("p", { class: "group" }, h("a", { href: `#${service.name}` }, service.name)),
    h("ul", { "aria-label": service.name }, service.methods.map((method) => h("li", {}, methodLink(method)))),
  ]);
  return [services, group("Messages", contract.messages), group("Enums", contract.enums)];
}

function methodLink(method) {
  const kind = kindOf(method);
  return h("a", { href: `#${method.link}` }, method.name, " ", h("span", { class: `tag ${kind}` }, kind));
}

function group(title, types) {
  const names = [...types.keys()].sort();
  return h("details", {}, h("summary", {}, title), h("ul", {}, names.map((name) => h("li", {}, h("a", { href: `#${name}` }, name)))));
}

function result(entry, query) {
  const text = snippet(entry.comment, query);
  return h("li", {}, h("a", { href: `#${entry.link}` },
    h("span", { class: "name" }, nameNodes(entry.link)), " ", h("span", { class: "tag" }, entry.kind),
    h("span", { class: "dim snippet" }, text)));
}

// The part of a comment that has the first word of a query, or else its beginning.
function snippet(comment, query) {
  const text = comment.replace(/\s+/g, " ");
  const at = text.toLowerCase().indexOf(query.toLowerCase().split(/\s+/)[0]);
  if (at < SNIPPET_CHARACTERS) return summary(comment).slice(0, 2 * SNIPPET_CHARACTERS);
  const start = text.indexOf(" ", at - SNIPPET_CHARACTERS / 2) + 1;
  return `… ${text.slice(start, start + SNIPPET_CHARACTERS)} …`;
}

function countOf(found) {
  if (found.length > SHOWN_RESULTS) return `${found.length} results, the first ${SHOWN_RESULTS} are shown`;
  return found.length === 1 ? "1 result" : `${found.length || "No"} results`;
}

function scrollWithin(list, element) {
  const [outer, inner] = [list, element].map((each) => each.getBoundingClientRect());
  if (inner.top < outer.top || inner.bottom > outer.bottom) list.scrollTop += inner.top - outer.top - outer.height / 3;
}
