import { Buffer } from "node:buffer";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { closeServer, isDeno, type Log, NodeError } from "../core/mod.ts";
import { acceptSession } from "../http2/mod.ts";
import type { Handler } from "./connect-handler.ts";
import type { FastPath } from "./fast-path.ts";
import { headerBytes, refuseHeaders } from "./header-limit.ts";
import type { ConnectionCount } from "./connection-count.ts";
import { IdleWatch } from "./idle-watch.ts";

/** Bounds of a listening server. */
export interface ListenerLimits {
  /** Streams that one HTTP/2 connection may have open. */
  readonly maxConcurrentStreams: number;
  /** The largest set of request headers, in bytes. */
  readonly maxHeaderBytes: number;
  /** How long a connection may be silent, in milliseconds. */
  readonly idleTimeoutMs: number;
  /** How long a request, or the first bytes of a connection, may take to arrive, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** What answers may have waiting in one HTTP/2 connection for the system to take it, in bytes. */
  readonly maxUnreadBytes: number;
}

export interface ListenerOptions {
  readonly limits: ListenerLimits;
  readonly log: Log;
  /** Certificate chain and key in PEM; without them the server speaks plaintext. */
  readonly tls: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array } | undefined;
  readonly fastPath: FastPath;
  readonly handler: Handler;
  /** Connections beyond what it admits are closed at once. */
  readonly connections: ConnectionCount;
  /** Whether other listeners may have the same port, so that the system shares the connections out among them. */
  readonly sharesPort?: boolean;
  /** Takes connections of HTTP/1.1 in place of a server; what came of them is put back. */
  readonly http1?: (socket: net.Socket) => void;
}

/** Flow-control windows: large enough to keep a 1 Gbit/s link of 20 ms busy. */
export const STREAM_WINDOW_BYTES = 1 << 22; // 4 MiB
export const CONNECTION_WINDOW_BYTES = 1 << 24; // 16 MiB

/** What every HTTP/2 connection begins with (RFC 9113 §3.4); its first three bytes tell it from all methods of HTTP/1.1. */
const PREFACE = Buffer.from("PRI");

/** The longest wait for first bytes and TLS handshakes, in milliseconds. */
const MAX_GREETING_MS = 10_000;

/** How often HTTP/1.1 requests are held against their limits of time, in milliseconds. */
const MAX_CHECK_INTERVAL_MS = 5000;

interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Ports that speak HTTP/2 and HTTP/1.1 both. In TLS the handshake says which; in plaintext the first bytes of the connection do.
 * The socket then goes to one of two servers that do not listen themselves.
 *
 * On Deno an HTTP/1.1 server breaks when it is handed a socket (after one answer it never reads again), so there its connections are
 * piped to a server on a loopback port of its own. HTTP/2 is handed over on both.
 */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #h1: http.Server;
  readonly #h2: http2.Http2Server;
  readonly #ports = new Set<net.Server>();
  readonly #sockets = new Set<net.Socket>();
  /** Open sessions with the number of their open streams. */
  readonly #sessions = new Map<http2.ServerHttp2Session, number>();
  readonly #idle: IdleWatch;
  #loopback: Promise<number> | undefined;
  #closing = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#h1 = this.#createHttp1();
    this.#h2 = this.#createHttp2();
    this.#idle = new IdleWatch(options.limits.idleTimeoutMs, (session) => this.#onIdle(session));
  }

  /** Serves another certificate to connections from now on; does nothing on a server without TLS. */
  setTls({ cert, key }: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array }): void {
    for (const port of this.#ports) {
      if (port instanceof tls.Server) port.setSecureContext({ cert: Buffer.from(cert), key: Buffer.from(key) });
    }
  }

  /** Opens a port, or a Unix socket, whose path is then the answer's host. Throws `address_in_use`, or `invalid_argument` for an address that this machine does not have. */
  async listen(place: Address | { readonly path: string }): Promise<Address> {
    const { host, port } = "path" in place ? { host: place.path, port: 0 } : place;
    const { tls: keys, limits } = this.#options;
    const waitMs = greetingMs(limits);
    const server = keys === undefined ? net.createServer({ noDelay: true }) : tls.createServer({
      cert: keys.cert as string,
      key: keys.key as string,
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: waitMs,
      noDelay: true,
    });
    if (keys === undefined) {
      server.on("connection", (socket: net.Socket) => this.#track(socket) && this.#sniff(socket, waitMs));
    } else {
      server.on("connection", (socket: net.Socket) => this.#track(socket));
      server.on("secureConnection", (socket: tls.TLSSocket) => {
        socket.on("error", ignore);
        if (socket.alpnProtocol === "h2") this.#adoptHttp2(socket);
        else if (socket.alpnProtocol === "http/1.1") this.#adoptHttp1(socket);
        else this.#sniff(socket, waitMs);
      });
      server.on("tlsClientError", (_error: Error, socket: net.Socket) => socket.destroy());
    }
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => reject(listenError({ host, port }, cause)));
      server.listen(
        "path" in place ? { path: place.path } : { host, port, reusePort: this.#options.sharesPort === true },
        () => {
          server.removeAllListeners("error");
          // Errors of a listening socket (no file descriptors left) are the moment's; the port stays open.
          server.on("error", (error) => this.#options.log.warn("The RPC port has a problem", { host, port, error }));
          resolve();
        },
      );
    });
    this.#ports.add(server);
    const address = server.address() as net.AddressInfo;
    return "path" in place ? { host, port } : { host: address.address, port: address.port };
  }

  /** Serves a connection that somebody else has accepted and counted, in plaintext. */
  adopt(socket: net.Socket): void {
    this.#keep(socket);
    if (this.#closing) socket.destroy();
    else this.#sniff(socket, greetingMs(this.#options.limits));
  }

  /** Closes the ports and asks clients to leave: GOAWAY on HTTP/2, `Connection: close` on HTTP/1.1. Calls go on. */
  drain(): void {
    this.#closing = true;
    for (const port of this.#ports) port.close(ignore);
    for (const session of this.#sessions.keys()) closeQuietly(session);
    this.#h1.closeIdleConnections?.();
  }

  /** Resolves when every connection is gone, or after the time: what was answered last may still be on its way out. */
  async flushed(limitMs: number): Promise<void> {
    const until = performance.now() + limitMs;
    while (this.#sockets.size + this.#options.connections.total > 0 && performance.now() < until) {
      this.#h1.closeIdleConnections?.();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Ends every connection, whatever it does, and resolves when the ports are closed. */
  async destroy(): Promise<void> {
    this.#closing = true;
    const closed = [...this.#ports].filter((port) => port.listening).map(closeServer);
    this.#ports.clear();
    for (const session of this.#sessions.keys()) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#loopback !== undefined) {
      await this.#loopback.catch(ignore);
      closed.push(closeServer(this.#h1));
    }
    this.#h1.closeAllConnections?.();
    await Promise.all(closed);
  }

  #track(socket: net.Socket): boolean {
    const { connections } = this.#options;
    if (this.#closing || !connections.enter()) {
      socket.on("error", ignore);
      socket.destroy();
      return false;
    }
    this.#keep(socket);
    socket.on("close", () => connections.leave());
    return true;
  }

  #keep(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on("error", ignore);
    socket.on("close", () => this.#sockets.delete(socket));
  }

  /** Waits for enough bytes to know the protocol, and hands the socket on with all it has read put back. */
  #sniff(socket: net.Socket, limitMs: number): void {
    let head: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), limitMs);
    const forget = () => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("close", forget);
      socket.off("end", onEnd);
    };
    const onEnd = () => {
      forget();
      socket.destroy();
    };
    const onData = (chunk: Buffer) => {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      const known = Math.min(head.length, PREFACE.length);
      const isHttp2 = head.compare(PREFACE, 0, known, 0, known) === 0;
      if (isHttp2 && known < PREFACE.length) return;
      forget();
      socket.pause();
      socket.unshift(head);
      if (isHttp2) this.#adoptHttp2(socket);
      else this.#adoptHttp1(socket);
    };
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("close", forget);
  }

  #adoptHttp2(socket: net.Socket): void {
    const { maxConcurrentStreams, maxHeaderBytes, maxUnreadBytes } = this.#options.limits;
    acceptSession(this.#h2, socket, {
      maxConcurrentStreams,
      maxHeaderBytes,
      streamWindowBytes: STREAM_WINDOW_BYTES,
      connectionWindowBytes: CONNECTION_WINDOW_BYTES,
      maxUnsentBytes: maxUnreadBytes,
    });
  }

  #adoptHttp1(socket: net.Socket): void {
    const { http1 } = this.#options;
    if (http1 !== undefined) {
      http1(socket);
    } else if (isDeno) {
      void this.#pipeHttp1(socket);
    } else {
      this.#h1.emit("connection", socket);
      socket.resume();
    }
  }

  async #pipeHttp1(socket: net.Socket): Promise<void> {
    this.#loopback ??= new Promise((resolve, reject) => {
      this.#h1.once("error", reject);
      this.#h1.listen(0, "127.0.0.1", () => resolve((this.#h1.address() as net.AddressInfo).port));
    });
    try {
      const port = await this.#loopback;
      if (socket.destroyed) return;
      const inner = net.connect({ host: "127.0.0.1", port, noDelay: true });
      inner.on("error", () => socket.destroy());
      inner.on("close", () => socket.destroy());
      socket.on("close", () => inner.destroy());
      socket.pipe(inner);
      inner.pipe(socket);
    } catch (error) {
      this.#options.log.error("HTTP/1.1 cannot be served: no loopback port to hand connections to", { error });
      socket.destroy();
    }
  }

  #createHttp1(): http.Server {
    const { limits, handler } = this.#options;
    const server = http.createServer({
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: greetingMs(limits),
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.idleTimeoutMs,
      connectionsCheckingInterval: Math.min(limits.requestTimeoutMs, MAX_CHECK_INTERVAL_MS),
    }, (request, response) => {
      if (this.#closing) response.setHeader("connection", "close");
      handler(request, response);
    });
    server.on("clientError", (_error, socket) => socket.destroy());
    // A server that gets its connections from elsewhere never listens, and would never check how old its requests are.
    if (!isDeno) server.emit("listening");
    return server;
  }

  #createHttp2(): http2.Http2Server {
    const { limits, fastPath, handler } = this.#options;
    // It has no connections, and makes requests and answers of streams.
    const server = http2.createServer(
      ((request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
        // What node:http2 has there finds its socket in a session of its own.
        Object.defineProperty(request, "socket", { value: request.stream.session!.socket });
        handler(request, response as never);
      }) as Parameters<typeof http2.createServer>[0],
    );
    // The listener that makes requests of streams was added for the handler. It is called for what the fast path does not take.
    const [compat] = server.listeners("stream") as [(...args: unknown[]) => void];
    server.removeAllListeners("stream");
    // Types know three arguments; the fourth is the list of names and values as they came.
    const onStream = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, ...rest: unknown[]) => {
      if (headerBytes(rest[1] as string[]) > limits.maxHeaderBytes) {
        refuseHeaders(stream, headers, limits.maxHeaderBytes);
      } else if (!fastPath(stream, headers)) compat.call(server, stream, headers, ...rest);
    };
    server.on("stream", onStream);
    server.on("session", (session) => this.#greet(session));
    server.on("sessionError", ignore);
    return server;
  }

  #greet(session: http2.ServerHttp2Session): void {
    this.#sessions.set(session, 0);
    this.#idle.add(session);
    session.on("error", ignore);
    session.on("close", () => {
      this.#sessions.delete(session);
      this.#idle.remove(session);
    });
    session.on("stream", (stream) => {
      this.#count(session, 1);
      stream.on("close", () => this.#count(session, -1));
    });
    if (this.#closing) closeQuietly(session);
  }

  /** Counts the open streams of a session. */
  #count(session: http2.ServerHttp2Session, change: 1 | -1): void {
    const open = this.#sessions.get(session);
    if (open !== undefined) this.#sessions.set(session, open + change);
  }

  /** A silent session is closed when nothing is asked of it; otherwise a ping tells whether the peer still lives. */
  #onIdle(session: http2.ServerHttp2Session): void {
    if (this.#sessions.get(session) === 0) {
      closeQuietly(session);
      return;
    }
    const dead = setTimeout(() => session.destroy(), MAX_GREETING_MS);
    dead.unref?.();
    session.ping(() => clearTimeout(dead));
  }
}

function ignore(): void {}

/** How long the first bytes of a connection may take, in milliseconds. */
export function greetingMs({ requestTimeoutMs }: Pick<ListenerLimits, "requestTimeoutMs">): number {
  return Math.min(requestTimeoutMs, MAX_GREETING_MS);
}

/** Sends GOAWAY and lets the open streams end. */
function closeQuietly(session: http2.ServerHttp2Session): void {
  if (!session.closed && !session.destroyed) session.close();
}

/** The error to throw for one of `listen`. */
export function listenError(
  { host, port }: Address,
  cause: Pick<NodeJS.ErrnoException, "code" | "message">,
): NodeError {
  if (cause.code === "EADDRINUSE") {
    return new NodeError(
      "address_in_use",
      `Cannot listen on ${host}:${port}: another program has the port. Stop it, or choose another port`,
      { cause, data: { host, port } },
    );
  }
  return new NodeError("invalid_argument", `Cannot listen on ${host}:${port}: ${cause.message}`, {
    cause,
    data: { host, port },
  });
}
