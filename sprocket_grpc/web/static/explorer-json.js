// JSON for people.

const SHOWN_VALUES = 100; // of an array: a chart's columns have thousands

/** Returns JSON with indents, arrays of scalars in one line, and the ends of long arrays left out. */
export function pretty(value, indent = "") {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  const isArray = Array.isArray(value);
  if (isArray && !value.some((each) => typeof each === "object")) return `[${shown(value.map((each) => JSON.stringify(each))).join(", ")}]`;
  const parts = isArray
    ? shown(value.slice(0, SHOWN_VALUES + 1).map((each) => pretty(each, inner)), value.length)
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${pretty(each, inner)}`);
  const [open, close] = isArray ? "[]" : "{}";
  return parts.length ? `${open}\n${parts.map((part) => inner + part).join(",\n")}\n${indent}${close}` : open + close;
}

function shown(parts, length = parts.length) {
  return length > SHOWN_VALUES ? [...parts.slice(0, SHOWN_VALUES), `… ${(length - SHOWN_VALUES).toLocaleString("en")} more`] : parts;
}
