// A factory in the table.

import { h, replace, say, set } from "/static/dom.js";
import { format, gap, gapClass } from "/static/series.js";

/** A row; `toggle()` adds the factory's chart or removes it, and `only()` shows no other chart. */
export class FactoryRow {
  #box;
  #name;
  #goal = h("td", { class: "number" });
  #actual = h("td", { class: "number" });
  #gap = h("td", { class: "number" });

  constructor({ toggle, only }) {
    this.#box = h("input", { type: "checkbox", onchange: toggle });
    this.#name = h("button", { type: "button", class: "plain link", title: "Show this chart alone", onclick: only });
    this.element = h(
      "tr",
      {},
      h("td", {}, this.#box),
      h("th", { scope: "row" }, this.#name),
      this.#goal,
      this.#actual,
      this.#gap,
    );
  }

  /** Shows a factory, whether it has a chart, and whether there can be no more charts. */
  show({ id, displayName, goal, actual }, isCharted, isFull) {
    set(this.element, { "data-id": id, class: isCharted && "charted" });
    this.#box.checked = isCharted;
    this.#box.disabled = isFull && !isCharted;
    set(this.#box, {
      "aria-label": `Chart of ${displayName}`,
      title: isFull && !isCharted ? "At most eight charts at once" : null,
    });
    say(this.#name, displayName);
    sayNumber(this.#goal, format(goal));
    sayNumber(this.#actual, format(actual));
    sayNumber(this.#gap, gap(goal, actual));
    set(this.#gap, { class: `number ${gapClass(goal, actual)}` });
  }
}

/** Sets the text of a cell unless it has it. A long number breaks after its commas, so that the table stays in the window. */
function sayNumber(cell, text) {
  if (cell.textContent === text) return;
  const parts = text.split(/(?<=,)/).map((part) => [h("span", { class: "whole" }, part), h("wbr")]);
  replace(cell, parts);
}
