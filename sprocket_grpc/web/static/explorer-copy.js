// Buttons that copy text.

import { h, say } from "/static/dom.js";

const CONFIRMED_MILLIS = 1500;

/** A button that copies what `text()` returns, and says so for a moment. */
export function copyButton(label, text) {
  const button = h("button", { type: "button", onclick: copy, "aria-live": "polite" }, label);
  async function copy() {
    await copyText(text());
    say(button, "Copied");
    setTimeout(() => say(button, label), CONFIRMED_MILLIS);
  }
  return button;
}

// Pages over plain HTTP from another machine have no clipboard of their own.
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h("textarea", { class: "visually-hidden" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
