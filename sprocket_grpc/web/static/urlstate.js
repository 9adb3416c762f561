// What the page shows, kept in the fragment of its URL: a link to it shows the same, and Back goes back.

/** The ranges of charts by their names, in microseconds; `all` fits the entries. */
export const RANGES = {
  "1h": 3_600e6,
  "24h": 86_400e6,
  "7d": 7 * 86_400e6,
  "30d": 30 * 86_400e6,
  "1y": 365 * 86_400e6,
  all: undefined,
};

/** The most charts at once. */
export const MOST_CHARTS = 8;

const ORDERS = ["id", "display_name", "sprocket_production_goal", "sprocket_production_actual"];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The state: fires `change` when it has changed.
 *
 * - `ids`: the factories whose charts are shown; null if nobody has chosen yet.
 * - `range`: a name of RANGES. `zoom`: a part of it, as `{ from, to }` in microseconds since 1970, or null.
 * - `search`: a part of the names of the factories. `order`: as ListFactories has it. `page`: its page_token.
 * - `behind`: whether the factories that are most behind come first on their page.
 * - `zone`: `utc` or `local`.
 */
export class UrlState extends EventTarget {
  constructor() {
    super();
    this.#read();
    addEventListener("hashchange", () => this.#arrive());
  }

  /** Changes the state. The change is a step for Back unless `isMinor`. */
  update(changes, { isMinor = false } = {}) {
    Object.assign(this, changes);
    const url = `#${this.#write()}`;
    if (url === location.hash) return;
    if (isMinor) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
    this.dispatchEvent(new Event("change"));
  }

  #arrive() {
    this.#read();
    this.dispatchEvent(new Event("change"));
  }

  #read() {
    const query = new URLSearchParams(location.hash.slice(1));
    const one = (name, accepted, otherwise) => (accepted.includes(query.get(name)) ? query.get(name) : otherwise);
    this.ids = query.has("ids")
      ? [
          ...new Set(
            query
              .get("ids")
              .split(",")
              .filter((id) => UUID.test(id)),
          ),
        ].slice(0, MOST_CHARTS)
      : null;
    this.range = one("range", Object.keys(RANGES), "all");
    this.zoom = parseZoom(query.get("zoom"));
    this.search = query.get("search") ?? "";
    this.order = one(
      "order",
      ORDERS.flatMap((each) => [each, `${each} desc`]),
      "id",
    );
    this.behind = query.get("behind") !== "no";
    this.page = query.get("page") ?? "";
    this.zone = one("zone", ["utc", "local"], "utc");
  }

  #write() {
    const { ids, range, zoom, search, order, behind, page, zone } = this;
    const shown = {
      ids: ids?.join(","),
      range: range === "all" ? undefined : range,
      zoom: zoom ? `${Math.round(zoom.from)}-${Math.round(zoom.to)}` : undefined,
      search: search || undefined,
      order: order === "id" ? undefined : order,
      behind: behind ? undefined : "no",
      page: page || undefined,
      zone: zone === "utc" ? undefined : zone,
    };
    return new URLSearchParams(Object.entries(shown).filter(([, value]) => value !== undefined))
      .toString()
      .replaceAll("%2C", ",");
  }
}

function parseZoom(text) {
  const found = /^(\d{1,16})-(\d{1,16})$/.exec(text ?? "");
  const [from, to] = found ? [Number(found[1]), Number(found[2])] : [0, 0];
  return to > from ? { from, to } : null;
}
