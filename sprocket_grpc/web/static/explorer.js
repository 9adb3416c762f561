// The explorer of the contract.

import { addHeader } from "/static/shell.js";

addHeader();
