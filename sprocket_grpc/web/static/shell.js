// What every page has around its content: the header, the key of the caller, and the theme.

import { h, replace, say } from "/static/dom.js";
import { canBeSentAgain, persist } from "/static/patience.js";
import { hasKey, setKey } from "/static/rpc.js";

const LINKS = { Factories: "/", Methods: "/docs" };
const store = storage();

const THEMES = { system: "System", light: "Light", dark: "Dark" };

/** Adds the header to the page. It goes before the `main` element, to which a link for keyboards leads. */
export function addHeader() {
  const skip = h("a", { class: "skip", href: "#content", onclick: skipToContent }, "Skip to content");
  const links = Object.entries(LINKS).map(([text, href]) =>
    h("a", { href, "aria-current": isHere(href) && "page" }, text),
  );
  const key = h("button", { type: "button", onclick: askForKey });
  const showKey = () => say(key, hasKey() ? "Key set" : "Key…");
  addEventListener("keychange", showKey);
  showKey();
  const brand = h(
    "span",
    { class: "brand" },
    h("img", { src: "/static/icon.svg", alt: "", width: 22, height: 22 }),
    "Sprocket",
  );
  document.body.prepend(
    skip,
    h("header", {}, brand, h("nav", { "aria-label": "Pages" }, links), h("span", { class: "grow" }), key, themes()),
  );
}

/** Opens the dialog for the key. */
export function askForKey() {
  const input = h("input", {
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    id: "key",
    "aria-describedby": "key-hint",
  });
  openDialog(
    "Key",
    [
      h("label", { for: "key" }, "API key or bearer token"),
      input,
      h(
        "p",
        { id: "key-hint", class: "dim" },
        "It stays in the memory of this page, and is gone when you close or reload it. An empty key means none.",
      ),
    ],
    { action: "Use", submit: () => setKey(input.value) },
  );
}

/**
 * Opens a modal dialog with a form, and returns a signal that is aborted when it closes.
 *
 * `submit` may be asynchronous. The dialog closes when it is done, and stays open with the message if it throws. What
 * can be sent again is, until the dialog is closed: meanwhile its fields cannot be changed.
 */
export function openDialog(title, content, { action, submit }) {
  const problem = h("p", { class: "bad", role: "alert" });
  const confirm = h("button", { type: "submit", class: "primary" }, action);
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const fields = h("fieldset", {}, content);
  const closing = new AbortController();
  const { signal } = closing;
  const form = h(
    "form",
    { onsubmit: handle },
    h("h2", { id: "dialog-title" }, title),
    fields,
    problem,
    h("div", { class: "row end" }, cancel, confirm),
  );
  const close = () => {
    closing.abort();
    dialog.remove();
  };
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", onclose: close }, form);
  const onWait = (error, millis) => replace(problem, explain(error), ` Trying again in ${Math.ceil(millis / 1000)} s.`);
  async function handle(event) {
    event.preventDefault();
    const focused = document.activeElement;
    fields.disabled = confirm.disabled = true;
    try {
      await persist(submit, { signal, onWait, isWorthwhile: canBeSentAgain });
      dialog.close();
    } catch (error) {
      replace(problem, explain(error));
    }
    fields.disabled = confirm.disabled = false;
    if (document.activeElement === document.body) focused.focus(); // a disabled element loses the focus
  }
  document.body.append(dialog);
  dialog.showModal();
  return signal;
}

/** Returns what a person should know of an error: what is wrong, and the request id to find it in the server's log. */
export function explain(error) {
  const fields = (error.violations ?? []).map((each) => `${each.field}: ${each.description}`).join("; ");
  const id = error.requestId && h("span", { class: "dim" }, " Request id ", h("code", {}, error.requestId));
  return [h("strong", {}, error.code ?? error.name), `: ${fields || error.message}. `.replace("..", "."), id];
}

function isHere(href) {
  return location.pathname === href;
}

function skipToContent(event) {
  event.preventDefault(); // the fragment is the state of the page
  document.getElementById("content").focus();
}

function themes() {
  const choose = (event) => {
    store?.setItem("theme", event.target.value);
    showTheme(event.target.value);
  };
  const options = Object.entries(THEMES).map(([value, text]) =>
    h("option", { value, selected: value === theme() }, text),
  );
  showTheme(theme());
  return h("label", { class: "theme" }, "Theme", h("select", { onchange: choose }, options));
}

const theme = () => store?.getItem("theme") ?? "system";

function showTheme(name) {
  document.documentElement.dataset.theme = name;
}

function storage() {
  try {
    return localStorage;
  } catch {
    return undefined; // the browser blocks it
  }
}
