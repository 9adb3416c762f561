// Comments of the contract as elements: paragraphs, lists, code, and links to what they mention.

import { h } from "/static/dom.js";

// Code, the names of codes and reasons, of types and methods, and of fields.
const INLINE = /(`[^`]+`|\b[A-Z]+(?:_[A-Z]+)+\b|\b[A-Z]{7,}\b|\b(?:[A-Z][a-z]+){2,}\b|\b[a-z]+(?:_[a-z0-9]+)+\b)/;

/** The elements of a comment. */
export function commentNodes(contract, text) {
  return blocks(text ?? "").map((block) => BLOCKS[block.kind](contract, block.lines));
}

/** A name that breaks between its words where it does not fit into a line. */
export function nameNodes(name) {
  return name.split(/(?<=[._/])/).flatMap((word, index) => (index ? [h("wbr", {}), word] : word));
}

/** The first sentence, without a full stop. */
export function summary(text) {
  return (text ?? "").split("\n\n")[0].replaceAll("\n", " ").split(/[.:] /)[0].replace(/\.$/, "");
}

const BLOCKS = {
  text: (contract, lines) => h("p", {}, inline(contract, lines.join(" "))),
  list: (contract, lines) => h("ul", {}, lines.map((line) => h("li", {}, item(contract, line)))),
  code: (contract, lines) => h("pre", { tabindex: 0 }, lines.join("\n").trimEnd()),
};

// The blocks of a comment. A line with four spaces is code; one with a dash begins an item, which goes on after two spaces.
function blocks(text) {
  const found = [];
  let open = null;
  for (const line of text.split("\n")) {
    const kind = kindOf(line, open);
    if (kind === "end") open = null;
    else if (kind === "continued") open.lines.push(`${open.lines.pop()} ${line.trim()}`);
    else {
      if (open?.kind !== kind) found.push((open = { kind, lines: [] }));
      open.lines.push(kind === "code" ? line.slice(4) : line.replace(/^- /, ""));
    }
  }
  return found;
}

function kindOf(line, open) {
  if (!line.trim()) return open?.kind === "code" ? "code" : "end";
  if (line.startsWith("- ")) return "list";
  if (open?.kind === "list" && line.startsWith("  ")) return "continued";
  return line.startsWith("    ") ? "code" : "text";
}

// An item such as "NOT_FOUND: No factory has this id." begins with a code.
function item(contract, line) {
  const [, code, rest] = /^([A-Z][A-Z_]+)(:.*)$/.exec(line) ?? [];
  return code ? [h("code", {}, code), ...inline(contract, rest)] : inline(contract, line);
}

function inline(contract, text) {
  return text.split(INLINE).map((part, index) => {
    if (index % 2 === 0) return part;
    if (part.startsWith("`")) return h("code", {}, part.slice(1, -1));
    const link = linkTo(contract, part);
    if (link) return h("a", { href: `#${link}` }, part);
    return /_|^[A-Z]+$/.test(part) ? h("code", {}, part) : part;
  });
}

// The link to what a word names, if it names something.
function linkTo(contract, word) {
  for (const link of [word, `ErrorReason.${word}`]) if (contract.entries.has(link)) return link;
  return contract.methods.find((each) => each.name === word)?.link;
}
