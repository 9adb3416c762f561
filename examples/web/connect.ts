// A client with connect-web: lists pages, retries a create safely, reads an error, follows a chart through a server
// restart. It speaks Connect or gRPC-Web, with messages in JSON or binary.

import { Code, ConnectError, type CallOptions, type Client, type Transport, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { BadRequestSchema, ErrorInfoSchema } from "./generated/google/rpc/error_details_pb.js";
import { type Factory, type GetFactoryChartResponse, FactoryService } from "./generated/sprocket/v1/factory_pb.js";
import { LocationService } from "./generated/sprocket/v1/location_pb.js";
import { type Sprocket, SprocketService } from "./generated/sprocket/v1/sprocket_pb.js";

const FOLLOW_MS = 60_000;
const ATTEMPTS = 5;

/** Where and how to call, from the parameters of the page's URL. */
function createTransport(parameters: URLSearchParams): Transport {
  const isGrpcWeb = parameters.get("protocol") === "grpc-web";
  const options = {
    baseUrl: parameters.get("server") ?? "http://127.0.0.1:8080",
    useBinaryFormat: isGrpcWeb || parameters.get("format") === "binary",
    useHttpGet: parameters.get("get") === "true", // for methods without side effects
    defaultTimeoutMs: Number(parameters.get("timeout_ms") ?? 5_000),
  };
  return isGrpcWeb ? createGrpcWebTransport(options) : createConnectTransport(options);
}

/** Runs the steps of the example, and prints a line about each. */
export async function main(parameters: URLSearchParams, print: (line: string) => void): Promise<void> {
  const key = parameters.get("key");
  const options: CallOptions = key ? { headers: { authorization: `Bearer ${key}` } } : {};
  const transport = createTransport(parameters);
  const locations = createClient(LocationService, transport);
  const factories = createClient(FactoryService, transport);

  const pages: Sprocket[][] = [];
  for await (const page of listSprockets(createClient(SprocketService, transport), options)) pages.push(page);
  print(`listed ${pages.flat().length} sprockets on ${pages.length} pages`);
  const first = await locations.listLocations({ pageSize: 1 }, options);
  const factory = await createFactory(factories, first.locations[0]!.id, options, print);
  try {
    print(`refused: ${await refusal(locations, options)}`);
    await followUntilChanged(factories, factory, options, print);
  } finally {
    await factories.deleteFactory({ id: factory.id, requestId: crypto.randomUUID() }, options);
  }
}

/** Yields all sprockets, page by page. */
async function* listSprockets(sprockets: Client<typeof SprocketService>, options: CallOptions): AsyncGenerator<Sprocket[]> {
  let pageToken = "";
  do {
    const response = await sprockets.listSprockets({ pageSize: 40, pageToken }, options);
    yield response.sprockets;
    pageToken = response.nextPageToken;
  } while (pageToken);
}

/** Creates exactly one factory, with as many attempts as it takes. */
async function createFactory(
  factories: Client<typeof FactoryService>,
  locationId: string,
  options: CallOptions,
  print: (line: string) => void,
): Promise<Factory> {
  // All attempts have the same id, so the server treats them as one request.
  const requestId = crypto.randomUUID();
  const factory = { displayName: "Example", locationId, sprocketProductionGoal: 10n };
  const create = async () => (await factories.createFactory({ factory, requestId }, options)).factory!;
  const created = await attempt(create);
  const again = await attempt(create); // as if the first response had been lost
  print(`created factory ${created.id}; a retry with the same request_id returned ${again.id}`);
  return created;
}

/** Retries a call while the server is unavailable; without a request id this could create duplicates. */
async function attempt<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let number = 1; ; number++) {
    try {
      return await call();
    } catch (error) {
      const isTransient = isBroken(error) || has(error, Code.DeadlineExceeded);
      if (!isTransient || number === ATTEMPTS) throw error;
      await sleep(100 * 2 ** number);
    }
  }
}

/** Sends an invalid request, and returns the reason of the refusal: from the details of the error, not its text. */
async function refusal(locations: Client<typeof LocationService>, options: CallOptions): Promise<string> {
  const location = { displayName: " ", address: "1 Main St", city: "Springfield", postalCode: "1", countryCode: "USA" };
  try {
    await locations.createLocation({ location }, options);
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const [info] = error.findDetails(ErrorInfoSchema);
    const [request] = error.findDetails(BadRequestSchema);
    if (!info || !request) throw error;
    return `${info.reason}: ${request.fieldViolations.map((violation) => violation.field).join(", ")}`;
  }
  throw new Error("the server accepted an invalid location");
}

/** Follows the chart of a factory until its goal changes, and prints every entry. */
async function followUntilChanged(
  factories: Client<typeof FactoryService>,
  factory: Factory,
  options: CallOptions,
  print: (line: string) => void,
): Promise<void> {
  for await (const { chart } of follow(factories, factory.id, options, print)) {
    for (const [index, goal] of (chart?.sprocketProductionGoal ?? []).entries()) {
      print(`goal ${goal}, actual ${chart!.sprocketProductionActual[index]}`);
      if (goal !== factory.sprocketProductionGoal) return; // which cancels the stream
    }
  }
}

/** Yields every response of a chart's stream once, across restarts of the server. */
async function* follow(
  factories: Client<typeof FactoryService>,
  factoryId: string,
  options: CallOptions,
  print: (line: string) => void,
): AsyncGenerator<GetFactoryChartResponse> {
  let resumeToken = "";
  const until = Date.now() + FOLLOW_MS;
  print(`following factory ${factoryId}`);
  for (;;) {
    const stopped = new AbortController();
    try {
      const request = { factoryId, follow: true, resumeToken };
      const limits = { ...options, timeoutMs: until - Date.now(), signal: stopped.signal };
      for await (const response of factories.getFactoryChart(request, limits)) {
        yield response;
        resumeToken = response.resumeToken;
      }
    } catch (error) {
      if (!isBroken(error)) throw error;
      console.warn(String(error));
      print("the stream broke; resuming after the last response");
      await sleep(1_000);
    } finally {
      stopped.abort();
    }
  }
}

/** Whether the server or the network has ended a call. A browser does not tell which. */
function isBroken(error: unknown): boolean {
  return has(error, Code.Unavailable) || has(error, Code.Unknown);
}

function has(error: unknown, code: Code): boolean {
  return ConnectError.from(error).code === code;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
