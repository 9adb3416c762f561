// The dashboard: the factories, and the charts of those that are chosen.

import { ChartsPanel } from "/static/charts.js";
import { h, replace } from "/static/dom.js";
import { FactoriesPanel } from "/static/factories.js";
import { addHeader } from "/static/shell.js";
import { UrlState } from "/static/urlstate.js";

addHeader();
const state = new UrlState();
const factories = new FactoriesPanel(state);
const charts = new ChartsPanel(state, factories);
replace(
  document.getElementById("content"),
  h("h1", { class: "visually-hidden" }, "Factories"),
  h("div", { class: "dashboard" }, factories.element, charts.element),
);
factories.update();
charts.update();
