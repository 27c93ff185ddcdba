import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import { ClientSession, type ClientSettings } from "../../src/http2/client-session.ts";
import type { ClientStream } from "../../src/http2/client-stream.ts";
import { ServerSession, type ServerSettings } from "../../src/http2/server-session.ts";
import type { ServerStream } from "../../src/http2/server-stream.ts";
import type { TestScope } from "../testing.ts";

/** What the servers of these tests announce where a test does not say otherwise. */
export const SETTINGS: ServerSettings = {
  streamWindowBytes: 1 << 18, // 256 KiB
  connectionWindowBytes: 1 << 20, // 1 MiB
  maxConcurrentStreams: 100,
  maxHeaderBytes: 16 << 10, // 16 KiB
  maxUnsentBytes: 1 << 18, // 256 KiB
};

export type OnStream = (stream: ServerStream, headers: http2.IncomingHttpHeaders, ends: number) => void;

/** A port of the loopback that serves each connection by a {@link ServerSession}. */
export async function serveSessions(t: TestScope, onStream: OnStream, settings: Partial<ServerSettings> = {}) {
  const sessions: ServerSession[] = [];
  const sockets: net.Socket[] = [];
  const errors: Error[] = [];
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on("error", ignore);
    sockets.push(socket);
    const session = new ServerSession(socket, { ...SETTINGS, ...settings });
    sessions.push(session);
    session.on("error", (error: Error) => errors.push(error));
    session.on("stream", (stream: ServerStream, headers: http2.IncomingHttpHeaders, ends: number) => {
      stream.on("error", ignore);
      onStream(stream, headers, ends);
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(async () => {
    for (const session of sessions) session.destroy();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, sessions, sockets, errors };
}

/** A connection of node:http2 to that port. */
export async function connectNode(t: TestScope, port: number, options: http2.ClientSessionOptions = {}) {
  const session = http2.connect(`http://127.0.0.1:${port}`, options);
  session.on("error", ignore);
  t.after(() => session.destroy());
  await once(session, "connect");
  return session;
}

export type OnNodeStream = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

/** A port of the loopback that node:http2 serves. */
export async function serveNode(t: TestScope, onStream: OnNodeStream, settings: http2.Settings = {}) {
  const sessions: http2.ServerHttp2Session[] = [];
  const sockets: net.Socket[] = [];
  const server = http2.createServer({ settings });
  server.on("connection", (socket: net.Socket) => sockets.push(socket));
  server.on("session", (session) => {
    sessions.push(session);
    session.on("error", ignore);
  });
  server.on("sessionError", ignore);
  server.on("stream", (stream, headers) => {
    stream.on("error", ignore);
    onStream(stream, headers);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(async () => {
    for (const session of sessions) session.destroy();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, sessions, sockets };
}

/** A {@link ClientSession} to a port of the loopback, which may not be there yet. */
export function openClient(t: TestScope, port: number, settings: Partial<ClientSettings> = {}) {
  const { streamWindowBytes, connectionWindowBytes } = SETTINGS;
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  const session = new ClientSession(new URL(`http://127.0.0.1:${port}`), socket, {
    streamWindowBytes,
    connectionWindowBytes,
    ...settings,
  });
  session.on("error", ignore);
  t.after(() => {
    session.destroy();
    socket.destroy();
  });
  return session;
}

/** What a caller sees of a request until it is closed. */
export interface Answer {
  readonly status: unknown;
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders | undefined;
  readonly body: Buffer;
  readonly rstCode: number;
  readonly error: NodeJS.ErrnoException | undefined;
}

/** Reads all there is of the answer to a request. */
export async function answerOf(stream: http2.ClientHttp2Stream | ClientStream): Promise<Answer> {
  let headers: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders | undefined;
  let error: NodeJS.ErrnoException | undefined;
  const chunks: Buffer[] = [];
  const duplex = stream as ClientStream;
  duplex.on("response", (given: http2.IncomingHttpHeaders) => headers = given);
  duplex.on("trailers", (given: http2.IncomingHttpHeaders) => trailers = given);
  duplex.on("data", (chunk: Buffer) => chunks.push(Buffer.from(chunk)));
  duplex.on("error", (given) => error = given);
  await new Promise((resolve) => duplex.on("close", resolve));
  const { rstCode } = duplex;
  return { status: headers[":status"], headers, trailers, body: Buffer.concat(chunks), rstCode, error };
}

/** Bytes of which no two parts are the same. */
export function someBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = length + 1; i < length; i++) {
    x = Math.imul(x, 1664525) + 1013904223 | 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

export function hashOf(...chunks: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

/** How long a test waits for what must come, in milliseconds. */
const MOST_WAIT_MS = 20_000;

/** Waits until something is so. Throws when it never is. */
export async function until(isSo: () => boolean, what = "what was waited for"): Promise<void> {
  const end = performance.now() + MOST_WAIT_MS;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`${what} never came`);
    await wait(5);
  }
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until something has stayed the same for a while, and returns it. */
export async function settled(value: () => number): Promise<number> {
  for (let last = value(), same = 0; same < 20;) {
    await wait(10);
    same = value() === last ? same + 1 : 0;
    last = value();
  }
  return value();
}

export function ignore(): void {}
