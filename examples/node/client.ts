// A client in TypeScript: lists pages, retries a create safely, reads an error, follows a chart through a server restart.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type CallOptions, type Client, type ServiceError, Metadata, credentials, status } from "@grpc/grpc-js";
import { BadRequest, ErrorInfo } from "./generated/google/rpc/error_details.js";
import { Status } from "./generated/google/rpc/status.js";
import {
  CreateFactoryRequest,
  DeleteFactoryRequest,
  type Factory,
  FactoryServiceClient,
  GetFactoryChartRequest,
  type GetFactoryChartResponse,
} from "./generated/sprocket/v1/factory.js";
import { CreateLocationRequest, ListLocationsRequest, LocationServiceClient } from "./generated/sprocket/v1/location.js";
import { ListSprocketsRequest, type Sprocket, SprocketServiceClient } from "./generated/sprocket/v1/sprocket.js";

const CALL_MS = 5_000;
const FOLLOW_MS = 60_000;
const ATTEMPTS = 5;

const server = process.env.SPROCKET_CLIENT_SERVER ?? "127.0.0.1:50051";
const metadata = new Metadata();
if (process.env.SPROCKET_CLIENT_API_KEY) metadata.set("authorization", `Bearer ${process.env.SPROCKET_CLIENT_API_KEY}`);

/** Runs the steps of the example, and prints a line about each. */
async function main(): Promise<void> {
  // Tells gRPC which calls to retry.
  const config = readFileSync(new URL("../../../sprocket/v1/service_config.json", import.meta.url), "utf8");
  const reconnect = { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 2_000 };
  const options = { "grpc.service_config": config, ...reconnect };
  const sprockets = new SprocketServiceClient(server, credentials.createInsecure(), options);
  const channelOverride = sprockets.getChannel(); // so that all clients share one connection
  const locations = new LocationServiceClient(server, credentials.createInsecure(), { channelOverride });
  const factories = new FactoryServiceClient(server, credentials.createInsecure(), { channelOverride });

  const pages: Sprocket[][] = [];
  for await (const page of listSprockets(sprockets)) pages.push(page);
  console.log(`listed ${pages.flat().length} sprockets on ${pages.length} pages`);
  const first = await call(locations, locations.listLocations, ListLocationsRequest.fromPartial({ pageSize: 1 }));
  const factory = await createFactory(factories, first.locations[0]!.id);
  try {
    console.log(`refused: ${await refusal(locations)}`);
    await followUntilChanged(factories, factory);
  } finally {
    const request = DeleteFactoryRequest.fromPartial({ id: factory.id, requestId: randomUUID() });
    await call(factories, factories.deleteFactory, request);
    sprockets.close();
  }
}

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** Calls a method with a deadline and, if set, the API key. */
function call<Request, Response>(client: Client, method: Method<Request, Response>, request: Request): Promise<Response> {
  return new Promise((resolve, reject) => {
    method.call(client, request, metadata, { deadline: Date.now() + CALL_MS }, (error, response) =>
      error ? reject(error) : resolve(response),
    );
  });
}

/** Yields all sprockets, page by page. */
async function* listSprockets(sprockets: SprocketServiceClient): AsyncGenerator<Sprocket[]> {
  const request = ListSprocketsRequest.fromPartial({ pageSize: 40 });
  do {
    const response = await call(sprockets, sprockets.listSprockets, request);
    yield response.sprockets;
    request.pageToken = response.nextPageToken;
  } while (request.pageToken);
}

/** Creates exactly one factory, with as many attempts as it takes. */
async function createFactory(factories: FactoryServiceClient, locationId: string): Promise<Factory> {
  const factory = { displayName: "Example", locationId, sprocketProductionGoal: 10 };
  // All attempts have the same id, so the server treats them as one request.
  const request = CreateFactoryRequest.fromPartial({ factory, requestId: randomUUID() });
  const created = await attemptCreate(factories, request);
  const again = await attemptCreate(factories, request); // as if the first response had been lost
  console.log(`created factory ${created.id}; a retry with the same request_id returned ${again.id}`);
  return created;
}

/** Retries while the server is unavailable; without a request id this could create duplicates. */
async function attemptCreate(factories: FactoryServiceClient, request: CreateFactoryRequest): Promise<Factory> {
  for (let attempt = 1; ; attempt++) {
    try {
      return (await call(factories, factories.createFactory, request)).factory!;
    } catch (error) {
      const transient = has(error, status.UNAVAILABLE) || has(error, status.DEADLINE_EXCEEDED);
      if (!transient || attempt === ATTEMPTS) throw error;
      await sleep(100 * 2 ** attempt);
    }
  }
}

/** Sends an invalid request, and returns the reason of the refusal: from the details of the error, not its text. */
async function refusal(locations: LocationServiceClient): Promise<string> {
  const location = { displayName: " ", address: "1 Main St", city: "Springfield", postalCode: "1", countryCode: "USA" };
  try {
    await call(locations, locations.createLocation, CreateLocationRequest.fromPartial({ location }));
  } catch (error) {
    const [bytes] = (error as ServiceError).metadata?.get("grpc-status-details-bin") ?? [];
    if (!(bytes instanceof Buffer)) throw error;
    const details = new Map(Status.decode(bytes).details.map((detail) => [detail.typeUrl, detail.value]));
    const info = ErrorInfo.decode(details.get("type.googleapis.com/google.rpc.ErrorInfo")!);
    const request = BadRequest.decode(details.get("type.googleapis.com/google.rpc.BadRequest")!);
    return `${info.reason}: ${request.fieldViolations.map((violation) => violation.field).join(", ")}`;
  }
  throw new Error("the server accepted an invalid location");
}

/** Follows the chart of a factory until its goal changes, and prints every entry. */
async function followUntilChanged(factories: FactoryServiceClient, factory: Factory): Promise<void> {
  for await (const { chart } of follow(factories, factory.id)) {
    for (const [index, goal] of (chart?.sprocketProductionGoal ?? []).entries()) {
      console.log(`goal ${goal}, actual ${chart!.sprocketProductionActual[index]}`);
      if (goal !== factory.sprocketProductionGoal) return;
    }
  }
}

/** Yields every response of a chart's stream once, across restarts of the server. */
async function* follow(factories: FactoryServiceClient, factoryId: string): AsyncGenerator<GetFactoryChartResponse> {
  const request = GetFactoryChartRequest.fromPartial({ factoryId, follow: true });
  const deadline = Date.now() + FOLLOW_MS;
  console.log(`following factory ${factoryId}`);
  for (;;) {
    const stream = factories.getFactoryChart(request, metadata, { deadline });
    try {
      for await (const response of stream) {
        yield response;
        request.resumeToken = response.resumeToken;
      }
    } catch (error) {
      if (!has(error, status.UNAVAILABLE)) throw error;
      console.log("the stream broke; resuming after the last response");
      await sleep(1_000);
    } finally {
      stream.cancel();
    }
  }
}

function has(error: unknown, code: status): boolean {
  return (error as ServiceError).code === code;
}

await main();
