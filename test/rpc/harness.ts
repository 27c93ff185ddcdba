import { Buffer } from "node:buffer";
import http2 from "node:http2";
import net from "node:net";
import process from "node:process";
import type { RequestListener } from "node:http";
import { type Log, noMetrics, silentLog, systemClock } from "../../src/core/mod.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState, type RpcLimits, type RpcServer } from "../../src/rpc/mod.ts";
import type { RpcServerOptions } from "../../src/rpc/server.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";

export interface Running extends AsyncDisposable {
  readonly tasks: FakeTasks;
  readonly health: HealthState;
  readonly server: RpcServer;
  readonly port: number;
  /** What was logged as an error or a warning. */
  readonly logged: string[];
}

export interface StartOptions {
  readonly limits?: Partial<RpcLimits>;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly fallback?: RequestListener;
  readonly files?: RpcServerOptions["files"];
  readonly storage?: RpcServerOptions["storage"];
  readonly frontThreads?: number;
}

/** How many front threads servers of tests have: the whole suite can go through fronts. */
export const FRONTS = Number(process.env["VELAS_TEST_FRONTS"] ?? 0);

/** Starts a server over fake tasks on a port of its own. */
export async function start(options: StartOptions = {}): Promise<Running> {
  const tasks = new FakeTasks();
  const health = new HealthState();
  const logged: string[] = [];
  const log: Log = { ...silentLog, warn: (line) => logged.push(line), error: (line) => logged.push(line) };
  const server = createRpcServer({
    tasks,
    node: fakeNode,
    health,
    log,
    metrics: noMetrics,
    clock: systemClock,
    limits: { ...DEFAULT_RPC_LIMITS, ...options.limits },
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    ...(options.files === undefined ? {} : { files: options.files }),
    ...(options.storage === undefined ? {} : { storage: options.storage }),
    ...(options.fallback === undefined ? {} : { fallback: options.fallback }),
    frontThreads: options.frontThreads ?? FRONTS,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  return { tasks, health, server, port, logged, [Symbol.asyncDispose]: () => server.close({ graceMs: 0 }) };
}

/** What a raw HTTP/2 request was answered with. */
export interface RawAnswer {
  readonly headers: Record<string, string>;
  readonly trailers: Record<string, string>;
  readonly body: Buffer;
  /** The code of the reset that ended it; 0 for none. */
  readonly rstCode: number;
}

/** The status of a gRPC answer, wherever it stands. */
export function grpcStatus(answer: RawAnswer): number {
  return Number(answer.trailers["grpc-status"] ?? answer.headers["grpc-status"] ?? -1);
}

export function grpcMessage(answer: RawAnswer): string {
  return decodeURIComponent(answer.trailers["grpc-message"] ?? answer.headers["grpc-message"] ?? "");
}

/** A plain HTTP/2 connection. */
export class RawClient implements AsyncDisposable {
  readonly session: http2.ClientHttp2Session;

  constructor(port: number) {
    this.session = http2.connect(`http://127.0.0.1:${port}`);
    this.session.on("error", () => {});
  }

  /** Opens a stream with the headers of a gRPC call. */
  open(path: string, headers: http2.OutgoingHttpHeaders = {}): http2.ClientHttp2Stream {
    const stream = this.session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    stream.on("error", () => {});
    return stream;
  }

  /** Makes a call whose whole body is given. */
  call(
    path: string,
    body: Uint8Array | readonly Uint8Array[],
    headers?: http2.OutgoingHttpHeaders,
  ): Promise<RawAnswer> {
    const stream = this.open(path, headers);
    const answer = collect(stream);
    for (const piece of Array.isArray(body) ? body : [body]) stream.write(piece);
    stream.end();
    return answer;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => {
      if (this.session.destroyed) resolve();
      else this.session.once("close", () => resolve()).destroy();
    });
  }
}

/** Reads a stream to its end. */
export function collect(stream: http2.ClientHttp2Stream): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const headers: Record<string, string> = {};
    const trailers: Record<string, string> = {};
    const chunks: Buffer[] = [];
    const into = (target: Record<string, string>) => (from: http2.IncomingHttpHeaders) => {
      for (const [name, value] of Object.entries(from)) target[name] = String(value);
    };
    stream.on("response", into(headers));
    stream.on("trailers", into(trailers));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    const done = () => resolve({ headers, trailers, body: Buffer.concat(chunks), rstCode: stream.rstCode ?? 0 });
    // On Deno a stream whose request body is not wanted to the end never closes.
    stream.on("end", () => {
      if ("grpc-status" in headers || "grpc-status" in trailers) done();
    });
    stream.on("close", done);
  });
}

/** A TCP connection that collects what comes. */
export class RawSocket implements AsyncDisposable {
  readonly socket: net.Socket;
  readonly closed: Promise<void>;
  received: Buffer = Buffer.alloc(0);
  #wake = () => {};

  constructor(port: number) {
    this.socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.once("close", () => this.#wake());
    this.socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#wake();
    });
  }

  get connected(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.readyState === "open") resolve();
      else this.socket.once("connect", () => resolve());
    });
  }

  /** Resolves when what was received contains the text, or rejects when the connection ends before. */
  async until(text: string): Promise<void> {
    while (!this.received.includes(text)) {
      if (this.socket.destroyed) throw new Error(`Closed before "${text}"; received: ${this.received}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }
}

/** One frame of HTTP/2, made by hand. */
export function h2Frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.alloc(9 + payload.length);
  frame.writeUIntBE(payload.length, 0, 3);
  frame[3] = type;
  frame[4] = flags;
  frame.writeUInt32BE(streamId, 5);
  frame.set(payload, 9);
  return frame;
}

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
