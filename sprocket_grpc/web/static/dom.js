// Makes elements. Text stays text: nothing here, and nothing that uses it, turns a string into HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element of HTML: `h("button", { type: "button", onclick: save }, "Save")`.
 *
 * Of the properties, functions are listeners (`onclick`), booleans are set or absent attributes, `style` is an object of
 * CSS properties, and null or undefined are left out. Children are nodes, texts, arrays of them, or null and false.
 */
export const h = (name, properties, ...children) => fill(document.createElement(name), properties, children);

/** Makes an element of SVG, as `h` does of HTML. */
export const svg = (name, properties, ...children) => fill(document.createElementNS(SVG, name), properties, children);

/** Replaces the children of an element, and returns it. */
export function replace(element, ...children) {
  element.replaceChildren(...shown(children));
  return element;
}

/** Sets properties of an element as `h` does, and returns it. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.entries(value).forEach(([key, text]) => element.style.setProperty(key, text));
    else if (value === true) element.setAttribute(name, "");
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
  return element;
}

/** Sets the text of an element unless it has it, so that screen readers hear only what changes. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of an element those of the keys, in their order, and keeps children that stay, with their focus.
 *
 * `views` is a Map from keys to objects with an `element`, which this function updates; `make(key)` makes one that is
 * missing.
 */
export function reconcile(parent, views, keys, make) {
  for (const [key, { element }] of views) {
    if (keys.includes(key)) continue;
    element.remove();
    views.delete(key);
  }
  keys.forEach((key, index) => {
    if (!views.has(key)) views.set(key, make(key));
    const { element } = views.get(key);
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

function fill(element, properties, children) {
  set(element, properties).append(...shown(children));
  return element;
}

const shown = (children) => children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false);
