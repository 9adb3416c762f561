// A client with the official grpc-web: lists pages, retries a create safely, reads an error, follows a chart through a
// server restart. Its messages are those of @bufbuild/protobuf, so that it needs no generator of its own.

import { type DescMethod, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { type RpcError, GrpcWebClientBase, MethodDescriptor, MethodType, StatusCode } from "grpc-web";
import { BadRequestSchema, ErrorInfoSchema } from "./generated/google/rpc/error_details_pb.js";
import { StatusSchema } from "./generated/google/rpc/status_pb.js";
import { type Factory, type GetFactoryChartResponse, FactoryService } from "./generated/sprocket/v1/factory_pb.js";
import { LocationService } from "./generated/sprocket/v1/location_pb.js";
import { type Sprocket, SprocketService } from "./generated/sprocket/v1/sprocket_pb.js";

const FOLLOW_MS = 60_000;
const ATTEMPTS = 5;

/** A method whose messages have these types. */
type Method<I extends DescMessage, O extends DescMessage> = DescMethod & { input: I; output: O };

/** Calls the server. */
class Caller {
  readonly #client: GrpcWebClientBase;
  readonly #server: string;
  readonly #timeoutMs: number;
  readonly #key: string | null;

  constructor(parameters: URLSearchParams) {
    // Only in text does grpc-web receive a stream while it is open.
    this.#client = new GrpcWebClientBase({ format: parameters.get("format") === "binary" ? "binary" : "text" });
    this.#server = parameters.get("server") ?? "http://127.0.0.1:8080";
    this.#timeoutMs = Number(parameters.get("timeout_ms") ?? 5_000);
    this.#key = parameters.get("key");
  }

  /** Calls a method with one response. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const described = describe(method, MethodType.UNARY);
    const metadata = this.#metadata(this.#timeoutMs);
    return this.#client.unaryCall(this.#url(method), create(method.input, request), metadata, described);
  }

  /** Calls a method with many responses, and yields them. To leave the iterator cancels the call. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    request: MessageInitShape<I>,
    timeoutMs: number,
  ): AsyncGenerator<MessageShape<O>> {
    const described = describe(method, MethodType.SERVER_STREAMING);
    const message = create(method.input, request);
    const stream = this.#client.serverStreaming(this.#url(method), message, this.#metadata(timeoutMs), described);
    const responses = new ReadableStream<MessageShape<O>>({
      start(controller) {
        let hasFailed = false; // the end follows an error too
        stream.on("data", (response) => controller.enqueue(response));
        stream.on("error", (error) => {
          hasFailed = true;
          controller.error(error);
        });
        stream.on("end", () => hasFailed || controller.close());
      },
      cancel: () => stream.cancel(),
    }).getReader();
    try {
      for (let next = await responses.read(); !next.done; next = await responses.read()) yield next.value;
    } finally {
      await responses.cancel().catch(() => undefined); // it has failed already
    }
  }

  #url(method: DescMethod): string {
    return `${this.#server}/${method.parent.typeName}/${method.name}`;
  }

  #metadata(timeoutMs: number): Record<string, string> {
    const deadline = String(Date.now() + timeoutMs);
    return this.#key ? { deadline, authorization: `Bearer ${this.#key}` } : { deadline };
  }
}

/** Describes a method to grpc-web. */
function describe<I extends DescMessage, O extends DescMessage>(
  method: Method<I, O>,
  kind: string,
): MethodDescriptor<MessageShape<I>, MessageShape<O>> {
  class Message {} // grpc-web creates none itself
  return new MethodDescriptor(
    `/${method.parent.typeName}/${method.name}`,
    kind,
    Message as never,
    Message as never,
    (request: MessageShape<I>) => toBinary(method.input, request),
    (bytes: Uint8Array) => fromBinary(method.output, bytes),
  );
}

/** Runs the steps of the example, and prints a line about each. */
export async function main(parameters: URLSearchParams, print: (line: string) => void): Promise<void> {
  const caller = new Caller(parameters);
  const pages: Sprocket[][] = [];
  for await (const page of listSprockets(caller)) pages.push(page);
  print(`listed ${pages.flat().length} sprockets on ${pages.length} pages`);
  const { locations } = await caller.call(LocationService.method.listLocations, { pageSize: 1 });
  const factory = await createFactory(caller, locations[0]!.id, print);
  try {
    print(`refused: ${await refusal(caller)}`);
    await followUntilChanged(caller, factory, print);
  } finally {
    await caller.call(FactoryService.method.deleteFactory, { id: factory.id, requestId: crypto.randomUUID() });
  }
}

/** Yields all sprockets, page by page. */
async function* listSprockets(caller: Caller): AsyncGenerator<Sprocket[]> {
  let pageToken = "";
  do {
    const response = await caller.call(SprocketService.method.listSprockets, { pageSize: 40, pageToken });
    yield response.sprockets;
    pageToken = response.nextPageToken;
  } while (pageToken);
}

/** Creates exactly one factory, with as many attempts as it takes. */
async function createFactory(caller: Caller, locationId: string, print: (line: string) => void): Promise<Factory> {
  // All attempts have the same id, so the server treats them as one request.
  const requestId = crypto.randomUUID();
  const factory = { displayName: "Example", locationId, sprocketProductionGoal: 10n };
  const create = async () =>
    (await caller.call(FactoryService.method.createFactory, { factory, requestId })).factory!;
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
      const isTransient = isBroken(error) || has(error, StatusCode.DEADLINE_EXCEEDED);
      if (!isTransient || number === ATTEMPTS) throw error;
      await sleep(100 * 2 ** number);
    }
  }
}

/** Sends an invalid request, and returns the reason of the refusal: from the details of the error, not its text. */
async function refusal(caller: Caller): Promise<string> {
  const location = { displayName: " ", address: "1 Main St", city: "Springfield", postalCode: "1", countryCode: "USA" };
  try {
    await caller.call(LocationService.method.createLocation, { location });
  } catch (error) {
    const packed = (error as RpcError).metadata?.["grpc-status-details-bin"];
    if (!packed) throw error;
    const { details } = fromBinary(StatusSchema, base64Decode(packed));
    const bytes = (name: string) => details.find(({ typeUrl }) => typeUrl.endsWith(`/${name}`))!.value;
    const info = fromBinary(ErrorInfoSchema, bytes(ErrorInfoSchema.typeName));
    const request = fromBinary(BadRequestSchema, bytes(BadRequestSchema.typeName));
    return `${info.reason}: ${request.fieldViolations.map((violation) => violation.field).join(", ")}`;
  }
  throw new Error("the server accepted an invalid location");
}

/** Follows the chart of a factory until its goal changes, and prints every entry. */
async function followUntilChanged(caller: Caller, factory: Factory, print: (line: string) => void): Promise<void> {
  for await (const { chart } of follow(caller, factory.id, print)) {
    for (const [index, goal] of (chart?.sprocketProductionGoal ?? []).entries()) {
      print(`goal ${goal}, actual ${chart!.sprocketProductionActual[index]}`);
      if (goal !== factory.sprocketProductionGoal) return; // which cancels the stream
    }
  }
}

/** Yields every response of a chart's stream once, across restarts of the server. */
async function* follow(
  caller: Caller,
  factoryId: string,
  print: (line: string) => void,
): AsyncGenerator<GetFactoryChartResponse> {
  let resumeToken = "";
  const until = Date.now() + FOLLOW_MS;
  print(`following factory ${factoryId}`);
  for (;;) {
    const request = { factoryId, follow: true, resumeToken };
    try {
      for await (const response of caller.stream(FactoryService.method.getFactoryChart, request, until - Date.now())) {
        yield response;
        resumeToken = response.resumeToken;
      }
    } catch (error) {
      if (!isBroken(error)) throw error;
      console.warn(`${(error as RpcError).code}: ${(error as RpcError).message}`);
      print("the stream broke; resuming after the last response");
      await sleep(1_000);
    }
  }
}

/** Whether the server or the network has ended a call. A browser does not tell which. */
function isBroken(error: unknown): boolean {
  return has(error, StatusCode.UNAVAILABLE) || has(error, StatusCode.UNKNOWN);
}

function has(error: unknown, code: StatusCode): boolean {
  return (error as RpcError).code === code;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
