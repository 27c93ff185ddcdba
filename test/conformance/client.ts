// The conformance suite's client under test: makes the calls that the suite asks for on its input, over the project's own transport,
// and reports what came back.
import { Buffer } from "node:buffer";
import process from "node:process";
import { create, type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { type CallOptions, ConnectError, createClient } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { parseTarget, systemClock } from "../../src/core/mod.ts";
import { DEFAULT_PEER_LIMITS } from "../../src/rpc/client/mod.ts";
import { SessionPool } from "../../src/rpc/client/session-pool.ts";
import { createPeerTransport } from "../../src/rpc/client/transport.ts";
import {
  type ClientRequest,
  frames,
  GZIP,
  type Header,
  messageDesc,
  serviceDesc,
  STREAM_TYPE,
  toErrorShape,
  toHeaderList,
  unpack,
  writeFrame,
} from "./schema.ts";

const PARALLEL_CALLS = 16;
const MAX_MESSAGE_BYTES = 64 << 20;
const Response = messageDesc("ClientCompatResponse");

/** What came back of one call. */
class Result {
  headers: readonly Header[] = [];
  trailers: readonly Header[] = [];
  readonly payloads: unknown[] = [];
  error: ConnectError | undefined;

  take(message: Message): void {
    this.payloads.push((message as { payload?: unknown }).payload ?? create(messageDesc("ConformancePayload")));
  }

  fail(reason: unknown): void {
    this.error = ConnectError.from(reason);
    // The transport cannot tell headers from trailers of an answer that is an error.
    const metadata = toHeaderList(this.error.metadata);
    if (this.headers.length === 0) this.headers = metadata;
    if (this.trailers.length === 0) this.trailers = metadata;
  }
}

type AnyClient = Record<string, (request: unknown, options: CallOptions) => unknown>;

async function call(request: ClientRequest, pool: SessionPool): Promise<Result> {
  const gzip = request.compression === GZIP;
  const transport = createPeerTransport(
    parseTarget(`${request.serverTlsCert.length === 0 ? "" : "https://"}${request.host}:${request.port}`),
    {
      pool,
      readMaxBytes: request.messageReceiveLimit || MAX_MESSAGE_BYTES,
      writeMaxBytes: MAX_MESSAGE_BYTES,
      userAgent: "velas-sphere-conformance",
      ...(gzip ? { sendCompression: compressionGzip, acceptCompression: [compressionGzip] } : {}),
    },
  );
  const service = serviceDesc(request.service);
  const method = service.methods.find(({ name }) => name === request.method) as DescMethod;
  const client = createClient(service, transport) as unknown as AnyClient;
  const invoke = client[method.localName]!.bind(client);
  const messages = request.requestMessages.map(unpack);
  const stop = new AbortController();
  const result = new Result();
  const headers = new Headers();
  for (const { name, value } of request.requestHeaders) for (const one of value) headers.append(name, one);
  const options: CallOptions = {
    headers,
    signal: stop.signal,
    onHeader: (answer) => result.headers = toHeaderList(answer),
    onTrailer: (answer) => result.trailers = toHeaderList(answer),
    ...(request.timeoutMs === undefined ? {} : { timeoutMs: request.timeoutMs }),
  };
  const timing = request.cancel?.cancelTiming;
  const sent = () => {
    if (timing?.case === "afterCloseSendMs") setTimeout(() => stop.abort(), timing.value);
    // Nothing in particular means right after sending.
    else if (request.cancel !== undefined && timing?.case === undefined) stop.abort();
  };
  const received = () => {
    if (timing?.case === "afterNumResponses" && result.payloads.length === timing.value) stop.abort();
  };
  const outgoing = async function* (turn?: () => Promise<void>) {
    for (const message of messages) {
      await sleep(request.requestDelayMs);
      yield message;
      await turn?.();
    }
    if (timing?.case === "beforeCloseSend") stop.abort();
    sent();
  };

  try {
    switch (request.streamType) {
      case STREAM_TYPE.unary: {
        await sleep(request.requestDelayMs);
        const answer = invoke(messages[0], options) as Promise<Message>;
        sent();
        result.take(await answer);
        break;
      }
      case STREAM_TYPE.client:
        result.take(await (invoke(outgoing(), options) as Promise<Message>));
        break;
      case STREAM_TYPE.server: {
        await sleep(request.requestDelayMs);
        const answers = invoke(messages[0], options) as AsyncIterable<Message>;
        sent();
        for await (const answer of answers) {
          result.take(answer);
          received();
        }
        break;
      }
      case STREAM_TYPE.halfDuplex:
        for await (const answer of invoke(outgoing(), options) as AsyncIterable<Message>) {
          result.take(answer);
          received();
        }
        break;
      case STREAM_TYPE.fullDuplex: {
        // After each message, one answer is waited for, unless there are no more.
        let wake = () => {};
        let ended = false;
        let taken = 0;
        let turns = 0;
        const turn = async () => {
          turns++;
          while (taken < turns && !ended) await new Promise<void>((resolve) => wake = resolve);
        };
        try {
          for await (const answer of invoke(outgoing(turn), options) as AsyncIterable<Message>) {
            result.take(answer);
            received();
            taken++;
            wake();
          }
        } finally {
          ended = true;
          wake();
        }
        break;
      }
      default:
        throw new Error(`the suite asks for the unknown stream type ${request.streamType}`);
    }
  } catch (reason) {
    result.fail(reason);
  }
  return result;
}

function sleep(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}

function report(request: ClientRequest, result: Result): void {
  const error = result.error === undefined ? {} : { error: toErrorShape(result.error) };
  const response = {
    responseHeaders: result.headers,
    responseTrailers: result.trailers,
    payloads: result.payloads,
    ...error,
  };
  const message = create(Response, {
    testName: request.testName,
    result: { case: "response", value: response },
  } as never);
  writeFrame(toBinary(Response, message));
}

/** One pool for each server and its certificates: the suite starts a server for each of its configurations. */
const pools = new Map<string, SessionPool>();

function poolFor({ host, port, serverTlsCert, clientTlsCreds }: ClientRequest): SessionPool {
  const key = [host, port, ...[serverTlsCert, clientTlsCreds?.cert].map((bytes) => Buffer.from(bytes ?? []))].join();
  let pool = pools.get(key);
  if (pool === undefined) {
    const own = clientTlsCreds === undefined
      ? {}
      : { cert: Buffer.from(clientTlsCreds.cert), key: Buffer.from(clientTlsCreds.key) };
    pool = new SessionPool({
      ...DEFAULT_PEER_LIMITS,
      clock: systemClock,
      random: Math.random,
      ...(serverTlsCert.length === 0 ? {} : { tls: { ca: Buffer.from(serverTlsCert), ...own } }),
    });
    pools.set(key, pool);
  }
  return pool;
}

const open = new Set<Promise<void>>();
for await (const frame of frames(process.stdin)) {
  const request = fromBinary(messageDesc("ClientCompatRequest"), frame) as unknown as ClientRequest;
  const done: Promise<void> = call(request, poolFor(request)).then((result) => report(request, result))
    .finally(() => open.delete(done));
  open.add(done);
  if (open.size >= PARALLEL_CALLS) await Promise.race(open);
}
await Promise.all(open);
await Promise.all([...pools.values()].map((pool) => pool.close()));
