// The explorer of the contract: `/docs#FactoryService/GetFactory` shows a method, `/docs#Factory.id` a field.

import { h, replace } from "/static/dom.js";
import { commentNodes, summary } from "/static/explorer-comment.js";
import { Contract } from "/static/explorer-contract.js";
import { enumView, messageView, show } from "/static/explorer-fields.js";
import { kindOf, methodView } from "/static/explorer-method.js";
import { Sidebar } from "/static/explorer-sidebar.js";
import { addHeader } from "/static/shell.js";

const main = document.getElementById("content");
addHeader();
start();

async function start() {
  try {
    explore(await Contract.load());
  } catch (error) {
    replace(main, h("p", { class: "bad", role: "alert" }, `The contract could not be loaded: ${error.message}. Reload the page.`));
  }
}

function explore(contract) {
  const sidebar = new Sidebar(contract);
  const place = h("div", { class: "view" });
  let view;
  const open = () => {
    view?.close?.();
    const { link, shared } = parse(location.hash);
    view = viewOf(contract, link, shared);
    replace(place, view.element);
    document.title = `${link || "Methods"} · Sprocket`;
    sidebar.mark(link.split(".")[0]);
    arrive(view, memberOf(contract, link));
  };
  replace(main, h("div", { class: "explorer" }, sidebar.element, place));
  addEventListener("hashchange", () => { open(); focusUnless(view, memberOf(contract, parse(location.hash).link)); });
  open();
}

// The element that a fragment names, and the text of a request that somebody has shared.
function parse(hash) {
  const [link, query] = hash.slice(1).split("?");
  return { link: decoded(link), shared: new URLSearchParams(query).get("request") ?? undefined };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not a link of this page
  }
}

function viewOf(contract, link, shared) {
  const [owner] = link.split(".");
  const views = {
    method: () => methodView(contract, contract.method(link), shared),
    service: () => ({ element: serviceView(contract, contract.service(link)) }),
    message: () => messageView(contract, owner),
    field: () => messageView(contract, owner),
    enum: () => enumView(contract, owner),
    value: () => enumView(contract, owner),
  };
  const entry = contract.entries.get(link);
  return entry ? views[entry.kind]() : { element: overview(contract, link) };
}

// The field or value that a link names, if it names one.
function memberOf(contract, link) {
  const isMember = ["field", "value"].includes(contract.entries.get(link)?.kind);
  return isMember ? link.split(".")[1] : undefined;
}

function arrive(view, member) {
  scrollTo(0, 0);
  if (!member) return;
  const row = view.reveal(member);
  row.classList.add("target");
  show(row);
}

// The focus goes to the heading, so that a screen reader says what is new. A member has it already.
function focusUnless(view, member) {
  if (!member) view.element.querySelector("h1").focus();
}

function overview(contract, unknown) {
  return h("article", {},
    h("h1", { tabindex: -1 }, "Methods"),
    unknown && h("p", { class: "bad", role: "alert" }, `The contract has no ${unknown}.`),
    h("p", {}, "Every method of the API, with its documentation. Each has an example to send: writes begin as dry runs. ",
      h("kbd", {}, "/"), " searches."),
    contract.services.map((service) => [
      h("h2", {}, h("a", { href: `#${service.name}` }, service.name)),
      h("p", {}, summary(service.comment), "."),
      methods(service),
    ]));
}

function serviceView(contract, service) {
  return h("article", {}, h("h1", { tabindex: -1 }, service.name, " ", h("span", { class: "tag" }, "service")),
    commentNodes(contract, service.comment), h("h2", {}, "Methods"), methods(service));
}

function methods(service) {
  return h("dl", { class: "fields methods" }, service.methods.map((method) => h("div", { class: "field" },
    h("dt", {},
      h("a", { class: "name", href: `#${method.link}` }, method.name),
      h("span", { class: `tag ${kindOf(method)}` }, kindOf(method))),
    h("dd", {}, h("p", {}, summary(method.comment), ".")))));
}
