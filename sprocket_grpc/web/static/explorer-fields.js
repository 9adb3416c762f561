// The fields of a message, with those of the messages in them, and the parts of the pages about types.

import { h } from "/static/dom.js";
import { commentNodes, nameNodes } from "/static/explorer-comment.js";
import { isOutputOnly, isRequired } from "/static/explorer-example.js";

/** A list of fields. `reveal(path)` opens the field at a path such as `sprockets[2].factory_id`, and returns its row. */
export class Fields {
  constructor(contract, type) {
    this.contract = contract;
    this.rows = new Map(contract.fields(type).map((field) => [field.name, new Row(contract, type, field)]));
    const rows = [...this.rows.values()].map((row) => row.element);
    this.element = rows.length ? h("dl", { class: "fields" }, rows) : h("p", { class: "dim" }, "It has no fields.");
  }

  reveal(path) {
    const [name, ...rest] = path.replace(/\[[^\]]*\]/g, "").split(".");
    const row = this.rows.get(name) ?? [...this.rows.values()].find((each) => each.field.json === name);
    return (rest.length && row?.open()?.reveal(rest.join("."))) || row;
  }
}

// A field: its `element`, and the `link` to its documentation.
class Row {
  constructor(contract, owner, field) {
    this.contract = contract;
    this.field = field;
    this.link = `${owner}.${field.name}`;
    const hasFields = contract.fields(field.type).length > 0;
    const toggle = () => this.details.open && this.open();
    this.details = hasFields && h("details", { ontoggle: toggle }, h("summary", {}, `Fields of ${field.type}`));
    const comment = h("dd", {}, commentNodes(contract, field.comment), this.details);
    this.element = h("div", { class: "field", tabindex: -1 }, h("dt", {}, head(contract, this.link, field)), comment);
  }

  // Opens the fields of the field, and returns them. They are made when they are needed: messages may contain themselves.
  open() {
    if (!this.details) return undefined;
    if (!this.fields) {
      this.fields = new Fields(this.contract, this.field.type);
      this.details.append(this.fields.element);
    }
    this.details.open = true;
    return this.fields;
  }
}

function head(contract, link, field) {
  return [
    h("a", { class: "name", href: `#${link}` }, nameNodes(field.name)),
    h("span", { class: "type" }, field.isRepeated ? "repeated " : "", typeName(contract, field.type)),
    marks(field).map((mark) => h("span", { class: `tag ${mark === "required" ? mark : ""}` }, mark)),
  ];
}

function marks(field) {
  return [
    isRequired(field) && "required",
    isOutputOnly(field) && "output only",
    field.hasPresence && "explicit presence",
    field.oneof && `one of ${field.oneof}`,
  ].filter(Boolean);
}

/** The name of a type, as a link if the contract has it. */
export function typeName(contract, type) {
  return contract.entries.has(type) ? h("a", { href: `#${type}` }, type) : type.replace("google.protobuf.", "");
}

/** The page of a message: its comment, its fields, and the methods that use it. */
export function messageView(contract, name) {
  const fields = new Fields(contract, name);
  const { comment } = contract.messages.get(name);
  const element = h("article", {}, h("h1", { tabindex: -1 }, name, " ", h("span", { class: "tag" }, "message")),
    commentNodes(contract, comment), h("h2", {}, "Fields"), fields.element, usedBy(contract, name));
  return { element, reveal: (field) => fields.reveal(field).element };
}

/** The page of an enum: its comment, its values, and the methods that use it. */
export function enumView(contract, name) {
  const { comment, values } = contract.enums.get(name);
  const rows = new Map(values.map((value) => [value.name, valueRow(contract, name, value)]));
  const element = h("article", {}, h("h1", { tabindex: -1 }, name, " ", h("span", { class: "tag" }, "enum")),
    commentNodes(contract, comment), h("h2", {}, "Values"), h("dl", { class: "fields values" }, [...rows.values()]),
    usedBy(contract, name));
  return { element, reveal: (value) => rows.get(value) };
}

function valueRow(contract, owner, value) {
  return h("div", { class: "field", tabindex: -1 },
    h("dt", {},
      h("a", { class: "name", href: `#${owner}.${value.name}` }, nameNodes(value.name)),
      h("span", { class: "type" }, `= ${value.number}`)),
    h("dd", {}, commentNodes(contract, value.comment)));
}

function usedBy(contract, name) {
  const methods = contract.usersOf(name);
  if (!methods.length) return null;
  const items = methods.map((method) => h("li", {}, h("a", { href: `#${method.link}` }, `${method.service}/${method.name}`)));
  return [h("h2", {}, "Used by"), h("ul", {}, items)];
}

/** Scrolls to a row of fields or values, and gives it the focus. */
export function show(row) {
  row.scrollIntoView({ block: "center" });
  row.focus({ preventScroll: true });
}
