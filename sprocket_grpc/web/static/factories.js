// The table of factories: a page of them, kept fresh while it is visible.

import { offeredChanges } from "/static/changes.js";
import { h, reconcile, replace, say, set } from "/static/dom.js";
import { FactoryRow } from "/static/factory_row.js";
import { KnownFactories } from "/static/known.js";
import { isTemporary, pauseAfter, pauseWhileUnchanged, whenShown } from "/static/patience.js";
import { read } from "/static/rpc.js";
import { askForKey, explain } from "/static/shell.js";
import { MOST_CHARTS } from "/static/urlstate.js";

const PAGE_SIZE = 20;
const POLL_MILLIS = 5_000;
const COSTLY_POLL_MILLIS = 20_000; // for a filter or another order than by id, the server reads all factories
const TYPING_MILLIS = 300;
const LIST = "sprocket.v1.FactoryService/ListFactories";

const COLUMNS = [
  ["Factory", "display_name", ""],
  ["Goal", "sprocket_production_goal", "number"],
  ["Actual", "sprocket_production_actual", "number"],
];

/** The panel with the table. Fires `change` when it knows more of factories than before, and `choose` after a choice of one. */
export class FactoriesPanel extends EventTarget {
  #state;
  #known = new KnownFactories();
  #page = []; // the ids of the page, in the order of the server
  #next = "";
  #isRead = false; // whether the page is what the server has
  #before = []; // the tokens of the pages before this one
  #rows = new Map();
  #listed = "";
  #ending = new AbortController();
  #body = h("tbody");
  #heads = new Map();
  #problem = h("div", { role: "alert" });
  #count = h("span", { role: "status", class: "dim" });
  #empty = h("p", { class: "dim" });
  #search = h("input", {
    type: "search",
    placeholder: "Search by name",
    "aria-label": "Search factories by name",
    oninput: () => this.#type(),
  });
  #previous = h(
    "button",
    { type: "button", disabled: true, onclick: () => this.#turn(this.#before.pop() ?? "") },
    "Previous",
  );
  #following = h(
    "button",
    {
      type: "button",
      disabled: true,
      onclick: () => {
        this.#before.push(this.#state.page);
        this.#turn(this.#next);
      },
    },
    "Next",
  );
  #pages = h("nav", { class: "row", "aria-label": "Pages of factories" }, this.#previous, this.#following);

  constructor(state) {
    super();
    this.#state = state;
    this.#search.value = state.search;
    const table = h(
      "table",
      { class: "factories" },
      h("caption", { class: "visually-hidden" }, "Factories"),
      this.#makeHead(),
      this.#body,
    );
    this.element = h(
      "section",
      { "aria-label": "Factories" },
      h("div", { class: "row toolbar" }, this.#search, this.#count),
      this.#problem,
      table,
      this.#empty,
      this.#pages,
    );
    state.addEventListener("change", () => this.update());
    addEventListener("keychange", () => this.#restart());
  }

  /** Shows what the state says. */
  update() {
    const { search, order, page, ids } = this.#state;
    if (document.activeElement !== this.#search) this.#search.value = search;
    this.#showHeads();
    const listed = JSON.stringify([search, order, page]);
    if (listed !== this.#listed) this.#poll(listed);
    else this.#showRows();
    this.#known.learn(ids ?? [], () => this.dispatchEvent(new Event("change")));
  }

  /** Returns the name of a factory. */
  name(id) {
    return this.#known.name(id);
  }

  /** Takes in the latest values of a factory from its chart. */
  live(id, entry) {
    if (this.#known.live(id, entry)) this.#showRows();
  }

  /** Returns a promise of the buttons for what the caller may do with a factory. */
  actions(id) {
    return offeredChanges({ id, displayName: () => this.name(id) }, () => this.#poll(this.#listed));
  }

  /** Shows what another caller may see. */
  #restart() {
    this.#known.clear();
    [this.#page, this.#next, this.#listed, this.#isRead] = [[], "", "", false];
    this.#showRows();
    this.update();
  }

  /** Reads the page again and again, until the next call of this function. */
  async #poll(listed) {
    this.#listed = listed;
    this.#ending.abort();
    this.#ending = new AbortController();
    const { signal } = this.#ending;
    const { order, search } = this.#state;
    const interval = order === "id" && !search ? POLL_MILLIS : COSTLY_POLL_MILLIS;
    for (let failures = 0; !signal.aborted;) {
      await whenShown(signal);
      try {
        await this.#load(signal);
        failures = 0;
        await pauseWhileUnchanged(interval, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#fail(error);
        if (!isTemporary(error)) return;
        await pauseAfter(error, ++failures, signal);
      }
    }
  }

  async #load(signal) {
    const { search, order, page } = this.#state;
    const began = Date.now();
    const filter = search ? `display_name:"${search.replace(/["\\]/g, "\\$&")}"` : undefined;
    const request = {
      pageSize: PAGE_SIZE,
      filter,
      orderBy: order === "id" ? undefined : order,
      pageToken: page || undefined,
    };
    const { factories = [], nextPageToken = "" } = await read(LIST, request, { signal });
    factories.forEach((each) => this.#known.take(each, began));
    [this.#page, this.#next, this.#isRead] = [factories.map((each) => each.id), nextPageToken, true];
    replace(this.#problem);
    this.#chooseFirst();
    this.#showRows();
    this.dispatchEvent(new Event("change"));
  }

  #chooseFirst() {
    const [first] = this.#sorted();
    if (this.#state.ids === null && first) this.#state.update({ ids: [first] }, { isMinor: true });
  }

  #fail(error) {
    const help =
      error.code === "unauthenticated" &&
      h("button", { type: "button", class: "primary", onclick: askForKey }, "Set the key");
    const place =
      this.#state.page &&
      error.code === "invalid_argument" &&
      h("button", { type: "button", onclick: () => this.#turn("") }, "First page");
    replace(this.#problem, h("p", { class: "bad" }, explain(error)), help, place);
  }

  #showRows() {
    const { ids } = this.#state;
    const charted = new Set(ids ?? []);
    const isBusy = this.#body.contains(document.activeElement) || this.#body.matches(":hover");
    const keys = isBusy && sameSet([...this.#rows.keys()], this.#page) ? [...this.#rows.keys()] : this.#sorted(); // rows stay under the hand
    reconcile(
      this.#body,
      this.#rows,
      keys,
      (id) => new FactoryRow({ toggle: () => this.#toggle(id), only: () => this.#choose(id) }),
    );
    this.#rows = new Map(keys.map((id) => [id, this.#rows.get(id)]));
    for (const [id, row] of this.#rows) row.show(this.#known.get(id), charted.has(id), charted.size >= MOST_CHARTS);
    this.#showPages();
  }

  #showPages() {
    const [count, isPaged] = [this.#page.length, Boolean(this.#next || this.#state.page)];
    const counted = count === 1 ? "1 factory" : `${count || "No"} factories`;
    say(this.#count, isPaged ? `${count} on this page` : this.#isRead ? counted : "");
    replace(this.#empty, this.#isRead && count === 0 && whyEmpty(this.#state.search));
    set(this.#pages, { hidden: !isPaged });
    set(this.#previous, { disabled: !this.#state.page });
    set(this.#following, { disabled: !this.#next });
  }

  /** Returns the ids of the page in the order in which they are shown. */
  #sorted() {
    if (!this.#state.behind) return this.#page;
    const behind = (id) => this.#known.get(id).goal - this.#known.get(id).actual;
    return [...this.#page].sort((a, b) => (behind(a) === behind(b) ? 0 : behind(a) > behind(b) ? -1 : 1));
  }

  #choose(id) {
    this.#state.update({ ids: [id], zoom: null });
    this.dispatchEvent(new Event("choose"));
  }

  #toggle(id) {
    const ids = this.#state.ids ?? [];
    this.#state.update({
      ids: ids.includes(id) ? ids.filter((each) => each !== id) : [...ids, id].slice(0, MOST_CHARTS),
    });
  }

  #turn(page) {
    this.#state.update({ page });
  }

  #typing;

  #type() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#restartPages({ search: this.#search.value.trim() }), TYPING_MILLIS);
  }

  #restartPages(changes) {
    this.#before = [];
    this.#state.update({ ...changes, page: "" }, { isMinor: "search" in changes });
  }

  #makeHead() {
    const button = (text, onclick, title) => h("button", { type: "button", class: "plain sort", title, onclick }, text);
    const heads = COLUMNS.map(([text, field, name]) => {
      const head = h(
        "th",
        { scope: "col", class: name },
        button(text, () => this.#order(field)),
      );
      this.#heads.set(field, head);
      return head;
    });
    const behind = h(
      "th",
      { scope: "col", class: "number" },
      button(
        "Difference",
        () => this.#restartPages({ order: "id", behind: true }),
        "Sort this page: most behind first",
      ),
    );
    this.#heads.set("behind", behind);
    return h(
      "thead",
      {},
      h("tr", {}, h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Chart")), heads, behind),
    );
  }

  #order(field) {
    this.#restartPages({ order: this.#state.order === field ? `${field} desc` : field, behind: false });
  }

  #showHeads() {
    const { order, behind } = this.#state;
    for (const [field, head] of this.#heads) {
      const ascending = !behind && order === field && "ascending";
      const descending = (behind ? field === "behind" : order === `${field} desc`) && "descending";
      set(head, { "aria-sort": ascending || descending || null });
    }
  }
}

const whyEmpty = (search) =>
  search
    ? "No factory has this text in its name."
    : ["There are no factories yet. ", h("a", { href: "/docs#FactoryService/CreateFactory" }, "Create one"), "."];

const sameSet = (some, others) => some.length === others.length && some.every((each) => others.includes(each));
