import { constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { connect as connectTcp, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import { NodeError, type TargetAddress } from "../../core/mod.ts";
import type { Clock } from "../../core/mod.ts";
import { openSession } from "../../http2/mod.ts";
import { nobodyListens } from "./failures.ts";
import { resetUnended } from "./http2-reset.ts";
import { asUnreachable, type PeerRules } from "./public-address.ts";
import { explainTls } from "./tls-failure.ts";

/** How connections to peers behave. Times are in milliseconds. */
export interface SessionOptions {
  /** For the TCP (and TLS) connection and the peer's first HTTP/2 frame together. */
  readonly connectTimeoutMs: number;
  /** A connection without a call for this long is closed. */
  readonly idleTimeoutMs: number;
  /**
   * Silence on a connection with open calls after which it is pinged. Further pings of one silence come at doubled
   * distances up to {@link SPARSE_PING_MS}.
   */
  readonly pingIntervalMs: number;
  /** A ping unanswered for this long means that the connection is lost. */
  readonly pingTimeoutMs: number;
  /** The wait after the first failed connection; it doubles with each further one. */
  readonly backoffMs: number;
  /** The longest such wait. */
  readonly maxBackoffMs: number;
  /** For targets that are dialled with TLS: whom to trust beside those that the runtime trusts. ALPN is set here. */
  readonly tls?: ConnectionOptions;
  /** Where connections may lead; anywhere by default. */
  readonly rules?: PeerRules;
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/**
 * gRPC servers by default hold more than two pings that come closer than 5 minutes against a client and close the connection
 * (grpc/proposal A8). Doubling 30 s thrice and then staying above 5 minutes keeps within that.
 */
export const SPARSE_PING_MS = 310_000;

// Measured at 20 ms round trip: 70-95 MiB/s instead of the 2 that the protocol's default of 64 KiB allows.
const STREAM_WINDOW_BYTES = 4 << 20;
const CONNECTION_WINDOW_BYTES = 16 << 20;
// A client has 2^30 stream ids; a connection is replaced long before they run out.
const STREAMS_PER_CONNECTION = 1 << 28;
const TCP_KEEP_ALIVE_MS = 15_000;
const LINGER_MS = 1_000;

/** A stream of one call, with the connection that it is on. */
export interface PeerStream extends ClientHttp2Stream {
  connection: Connection;
  /** What its request counts of the connection's {@link Connection.largeBytes}. */
  largeBytes: number;
}

/**
 * One HTTP/2 connection. It keeps what is known of its fate, since a stream learns only that it was closed: on Node a dropped
 * connection looks to its streams like a peer's RST_STREAM(CANCEL).
 */
export class Connection {
  readonly session: ClientHttp2Session;
  openStreams = 0;
  /** Bytes of the large requests of its open streams. */
  largeBytes = 0;
  /** Set by whoever reads something of a stream; cleared by the keep-alive. */
  heard = false;
  readonly #address: TargetAddress;
  readonly #socket: Socket;
  readonly #options: SessionOptions;
  readonly #tick: ReturnType<typeof setInterval>;
  readonly #handshake: ReturnType<typeof setTimeout>;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #pingTimer: ReturnType<typeof setTimeout> | undefined;
  #connected = false;
  #established = false;
  #failure: NodeError | undefined;
  #retired = false;
  #issued = 0;
  #silentMs = 0;
  #pingAfterMs: number;
  #idleSince: number;

  constructor(address: TargetAddress, options: SessionOptions, onEstablished: () => void, onClosed: () => void) {
    this.#address = address;
    this.#options = options;
    this.#pingAfterMs = options.pingIntervalMs;
    this.#idleSince = options.clock.now();
    const socket = this.#socket = dial(address, options);
    // The streams hear of a failed connection before the session tells why, so the socket is asked.
    socket.once("error", (error) => this.#failure ??= this.#explain(error));
    this.session = openSession(`${address.tls ? "https" : "http"}://${address.authority}`, socket, {
      streamWindowBytes: STREAM_WINDOW_BYTES,
      connectionWindowBytes: CONNECTION_WINDOW_BYTES,
    });
    this.session.once("connect", () => this.#connected = true);
    this.session.once("remoteSettings", () => {
      this.#established = true;
      clearTimeout(this.#handshake);
      onEstablished();
    });
    this.session.on("goaway", (code: number) => {
      if (code !== constants.NGHTTP2_NO_ERROR) this.#failure ??= this.#dismissed(code);
      this.retire();
    });
    this.session.on("error", (error) => this.#failure ??= this.#explain(error));
    this.session.once("close", () => {
      clearInterval(this.#tick);
      clearTimeout(this.#handshake);
      clearTimeout(this.#pingTimer);
      clearTimeout(this.#linger);
      onClosed();
    });
    this.#handshake = setTimeout(() => this.#abandon(this.#handshakeFailure()), options.connectTimeoutMs);
    this.#handshake.unref();
    const tickMs = Math.max(1, Math.floor(Math.min(options.pingIntervalMs, options.idleTimeoutMs) / 4));
    this.#tick = setInterval(() => this.#check(tickMs), tickMs);
    this.#tick.unref();
  }

  /** Whether new streams may be opened on it. */
  get usable(): boolean {
    return !this.#retired && !this.session.closed && !this.session.destroyed;
  }

  /** Whether the peer has answered as an HTTP/2 server. */
  get established(): boolean {
    return this.#established;
  }

  get closed(): boolean {
    return this.session.destroyed;
  }

  /** Since when no call is open, in milliseconds since the epoch; the time of opening before the first. */
  get idleSince(): number {
    return this.#idleSince;
  }

  /** Opens a stream. Throws for headers that cannot be sent, and on a connection that takes no more. */
  request(headers: OutgoingHttpHeaders, largeBytes: number): PeerStream {
    const stream = this.session.request(headers) as PeerStream;
    stream.connection = this;
    stream.largeBytes = largeBytes;
    resetUnended(stream);
    this.largeBytes += largeBytes;
    this.openStreams++;
    if (++this.#issued >= STREAMS_PER_CONNECTION) this.retire();
    stream.once("close", onStreamClose);
    return stream;
  }

  /** Takes no further streams and closes once the open ones have ended. */
  retire(): void {
    this.#retired = true;
    if (!this.session.destroyed) this.session.close();
    this.#leave();
  }

  /** Ends the connection and every stream on it with this error. */
  abandon(failure: NodeError): void {
    this.#abandon(failure);
  }

  /** Why the connection ended, for a stream that ended with it; `error` is what the stream itself was told, if anything. */
  failure(error?: Error): NodeError {
    if (this.#failure === undefined && (error as { code?: unknown })?.code === "ERR_HTTP2_ERROR") {
      return this.#explain(error!);
    }
    return this.#failure ?? new NodeError(
      "target_unreachable",
      `The connection to ${this.#address.name} was lost before the answer came; ${this.#whyLost()}`,
      { data: { target: this.#address.name } },
    );
  }

  /** Called for each closed stream. */
  streamClosed({ largeBytes }: PeerStream): void {
    this.largeBytes -= largeBytes;
    this.openStreams--;
    if (this.openStreams > 0) return;
    this.#idleSince = this.#options.clock.now();
    this.#leave();
  }

  /** A session that closes by itself waits for the peer to close the socket too, which a peer may never do. */
  #leave(): void {
    if (!this.#retired || this.openStreams > 0 || this.#linger !== undefined) return;
    this.#linger = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#linger.unref();
  }

  #abandon(failure: NodeError): void {
    this.#failure ??= failure;
    this.#retired = true;
    if (!this.session.destroyed) this.session.destroy(failure);
    else this.#socket.destroy();
  }

  #check(tickMs: number): void {
    const { idleTimeoutMs, clock } = this.#options;
    if (this.openStreams === 0) {
      if (clock.now() - this.#idleSince >= idleTimeoutMs) this.retire();
      return;
    }
    if (this.heard) {
      this.heard = false;
      this.#silentMs = 0;
      this.#pingAfterMs = this.#options.pingIntervalMs;
      return;
    }
    this.#silentMs += tickMs;
    if (this.#silentMs < this.#pingAfterMs || this.#pingTimer !== undefined || !this.#established) return;
    this.#silentMs = 0;
    this.#pingAfterMs = Math.max(this.#options.pingIntervalMs, nextPing(this.#pingAfterMs));
    this.#ping();
  }

  #ping(): void {
    const { pingTimeoutMs } = this.#options;
    this.#pingTimer = setTimeout(() => {
      const { name } = this.#address;
      this.#abandon(
        new NodeError(
          "target_unreachable",
          `${name} did not answer a ping within ${pingTimeoutMs} ms; its host may be gone`,
          {
            data: { target: name },
          },
        ),
      );
    }, pingTimeoutMs);
    this.#pingTimer.unref();
    this.session.ping((error) => {
      if (error) return; // the session is closing, and says why itself
      clearTimeout(this.#pingTimer);
      this.#pingTimer = undefined;
    });
  }

  #handshakeFailure(): NodeError {
    const { name } = this.#address;
    const { connectTimeoutMs } = this.#options;
    return this.#connected
      ? new NodeError(
        "target_misbehaved",
        `${name} accepted the connection but did not speak HTTP/2 within ${connectTimeoutMs} ms; check that the target is a node's RPC port`,
        { data: { target: name } },
      )
      : new NodeError(
        "target_unreachable",
        `No connection to ${name} within ${connectTimeoutMs} ms; check the address and any firewall between`,
        { data: { target: name } },
      );
  }

  #dismissed(goawayCode: number): NodeError {
    const { name } = this.#address;
    const calm = goawayCode === constants.NGHTTP2_ENHANCE_YOUR_CALM;
    return new NodeError(
      calm ? "overloaded" : "target_misbehaved",
      `${name} ended the connection with the HTTP/2 code ${goawayCode}${calm ? ": it asks for fewer calls" : ""}`,
      { data: { target: name, goawayCode } },
    );
  }

  #explain(error: Error & { code?: string }): NodeError {
    const { name } = this.#address;
    if (error instanceof NodeError) return asUnreachable(error, name);
    const code = error.code ?? error.message;
    const options = { data: { target: name }, cause: error };
    if (!this.#connected) {
      const refusal = this.#address.tls ? explainTls(error, name) : undefined;
      if (refusal !== undefined) return refusal;
      if (code === "ECONNREFUSED") return nobodyListens(name, error);
      return new NodeError(
        "target_unreachable",
        `No connection to ${name} (${code}); check that a node listens there${this.#address.tls ? ", with TLS" : ""}`,
        options,
      );
    }
    if (code.startsWith("ERR_HTTP2")) {
      return new NodeError(
        "target_misbehaved",
        `${name} does not speak HTTP/2 (${code}: ${error.message}); check that the target is a node's RPC port`,
        options,
      );
    }
    return new NodeError(
      "target_unreachable",
      `The connection to ${name} was lost (${code}); ${this.#whyLost()}`,
      options,
    );
  }

  #whyLost(): string {
    const { name, tls } = this.#address;
    return this.#established || tls
      ? "the peer may have stopped"
      : `the peer may have stopped, or speak TLS: https://${name}`;
  }
}

function onStreamClose(this: ClientHttp2Stream): void {
  const stream = this as PeerStream;
  stream.connection.streamClosed(stream);
}

function nextPing(previousMs: number): number {
  return previousMs >= 120_000 ? SPARSE_PING_MS : previousMs * 2;
}

function dial(address: TargetAddress, { tls, rules }: SessionOptions) {
  const { host, port, name: target } = address;
  const checked = rules?.applyTo(target) === true ? { lookup: rules.outbound.lookup } : {};
  const socket = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS, ...checked };
  if (!address.tls) return connectTcp(socket);
  // A certificate is checked against the host either way; the name in the handshake may be no address (RFC 6066 §3).
  const name = isIP(host) === 0 ? { servername: host } : {};
  return connectTls({ ...name, ...tls, ...socket, ALPNProtocols: ["h2"] });
}
