import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import { closeServer, NodeError } from "../core/mod.ts";
import type { Log } from "../core/mod.ts";
import { deferContinue } from "./body.ts";
import type { RestEnv } from "./context.ts";
import type { RestLimits } from "./options.ts";
import { problemHeaders, problemOf, withStatus } from "./problem.ts";
import type { RestFastPath } from "./task-fast-path.ts";

export interface RestServerOptions {
  readonly app: Hono<RestEnv>;
  /** Is asked first; what it does not answer the application does. */
  readonly fastPath?: RestFastPath;
  /** A name or address to listen at. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly limits: RestLimits;
  readonly log: Log;
  /** Certificate chain and key in PEM. With them the port speaks TLS only. */
  readonly tls?: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array };
}

export interface RestAddress {
  readonly host: string;
  readonly port: number;
}

/** The HTTP listener of the REST application. */
export interface RestServer {
  /** Begins to accept. Throws `address_in_use`, or `config_invalid` when the address cannot be listened at. */
  listen(): Promise<RestAddress>;
  /** Serves another certificate to connections from now on; only for a listener that was made with one. */
  setTls(tls: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array }): void;
  /**
   * Stops accepting, lets what runs end within `drainMs` milliseconds, then cuts what is left. Returns when every
   * connection is closed.
   */
  close(options?: { readonly drainMs?: number }): Promise<void>;
}

/** How often Node looks for connections whose request head is late, in milliseconds. */
const CHECK_INTERVAL_MS = 1000;

/** Makes the listener; nothing is opened before `listen()`. */
export function createRestServer({ app, fastPath, host, port, limits, log, tls }: RestServerOptions): RestServer {
  const conversations = new WeakMap<Duplex, Conversation>();
  let draining = false;

  const bounds = {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.requestTimeoutMs,
    // Bodies are timed where they are read (body.ts): there a late one still gets a proper answer.
    requestTimeout: 0,
    keepAliveTimeout: limits.idleTimeoutMs,
    connectionsCheckingInterval: Math.min(CHECK_INTERVAL_MS, limits.requestTimeoutMs),
    noDelay: true,
  };
  const server = tls === undefined ? createServer(bounds) : createTlsServer({
    ...bounds,
    cert: pemOf(tls.cert),
    key: pemOf(tls.key),
    handshakeTimeout: limits.requestTimeoutMs,
  });
  server.maxConnections = limits.maxConnections;
  // A slow answer is timed where it is written (stream.ts); a task may be silent for long.
  server.timeout = 0;

  const answer = getRequestListener(app.fetch, {
    hostname: "localhost",
    // What cannot even be made into a request: a host or a target that is no URL.
    errorHandler: () => rawProblem(badRequest()),
  });

  function onRequest(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming;
    let conversation = conversations.get(socket);
    if (conversation === undefined) conversations.set(socket, conversation = { open: 0, latest: outgoing });
    conversation.open++;
    conversation.latest = outgoing;
    outgoing.once("close", () => {
      conversation.open--;
      // Its connection becomes idle only after this event.
      if (draining) setImmediate(() => server.closeIdleConnections());
    });
    if (draining) outgoing.shouldKeepAlive = false;
    if (fastPath === undefined || !fastPath(incoming, outgoing)) void answer(incoming, outgoing);
  }

  server.on("request", onRequest);
  server.on("checkContinue", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    deferContinue(incoming);
    onRequest(incoming, outgoing);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    // An answer may only go between answers: in the middle of one it would become part of its body.
    const conversation = conversations.get(socket);
    const between = conversation === undefined || conversation.open === 0 ||
      (conversation.open === 1 && !conversation.latest.headersSent);
    // Who failed to speak TLS could not read an answer.
    const unreadable = error.code === "ECONNRESET" || /^ERR_(?:SSL|TLS)_/.test(error.code ?? "");
    if (unreadable || !socket.writable || !between) socket.destroy();
    else socket.end(rawText(errorOf(error, limits)));
  });

  return {
    listen: () =>
      new Promise((resolve, reject) => {
        const onError = (error: NodeJS.ErrnoException) => reject(listenError(error, { host, port }));
        server.once("error", onError);
        server.listen({ host, port }, () => {
          server.off("error", onError);
          server.on("error", (error) => log.error("The REST listener failed", { error }));
          const bound = server.address() as AddressInfo;
          resolve({ host: bound.address, port: bound.port });
        });
      }),
    setTls: ({ cert, key }) => {
      if ("setSecureContext" in server) server.setSecureContext({ cert: pemOf(cert), key: pemOf(key) });
    },
    close: async ({ drainMs = 0 } = {}) => {
      draining = true;
      const timer = setTimeout(() => server.closeAllConnections(), drainMs);
      const closed = closeServer(server);
      server.closeIdleConnections();
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Node wants its own kind of bytes. */
function pemOf(pem: string | Uint8Array): string | Buffer {
  return typeof pem === "string" ? pem : Buffer.from(pem);
}

/** The requests of one connection that have no whole answer yet. */
interface Conversation {
  open: number;
  latest: ServerResponse;
}

function badRequest(): NodeError {
  return new NodeError("invalid_argument", "This is not an HTTP request that can be read; check its Host and target");
}

/** What the parser of HTTP complained of. */
function errorOf({ code }: NodeJS.ErrnoException, { maxHeaderBytes, requestTimeoutMs }: RestLimits): NodeError {
  if (code === "HPE_HEADER_OVERFLOW") {
    return withStatus(
      new NodeError(
        "input_too_large",
        `The request's headers are larger than ${maxHeaderBytes} bytes; send fewer, or raise the node's limit`,
        { data: { limitBytes: maxHeaderBytes } },
      ),
      431,
    );
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return withStatus(
      new NodeError("deadline_exceeded", `The request's headers did not arrive within ${requestTimeoutMs} ms`, {
        retryable: true,
      }),
      408,
    );
  }
  return badRequest();
}

function rawProblem(error: NodeError): Response {
  const problem = problemOf(error);
  return new Response(JSON.stringify(problem), { status: problem.status, headers: problemHeaders(problem) });
}

const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
};

/** A whole answer for a connection that has no request to answer to. */
function rawText(error: NodeError): string {
  const problem = problemOf(error);
  const body = JSON.stringify(problem);
  const headers = {
    ...problemHeaders(problem),
    "Content-Length": String(Buffer.byteLength(body)),
    Connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return `HTTP/1.1 ${problem.status} ${REASONS[problem.status]}\r\n${lines.join("\r\n")}\r\n\r\n${body}`;
}

function listenError(error: NodeJS.ErrnoException, { host, port }: RestAddress): NodeError {
  if (error.code === "EADDRINUSE") {
    return new NodeError(
      "address_in_use",
      `Cannot listen at ${host}:${port}, which is in use by another process: stop it, or choose another port (rest.listen)`,
      { data: { host, port }, cause: error },
    );
  }
  return new NodeError(
    "config_invalid",
    `Cannot listen at ${host}:${port} (${
      error.code ?? error.message
    }); choose an address of this machine (rest.listen)`,
    { data: { host, port }, cause: error },
  );
}
