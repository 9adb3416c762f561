// Examples of requests, made of the contract and its comments, with ids of resources that this server has.

import { call } from "/static/rpc.js";

const TYPICAL = { validate_only: true, page_size: 3, max_points: 20 };
const NUMBER = /^(double|float|u?int|s?fixed|sint|sfixed)/;

/** An example of the request of a method. Its ids are empty where the server has none, or does not show them. */
export async function exampleRequest(contract, method) {
  const resources = await neededResources(contract, method);
  return new Example(contract, method, resources).message(method.request);
}

export const isRequired = (field) => /^Required\./m.test(field.comment ?? "");
export const isOutputOnly = (field) => /^Output only\./m.test(field.comment ?? "");

class Example {
  constructor(contract, method, resources) {
    this.contract = contract;
    this.resource = method.service.replace(/Service$/, "");
    this.resources = resources;
  }

  // What is required and what makes it a trial; of a resource within, all that a caller may set.
  message(type) {
    const fields = this.contract.fields(type);
    if (fields.some((field) => field.type === "google.protobuf.FieldMask")) return this.update(fields);
    const shown = fields.filter((field) => field.name in TYPICAL || isRequired(field) || this.isInput(type, field));
    return Object.fromEntries(shown.map((field) => [field.json, this.value(field)]));
  }

  // A change of one field of a resource.
  update(fields) {
    const resource = fields.find((field) => this.contract.messages.has(field.type));
    const changed = this.contract.fields(resource.type).find((field) => field.type === "string" && this.isInput(resource.type, field));
    const current = this.resources.get(resource.type);
    const value = { id: current?.id ?? "", [changed.json]: current?.[changed.json] || this.scalar(changed) };
    const mask = fields.find((field) => field.type === "google.protobuf.FieldMask");
    const typical = fields.filter((field) => field.name in TYPICAL).map((field) => [field.json, TYPICAL[field.name]]);
    return { [resource.json]: value, [mask.json]: changed.json, ...Object.fromEntries(typical) };
  }

  isInput(type, field) {
    return !/Request$/.test(type) && !isOutputOnly(field);
  }

  value(field) {
    const one = this.one(field);
    return field.isRepeated ? [one] : one;
  }

  one(field) {
    if (field.name in TYPICAL) return TYPICAL[field.name];
    const resource = referredBy(this.contract, field, this.resource);
    if (resource) return this.resources.get(resource)?.id ?? "";
    if (this.contract.messages.has(field.type)) return this.message(field.type);
    if (this.contract.enums.has(field.type)) return this.contract.enums.get(field.type).values.at(-1).name;
    return this.scalar(field);
  }

  scalar(field) {
    if (field.type === "bool") return false;
    if (field.type === "google.protobuf.Timestamp") return new Date(Date.now() - 86_400_000).toISOString();
    if (NUMBER.test(field.type)) return /64$/.test(field.type) ? "12" : 12;
    return field.type === "string" ? text(field) : {};
  }
}

// What the comment gives as an example ("such as US."), or else the words of the name, as long as the rule allows.
function text(field) {
  const given = /such as `?([A-Z0-9][\w-]*)`?[.,]/.exec(field.comment ?? "")?.[1];
  const longest = /(?:1 to|Up to) ([\d,]+) characters/.exec(field.comment ?? "")?.[1].replace(",", "") ?? 60;
  return given ?? `Example ${field.name.replaceAll("_", " ")}`.slice(0, Number(longest));
}

// The resource whose id a field holds: `factory_id` and `factory_ids` that of a Factory, `id` and `ids` that of the service.
function referredBy(contract, field, own) {
  const found = field.type === "string" && /^(?:(.+)_)?ids?$/.exec(field.name);
  if (!found) return undefined;
  const [, prefix] = found;
  const name = prefix ? prefix.replace(/(?:^|_)([a-z])/g, (_, letter) => letter.toUpperCase()) : own;
  return contract.service(`${name}Service`) && name;
}

const known = new Map(); // the first resource of each kind, by its name: promises

/** Forgets the resources: others may be there, or visible to another caller. */
export function forgetResources() {
  known.clear();
}

async function neededResources(contract, method) {
  const names = new Set(referred(contract, method.request, method.service.replace(/Service$/, "")));
  const found = await Promise.all([...names].map(async (name) => [name, await firstOf(contract, name)]));
  return new Map(found);
}

function* referred(contract, type, own, seen = new Set()) {
  if (seen.has(type)) return;
  seen.add(type);
  for (const field of contract.fields(type)) {
    const name = referredBy(contract, field, own);
    if (name) yield name;
    yield* referred(contract, field.type, own, seen);
  }
}

// The first resource of a kind, or undefined: then it is asked for again next time.
async function firstOf(contract, name) {
  if (!known.has(name)) known.set(name, askForFirst(contract, name));
  const first = await known.get(name);
  if (!first) known.delete(name);
  return first;
}

async function askForFirst(contract, name) {
  const list = contract.service(`${name}Service`).methods.find((method) => method.name.startsWith("List"));
  const [listed] = contract.fields(list.response).filter((field) => field.isRepeated);
  try {
    return (await call(list.path, { pageSize: 1 }))[listed.json]?.[0];
  } catch {
    return undefined; // why, the server says again when the request is sent
  }
}
