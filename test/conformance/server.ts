// The conformance suite's server under test: its service on the project's own server stack, fast path included. Starts as the suite
// asks on its input, tells where it listens, and serves until it is killed.
import { Buffer } from "node:buffer";
import process from "node:process";
import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { type CallContext, noMetrics, silentLog, systemClock } from "../../src/core/mod.ts";
import type { Call } from "../../src/rpc/calls.ts";
import { HealthState } from "../../src/rpc/mod.ts";
import { bidiStream, serverStream, unary } from "../../src/rpc/route.ts";
import { createRouteServer, DEFAULT_RPC_LIMITS } from "../../src/rpc/server.ts";
import {
  type ErrorShape,
  frames,
  type Header,
  messageDesc,
  registry,
  type ServerRequest,
  serviceDesc,
  type StreamDefinition,
  type StreamRequest,
  type UnaryRequest,
  writeFrame,
} from "./schema.ts";

const MAX_MESSAGE_BYTES = 64 << 20;
const { method } = serviceDesc();
const RequestInfo = messageDesc(`connectrpc.conformance.v1.ConformancePayload.RequestInfo`);

/** The server's own limit on requests is far off, so that only the client's timeout shows as one. */
const NO_TIMEOUT_MS = 2 ** 31;

function headerMap(list: readonly Header[] = []): Record<string, string[]> {
  const map: Record<string, string[]> = {};
  for (const { name, value } of list) (map[name.toLowerCase()] ??= []).push(...value);
  return map;
}

/** What the service saw of a request so far. */
function requestInfo(call: Call, desc: DescMessage, requests: readonly Message[]): Message {
  const pairs = call.metadata instanceof Headers ? [...call.metadata] : Object.entries(call.metadata);
  const requestHeaders = pairs
    .filter(([name, value]) => value !== undefined && !name.startsWith(":"))
    .map(([name, value]) => ({ name, value: [value].flat() }));
  const leftMs = call.deadlineAt === undefined ? Infinity : Math.round(call.deadlineAt - systemClock.now());
  return create(RequestInfo, {
    requestHeaders,
    requests: requests.map((request) => anyPack(desc, request)),
    ...(leftMs < NO_TIMEOUT_MS / 2 ? { timeoutMs: BigInt(leftMs) } : {}),
  } as never);
}

function errorOf({ code, message, details }: ErrorShape, info?: Message): ConnectError {
  const error = new ConnectError(message ?? "", code);
  const extra: Any[] = info === undefined ? [] : [anyPack(RequestInfo, info)];
  error.details = [...details, ...extra].map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    value,
  }));
  return error;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** A unary method of the suite: answers as the request says. */
function answerUnary(name: string) {
  const desc = method[name] as DescMethodUnary;
  return unary(desc, async (request, ctx: CallContext) => {
    const call = ctx as Call;
    const definition = (request as UnaryRequest).responseDefinition;
    const info = requestInfo(call, desc.input, [request]);
    const metadata = {
      headers: headerMap(definition?.responseHeaders),
      trailers: headerMap(definition?.responseTrailers),
    };
    call.answer = metadata;
    await sleep(definition?.responseDelayMs ?? 0, ctx.signal);
    if (definition?.response.case === "error") {
      call.answer = { ...metadata, status: errorOf(definition.response.value, info) };
      throw new Error("as the suite wants it");
    }
    const data = definition?.response.case === "responseData" ? definition.response.value : new Uint8Array(0);
    return { payload: { data, requestInfo: info } } as never;
  });
}

/** Sets what a stream's answer has beside its messages. */
function announce(call: Call, definition: StreamDefinition | undefined): void {
  call.answer = {
    headers: headerMap(definition?.responseHeaders),
    trailers: headerMap(definition?.responseTrailers),
  };
}

/** Ends a stream as its definition says. */
function conclude(call: Call, error: ErrorShape | undefined, info: Message | undefined): void {
  if (error === undefined) return;
  call.answer = { ...call.answer!, status: errorOf(error, info) };
  throw new Error("as the suite wants it");
}

async function* answerServerStream(request: Message, ctx: CallContext) {
  const call = ctx as Call;
  const desc = (method["serverStream"] as DescMethodServerStreaming).input;
  const definition = (request as StreamRequest).responseDefinition;
  announce(call, definition);
  let info: Message | undefined = requestInfo(call, desc, [request]);
  for (const data of definition?.responseData ?? []) {
    await sleep(definition!.responseDelayMs, ctx.signal);
    yield { payload: { data, ...(info === undefined ? {} : { requestInfo: info }) } } as never;
    info = undefined;
  }
  conclude(call, definition?.error, info);
}

async function* answerBidiStream(requests: AsyncIterable<Message>, ctx: CallContext) {
  const call = ctx as Call;
  const desc = (method["bidiStream"] as DescMethodBiDiStreaming).input;
  let first: StreamRequest | undefined;
  let seen: Message[] = [];
  let sent = 0;
  const answer = async (info: Message | undefined) => {
    const { responseDelayMs, responseData } = first!.responseDefinition!;
    await sleep(responseDelayMs, ctx.signal);
    return { payload: { data: responseData[sent++]!, ...(info === undefined ? {} : { requestInfo: info }) } } as never;
  };
  const count = () => first?.responseDefinition?.responseData.length ?? 0;

  for await (const request of requests) {
    if (first === undefined) {
      first = request as StreamRequest;
      announce(call, first.responseDefinition);
    }
    seen.push(request);
    if (first.fullDuplex !== true) continue;
    if (sent >= count()) break;
    yield await answer(requestInfo(call, desc, seen));
    seen = [];
  }
  while (sent < count()) yield await answer(sent === 0 ? requestInfo(call, desc, seen) : undefined);
  conclude(call, first?.responseDefinition?.error, sent === 0 ? requestInfo(call, desc, seen) : undefined);
}

async function start(request: ServerRequest): Promise<void> {
  const server = createRouteServer([
    answerUnary("unary"),
    answerUnary("idempotentUnary"),
    serverStream(method["serverStream"] as DescMethodServerStreaming, answerServerStream, { endsOnDrain: false }),
    bidiStream(method["bidiStream"] as DescMethodBiDiStreaming, answerBidiStream, {
      endsOnDrain: false,
      // As the method that plugins serve: without Connect where the call is gRPC.
      direct: { frame: () => undefined },
    }),
  ], {
    health: new HealthState(),
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    types: registry,
    frontThreads: Number(process.env["VELAS_TEST_FRONTS"] ?? 0),
    limits: {
      ...DEFAULT_RPC_LIMITS,
      maxMessageBytes: request.messageReceiveLimit || MAX_MESSAGE_BYTES,
      requestTimeoutMs: NO_TIMEOUT_MS,
    },
    ...(request.useTls
      ? { tls: { cert: Buffer.from(request.serverCreds!.cert), key: Buffer.from(request.serverCreds!.key) } }
      : {}),
  });
  const { host, port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const Response = messageDesc("ServerCompatResponse");
  const pemCert = request.useTls ? request.serverCreds!.cert : new Uint8Array(0);
  writeFrame(toBinary(Response, create(Response, { host, port, pemCert } as never)));
}

for await (const frame of frames(process.stdin)) {
  await start(fromBinary(messageDesc("ServerCompatRequest"), frame) as unknown as ServerRequest);
}
