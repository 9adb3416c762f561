// The page: runs the client that its URL names, and shows the lines that the client prints.

import * as connect from "./connect.js";
import * as grpcWeb from "./grpc_web.js";

const parameters = new URLSearchParams(location.search);
const output = document.getElementById("output")!;
const main = { connect: connect.main, grpc_web: grpcWeb.main }[parameters.get("client") ?? ""];

/** Shows a line. */
function print(line: string): void {
  output.append(`${line}\n`);
}

try {
  await main?.(parameters, print);
  if (main) print("done");
} catch (error) {
  print(`failed: ${error instanceof Error ? error.message : error}`);
}
