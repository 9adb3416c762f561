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
const panels = h("div", { class: "dashboard" }, factories.element);
const narrow = matchMedia("(max-width: 1100px)"); // one column, as in dashboard.css: there, the charts come first
const place = () => panels[narrow.matches ? "prepend" : "append"](charts.element);
place();
narrow.addEventListener("change", place);
replace(document.getElementById("content"), h("h1", { class: "visually-hidden" }, "Factories"), panels);
factories.update();
charts.update();
