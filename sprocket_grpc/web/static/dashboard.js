// The dashboard: the factories, and the charts of those that are chosen.

import { addHeader } from "/static/shell.js";

addHeader();
