import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Http2ServerRequest, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { create, type DescMethod, type Registry } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createConnectRouter,
  createContextKey,
  type HandlerContext,
} from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import { type ErrorCode, NodeError, notSigned } from "../core/mod.ts";
import { SIGNATURE_HEADER } from "./authenticator.ts";
import { type AnswerMetadata, type Call, type Calls, REQUEST_ID_HEADER, REQUESTER_HEADER } from "./calls.ts";
import { fromConnectError, toConnectError } from "./errors.ts";
import { statusOf } from "./grpc-frame.ts";
import type { Route, StreamRoute, UnaryRoute } from "./route.ts";
import { drainRequest, type Response, writeBody } from "./write-body.ts";

export interface ConnectHandlerOptions {
  readonly calls: Calls;
  readonly routes: readonly Route[];
  readonly maxMessageBytes: number;
  /** How long a response may make no way at all, in milliseconds. */
  readonly stallTimeoutMs: number;
  /** While it gives an error, calls are refused with it. */
  readonly refusal: () => NodeError | undefined;
  /** Types that messages may hold in a google.protobuf.Any; JSON needs them. */
  readonly types?: Registry | undefined;
  /** Serves the paths of no method. */
  readonly fallback: RequestListener | undefined;
}

type Request = IncomingMessage | Http2ServerRequest;

/** Brings the SHA-256 of a signed body from where bytes are read to where calls are served. Whatever a client sends under it is deleted. */
const BODY_DIGEST_HEADER = "velas-body-sha256";

/** Brings the caller's address the same way. */
const ADDRESS_HEADER = "velas-caller-address";

/** Brings a call from the gate, where it is opened, to its service. */
const CALL = createContextKey<ConnectCall | undefined>(undefined);

/** A listener for requests of node:http and of the compatibility layer of node:http2. */
export type Handler = (request: Request, response: Response) => void;

/**
 * Serves routes over gRPC, gRPC-Web and Connect, by @connectrpc/connect. It stands in for `connectNodeAdapter`, which throws out of
 * the request listener (and so ends the process) when a client names an authority that is none, and which writes to the console
 * whenever a client leaves in the middle of a download.
 */
export function createConnectHandler(options: ConnectHandlerOptions): Handler {
  const handlers = new Map<string, UniversalHandler>();
  const routes = new Map(options.routes.map((route) => [route.path, route]));
  const router = createConnectRouter({
    // Between nodes, compressing every answer costs much more than the bytes it saves.
    acceptCompression: [],
    readMaxBytes: options.maxMessageBytes,
    ...(options.types === undefined ? {} : { jsonOptions: { registry: options.types } }),
    // Comes before a body is received, or, when it is signed, before it is decoded.
    requestGate: (context) => {
      const refusal = options.refusal();
      if (refusal !== undefined) throw toConnectError(refusal);
      const route = routes.get(`/${context.service.typeName}/${context.method.name}`)!;
      const connect = new ConnectCall(options.calls, route, context);
      try {
        connect.checkSignature();
        context.values.set(CALL, connect);
      } catch (reason) {
        throw connect.fail(reason);
      }
    },
  });
  for (const route of options.routes) register(router, route);
  for (const handler of router.handlers) handlers.set(handler.requestPath, handler);

  return (request, response) => {
    const path = (request.url ?? "").split("?", 1)[0]!;
    const handler = handlers.get(path);
    if (handler === undefined) answerUnknown(request, response, path, options.fallback);
    else void serve(handler, { request, response, isUnary: routes.get(path)?.kind === "unary" }, options);
  };
}

function register(router: ConnectRouter, route: Route): void {
  // The types of the messages are lost in a list of routes; route.ts ties each method to a function of its types.
  const rpc = router.rpc as (
    method: DescMethod,
    implementation: (request: never, context: HandlerContext) => unknown,
  ) => unknown;
  if (route.kind === "unary") {
    rpc(route.method, (request, { values }) => answerUnary(route, request, values.get(CALL)!));
  } else {
    rpc(route.method, (request, { values }) => answerStream(route, request, values.get(CALL)!));
  }
}

/** A call that came through Connect, and the way to stop waiting for its service as soon as the call is stopped. */
class ConnectCall {
  readonly call: Call;
  readonly #context: HandlerContext;
  #published = false;
  /** Whether its service has it, which then ends it. */
  #begun = false;
  /** Rejects what {@link wait} waits for now. */
  #interrupt: ((error: NodeError) => void) | undefined;

  constructor(calls: Calls, route: Route, context: HandlerContext) {
    const { requestHeader, signal } = context;
    this.#context = context;
    this.call = calls.open(route, {
      requester: requestHeader.get(REQUESTER_HEADER) ?? undefined,
      requestId: requestHeader.get(REQUEST_ID_HEADER) ?? undefined,
      timeoutMs: context.timeoutMs(),
      address: () => requestHeader.get(ADDRESS_HEADER) ?? undefined,
      metadata: requestHeader,
      onAbort: (error) => this.#interrupt?.(error),
    });
    const leave = () => {
      this.call.abort(leaving(signal.reason));
      if (!this.#begun) this.call.end(unbegunCode(signal.reason));
    };
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  }

  /** Throws `unauthenticated` when the call is not from whom it says, or its body is not the one that was signed. */
  checkSignature(): void {
    const { call } = this;
    if (call.refusal !== undefined) throw call.refusal;
    if (!call.signsBody) return;
    const digest = this.#context.requestHeader.get(BODY_DIGEST_HEADER);
    if (digest === null) throw notSigned("a stream is signed without the digest of its body");
    call.checkBody(digest);
  }

  /** The service takes the call. */
  begin(): void {
    this.#begun = true;
  }

  /** Ends the call with what was thrown, and returns what Connect is to answer. */
  fail(reason: unknown): ConnectError {
    const { call } = this;
    const error = call.failure(reason);
    call.end(error.code);
    this.publish();
    return call.answer?.status ?? toConnectError(error);
  }

  /** Hands what the service adds to its answer on to Connect, which sends headers with the first message. */
  publish(): void {
    const { answer } = this.call;
    if (answer === undefined || this.#published) return;
    this.#published = true;
    append(this.#context.responseHeader, answer.headers);
    append(this.#context.responseTrailer, answer.trailers);
  }

  /** What the promise gives, or the error that stopped the call. (Promise.race would keep every promise of a long stream.) */
  wait<T>(work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.call.signal.aborted) {
        reject(this.call.signal.reason);
        return;
      }
      this.#interrupt = reject;
      work().then(resolve, reject);
    });
  }
}

function append(headers: Headers, values: AnswerMetadata["headers"]): void {
  for (const [name, all] of Object.entries(values)) {
    for (const value of all) headers.append(name, value);
  }
}

function leaving(reason: unknown): NodeError {
  return ConnectError.from(reason).code === Code.DeadlineExceeded
    ? new NodeError("deadline_exceeded", "The call took longer than its deadline allows")
    : new NodeError("canceled", "The caller went away before the answer");
}

async function answerUnary(route: UnaryRoute, request: never, connect: ConnectCall) {
  const { call } = connect;
  connect.begin();
  try {
    const response = await connect.wait(() => call.traced(() => route.handle(request, call)));
    call.end("ok");
    connect.publish();
    return create(route.method.output, response);
  } catch (reason) {
    throw connect.fail(reason);
  }
}

/** What a call counts as that Connect ended before its service had it: the caller left, or sent what is no message. */
function unbegunCode(reason: unknown): ErrorCode {
  const error = ConnectError.from(reason);
  return error.code === Code.Internal ? "invalid_argument" : fromConnectError(error).code;
}

/** The messages of a caller. When its connection breaks, that is no fault of anybody here. */
async function* incoming(requests: AsyncIterable<never>): AsyncGenerator<never> {
  try {
    yield* requests;
  } catch (reason) {
    throw reason instanceof ConnectError ? reason : leaving(reason);
  }
}

async function* answerStream(route: StreamRoute, request: never, connect: ConnectCall) {
  const { call } = connect;
  connect.begin();
  const input = route.kind === "bidi_streaming" ? incoming(request) : request;
  const source = route.handle(input, call)[Symbol.asyncIterator]();
  let code: ErrorCode | "ok" = "canceled";
  try {
    for (;;) {
      const next = await connect.wait(() => call.traced(() => source.next()));
      connect.publish();
      if (next.done === true) break;
      yield create(route.method.output, next.value);
    }
    code = "ok";
  } catch (reason) {
    connect.publish();
    if (call.answer?.status !== undefined) throw call.answer.status;
    // What the caller's own messages broke arrives here as an error of Connect's, and stays one.
    const error = reason instanceof ConnectError ? fromConnectError(reason) : call.failure(reason);
    code = error.code;
    throw reason instanceof ConnectError ? reason : toConnectError(error);
  } finally {
    if (code !== "ok") {
      call.stop();
      // Not awaited: a source that waits for something else would never let go. It has its signal.
      source.return?.().catch(ignore);
    }
    call.end(code);
  }
}

async function serve(
  handler: UniversalHandler,
  { request, response, isUnary }: { readonly request: Request; readonly response: Response; readonly isUnary: boolean },
  options: ConnectHandlerOptions,
): Promise<void> {
  response.on("error", ignore);
  leaveUndestroyed(request);
  let answer: UniversalServerResponse;
  try {
    const universal = universalRequestFromNodeRequest(
      request as IncomingMessage,
      response as never,
      undefined,
      undefined,
    );
    // What is signed are bytes, and Connect hands out messages; so the body of a signed unary call is read here.
    universal.header.delete(BODY_DIGEST_HEADER);
    universal.header.set(ADDRESS_HEADER, request.socket.remoteAddress ?? "");
    if (isUnary && universal.header.has(SIGNATURE_HEADER)) {
      const body = await readWhole(request, 2 * options.maxMessageBytes); // JSON's base64 is larger than what it holds
      universal.header.set(BODY_DIGEST_HEADER, createHash("sha256").update(body).digest("hex"));
      universal.body = oneChunk(body);
    }
    answer = await handler(universal);
  } catch {
    // Connect words the failures of calls itself; here are requests that it cannot even make out.
    answer = { status: 400 };
  }
  await writeBody(answer, request, response, options);
}

/**
 * Lets Connect stop reading a body in the middle without destroying the request, and tells a body that was cut off from one that ended. A
 * destroyed request of HTTP/1.1 that is still being received makes Node stop reading the connection for good, and the next request on it is
 * never seen. A stream of HTTP/2 that its client resets ends for its reader as if it were whole.
 */
function leaveUndestroyed(request: Request): void {
  const body = request as IncomingMessage;
  const { stream } = request as { readonly stream?: { readonly rstCode?: number } };
  const isCut = () => stream === undefined ? !body.complete : (stream.rstCode ?? 0) !== 0;
  body[Symbol.asyncIterator] = () => {
    const pieces = body.iterator({ destroyOnReturn: false });
    const whole: AsyncIterableIterator<unknown> = {
      async next() {
        const next = await pieces.next();
        if (next.done === true && isCut()) throw new ConnectError("the request was cut off", Code.Canceled);
        return next;
      },
      return: () => pieces.return!(),
      [Symbol.asyncIterator]: () => whole,
    };
    return whole as ReturnType<typeof pieces[typeof Symbol.asyncIterator]>;
  };
}

async function readWhole(request: Request, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw new NodeError("input_too_large", `The body has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

function ignore(): void {}

/**
 * Answers a path that is no method: gRPC and Connect get an error of their protocol, everything else goes to the fallback.
 */
function answerUnknown(
  request: Request,
  response: Response,
  path: string,
  fallback: RequestListener | undefined,
): void {
  const type = request.headers["content-type"] ?? "";
  const error = new NodeError("unimplemented", `This node has no method ${path}; reflection lists those it has`);
  if (/^application\/grpc(?:-web(?:-text)?)?(?:$|[+;])/.test(type)) {
    drainRequest(request);
    // Without a detail: who calls an unknown method is mostly no client of ours, and Connect's own answer has none.
    const headers = { "content-type": type, ...statusOf(new ConnectError(error.message, Code.Unimplemented)) };
    if (response.stream === undefined) respond(response, 200, headers);
    else respondOnly(response.stream, headers);
  } else if (fallback !== undefined) {
    fallback(request as IncomingMessage, response as unknown as ServerResponse);
  } else {
    request.resume();
    const body = JSON.stringify({ code: "unimplemented", message: error.message });
    respond(response, 404, { "content-type": "application/json" }, body);
  }
}

/** Answers with headers that end the stream, as gRPC wants a status without a message. */
function respondOnly(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  try {
    stream.respond({ ":status": 200, ...headers }, { endStream: true });
  } catch {
    stream.destroy();
  }
}

function respond(response: Response, status: number, headers: OutgoingHttpHeaders, body = ""): void {
  response.on("error", ignore);
  try {
    response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
    response.end(body);
  } catch {
    response.destroy();
  }
}
