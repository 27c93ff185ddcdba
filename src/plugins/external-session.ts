import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { Socket } from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import type { TargetAddress } from "../core/mod.ts";
import { openSession } from "../http2/mod.ts";

// At 20 ms round trip the protocol's default of 64 KiB would allow 3 MiB/s.
const STREAM_WINDOW_BYTES = 4 << 20;
const CONNECTION_WINDOW_BYTES = 16 << 20;
const TCP_KEEP_ALIVE_MS = 15_000;

/** Where a plugin listens: on a port, or on a Unix socket. */
export type ExternalPlace = TargetAddress | { readonly path: string };

/**
 * The HTTP/2 connection to one plugin, opened by the first call and again after it was lost. Connect's own manager lets go of a
 * session's `error` event while it is being ended, and a server that is no HTTP/2 server then ends the process; here the listener
 * stays for the session's life. No HTTP/2 pings are sent: gRPC servers close connections for them, and a plugin is asked for its
 * health anyway.
 */
export class ExternalSession {
  readonly authority: string;
  readonly #place: ExternalPlace;
  readonly #connectTimeoutMs: number;
  #session: ClientHttp2Session | undefined;
  #established: Promise<void> | undefined;
  /** The session once the peer has spoken HTTP/2 on it. */
  #settled: ClientHttp2Session | undefined;

  constructor(place: ExternalPlace, connectTimeoutMs: number) {
    this.#place = place;
    this.#connectTimeoutMs = connectTimeoutMs;
    this.authority = "path" in place ? "http://localhost" : new URL(`http://${place.name}`).origin;
  }

  /** Opens a stream. Rejects with `Unavailable` when no connection can be made. */
  async request(method: string, path: string, headers: OutgoingHttpHeaders): Promise<ClientHttp2Stream> {
    const session = await this.open();
    const stream = session.request({ ...headers, ":method": method, ":path": path });
    let answered = false;
    // Connect listens a little later; a stream that is destroyed before that would end the process.
    stream.on("error", () => {});
    stream.once("trailers", () => answered = true);
    // A lost connection looks like a canceled stream on Node and like an orderly end on Deno, where Connect would wait for ever.
    stream.once("close", () => {
      if (answered || !session.destroyed) return;
      stream.emit("error", new ConnectError("the connection was lost in the middle of the call", Code.Unavailable));
    });
    return stream;
  }

  notifyResponseByteRead(): void {
    // Nothing is measured by it.
  }

  /** Resolves when the peer speaks HTTP/2 on the connection. Rejects as request() does. */
  async connect(): Promise<void> {
    await this.open();
  }

  /** The connection, when there is one that takes calls. */
  get current(): ClientHttp2Session | undefined {
    const session = this.#settled;
    return session === undefined || session.closed || session.destroyed ? undefined : session;
  }

  /** The connection, opened when there is none. Rejects as request() does. */
  async open(): Promise<ClientHttp2Session> {
    const known = this.#session;
    const session = known === undefined || known.closed || known.destroyed ? this.#connect() : known;
    await this.#established;
    return session;
  }

  /** Ends the connection and every call on it. A later call opens another. */
  close(): void {
    this.#session?.destroy();
    this.#session = undefined;
    this.#settled = undefined;
  }

  #connect(): ClientHttp2Session {
    const place = this.#place;
    const session = openSession(this.authority, dial(place), {
      streamWindowBytes: STREAM_WINDOW_BYTES,
      connectionWindowBytes: CONNECTION_WINDOW_BYTES,
    });
    this.#session = session;
    const established = new Promise<void>((resolve, reject) => {
      let failure: Error | undefined;
      const timer = setTimeout(() => {
        failure = new Error(`it did not speak HTTP/2 within ${this.#connectTimeoutMs} ms`);
        session.destroy();
      }, this.#connectTimeoutMs);
      timer.unref();
      session.on("error", (error) => failure ??= error);
      session.once("remoteSettings", () => {
        clearTimeout(timer);
        if (this.#session === session) this.#settled = session;
        resolve();
      });
      session.once("close", () => {
        clearTimeout(timer);
        if (this.#session === session) this.#session = undefined;
        const why = failure?.message ?? "it closed the connection";
        reject(
          new ConnectError(
            `cannot connect to ${"path" in place ? "the plugin's socket" : place.name}: ${why}`,
            Code.Unavailable,
            undefined,
            undefined,
            failure,
          ),
        );
      });
    });
    // Whoever waits for it sees the failure; when nobody does, it is no unhandled rejection.
    established.catch(() => {});
    this.#established = established;
    return session;
  }
}

function dial(place: ExternalPlace): Socket {
  return "path" in place ? connectSocket({ path: place.path }) : connectSocket({
    host: place.host,
    port: place.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
  });
}
