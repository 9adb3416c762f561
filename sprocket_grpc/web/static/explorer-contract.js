// The contract of the server, by the names that links to its elements have:
// FactoryService, FactoryService/GetFactory, Factory, Factory.id, ErrorReason, ErrorReason.ERROR_REASON_INTERNAL.

/** The contract, as `/contract.json` has it. */
export class Contract {
  constructor(content) {
    this.package = content.package;
    this.authenticates = content.authenticates;
    this.grpc = content.grpc;
    this.services = content.services.map((service) => ({ ...service, methods: service.methods.map((method) => ({
      ...method,
      service: service.name,
      link: `${service.name}/${method.name}`,
      path: `${content.package}.${service.name}/${method.name}`,
    })) }));
    this.messages = new Map(Object.entries(content.messages));
    this.enums = new Map(Object.entries(content.enums));
    this.methods = this.services.flatMap((service) => service.methods);
    this.entries = new Map(this.#entries().map((entry) => [entry.link, entry]));
  }

  static async load() {
    const response = await fetch("/contract.json");
    if (!response.ok) throw new Error(`/contract.json: status ${response.status}`);
    return new Contract(await response.json());
  }

  service(name) {
    return this.services.find((service) => service.name === name);
  }

  method(link) {
    return this.methods.find((method) => method.link === link);
  }

  fields(type) {
    return this.messages.get(type)?.fields ?? [];
  }

  // The methods that take or return a type, at any depth of the fields of their request and response.
  usersOf(type) {
    return this.methods.filter((method) => [method.request, method.response].some((each) => this.#reaches(each, type)));
  }

  // The elements that have all words of a query in their names or comments; those with the words in the name come first.
  search(query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const ranked = [...this.entries.values()].map((entry) => ({ entry, rank: rank(entry, words) }));
    return ranked.filter((each) => each.rank >= 0).sort((one, other) => one.rank - other.rank).map((each) => each.entry);
  }

  #reaches(from, type, seen = new Set()) {
    if (from === type) return true;
    if (seen.has(from)) return false;
    seen.add(from);
    return this.fields(from).some((field) => this.#reaches(field.type, type, seen));
  }

  #entries() {
    const entry = (kind, link, { name = link, comment = "" }) => ({ kind, link, name, comment });
    const owned = (kind, owner, members) => members.map((each) => entry(kind, `${owner}.${each.name}`, each));
    return [
      ...this.services.flatMap((service) => [
        entry("service", service.name, service),
        ...service.methods.map((method) => entry("method", method.link, method)),
      ]),
      ...[...this.messages].flatMap(([name, each]) => [entry("message", name, each), ...owned("field", name, each.fields)]),
      ...[...this.enums].flatMap(([name, each]) => [entry("enum", name, each), ...owned("value", name, each.values)]),
    ];
  }
}

const KINDS = ["method", "service", "message", "enum", "value", "field"];

// The smaller the nearer; -1 if the entry lacks a word. The same word in a method matters more than in a field.
function rank({ kind, name, link, comment }, words) {
  const [own, whole, all] = [name, link, `${link} ${comment}`].map((text) => plain(text));
  if (!words.every((word) => all.includes(plain(word)))) return -1;
  const nearness = [own.startsWith(plain(words.join(""))), words.every((word) => own.includes(plain(word))),
    words.every((word) => whole.includes(plain(word))), true].indexOf(true);
  return nearness * KINDS.length + KINDS.indexOf(kind);
}

// So that "display name", "displayName" and "display_name" find the same.
function plain(text) {
  return text.toLowerCase().replaceAll("_", "");
}
