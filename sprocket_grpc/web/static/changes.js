// What a caller may change from the dashboard: create a sprocket, and set the goal of a factory.

import { h, replace } from "/static/dom.js";
import { isTemporary, persist } from "/static/patience.js";
import { call, newRequestId, read } from "/static/rpc.js";
import { openDialog } from "/static/shell.js";

const CREATE = "sprocket.v1.SprocketService/CreateSprocket";
const TYPES = "sprocket.v1.SprocketTypeService/ListSprocketTypes";
const UPDATE = "sprocket.v1.FactoryService/UpdateFactory";
const GET = "sprocket.v1.FactoryService/GetFactory";
const STALE = "ERROR_REASON_ETAG_MISMATCH";
const MOST_TYPES = 1_000;
const LARGEST_GOAL = 2n ** 63n - 1n;

/**
 * Returns the buttons for what the caller may do with a factory, as dry runs show. `onDone` is called after a change.
 *
 * Throws RpcError if that cannot be found out now.
 */
export async function offeredChanges({ id, displayName }, onDone) {
  const [mayCreate, mayChange] = await Promise.all([
    mayCreateSprocket(id),
    may(UPDATE, { factory: { id, sprocketProductionGoal: "0" }, updateMask: "sprocketProductionGoal" }),
  ]);
  const button = (text, open) => h("button", { type: "button", onclick: open }, text);
  return [
    mayCreate && button("Add sprocket", () => openSprocket(id, displayName(), onDone)),
    mayChange && button("Set goal", () => openGoal(id, displayName(), onDone)),
  ].filter(Boolean);
}

const may = (method, request) => unlessRefused(() => call(method, { ...request, validateOnly: true }));

async function mayCreateSprocket(factoryId) {
  const [type] = (await unlessRefused(() => sprocketTypes(1))) ?? [];
  return type && may(CREATE, { sprocket: { factoryId, sprocketTypeId: type.id } });
}

/** Returns what a call does, or undefined if the caller may not make it. */
async function unlessRefused(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (isTemporary(error)) throw error;
    return undefined;
  }
}

const sprocketTypes = async (pageSize) => (await read(TYPES, { pageSize })).sprocketTypes ?? [];

async function openSprocket(factoryId, factoryName, onDone) {
  const name = h("input", { id: "sprocket-name", maxlength: 63, autocomplete: "off" });
  const type = h("select", { id: "sprocket-type", required: true });
  const problem = h("p", { class: "bad" });
  const once = idempotent();
  const signal = openDialog(
    ["A new sprocket of ", h("bdi", {}, factoryName)],
    [
      h("label", { for: "sprocket-type" }, "Type"),
      type,
      problem,
      h("label", { for: "sprocket-name" }, "Name (optional)"),
      name,
    ],
    {
      action: "Create",
      submit: async () => {
        await once(CREATE, { sprocket: { factoryId, sprocketTypeId: type.value, displayName: name.value } });
        onDone();
      },
    },
  );
  const onWait = (error) => replace(problem, `The types cannot be read: ${error.message}`);
  try {
    const types = await persist(() => sprocketTypes(MOST_TYPES), { signal, onWait });
    replace(
      type,
      types.map((each) => h("option", { value: each.id }, each.displayName || each.id)),
    );
    replace(problem);
  } catch (error) {
    onWait(error);
  }
}

/** The goal is changed only from what the dialog shows: if somebody else has changed the factory, it shows the new one. */
async function openGoal(id, name, onDone) {
  const shown = h("p", { class: "dim" }, "Reading the factory…");
  const input = h("input", { id: "goal", inputmode: "numeric", autocomplete: "off" });
  const once = idempotent();
  let factory;
  const load = async () => {
    factory = (await read(GET, { id })).factory;
    replace(
      shown,
      `The goal is ${factory.sprocketProductionGoal ?? "0"}, the actual ${factory.sprocketProductionActual ?? "0"}.`,
    );
  };
  const submit = async () => {
    const goal = parseGoal(input.value);
    if (!factory) await load();
    try {
      await once(UPDATE, {
        factory: { id, etag: factory.etag, sprocketProductionGoal: goal },
        updateMask: "sprocketProductionGoal",
      });
    } catch (error) {
      if (error.reason !== STALE) throw error;
      await load();
      throw failed(
        "Conflict",
        `Somebody else has changed the factory since you opened this dialog, and its goal is now ${factory.sprocketProductionGoal ?? "0"}. Nothing was saved. Save again to set it to ${goal}`,
      );
    }
    onDone();
  };
  const signal = openDialog(["The goal of ", h("bdi", {}, name)], [shown, h("label", { for: "goal" }, "New goal, in sprockets"), input], {
    action: "Save",
    submit,
  });
  const onWait = (error) => replace(shown, `The factory cannot be read: ${error.message}`);
  await persist(load, { signal, onWait }).catch(onWait);
  if (!input.value && factory) input.value = factory.sprocketProductionGoal ?? "0";
  input.select();
}

function parseGoal(text) {
  if (!/^[0-9]+$/.test(text.trim()) || BigInt(text) > LARGEST_GOAL)
    throw failed("Not a goal", `Expected a whole number from 0 to ${LARGEST_GOAL}`);
  return String(BigInt(text));
}

const failed = (code, message) => Object.assign(new Error(message), { code });

/** Returns a function that makes a call, which is safe to make again after a failure: it then has the same request id. */
function idempotent() {
  let [last, requestId] = ["", ""];
  return (method, request) => {
    const text = JSON.stringify(request);
    if (text !== last) [last, requestId] = [text, newRequestId()];
    return call(method, { ...request, requestId });
  };
}
