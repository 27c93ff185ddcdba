import type { OutgoingHttpHeaders } from "node:http2";
import { NodeError, type TargetAddress } from "../../core/mod.ts";
import { Connection, type PeerStream, type SessionOptions } from "./connection.ts";

/** A request of this size or more is a large one. */
const LARGE_BYTES = 64 << 10; // 64 KiB
/** Large requests under way on one connection, together, unless one alone is larger; a stream of unknown length counts as much. */
export const MOST_LARGE_BYTES = 4 << 20; // 4 MiB
/** Connections that large requests of one peer are spread over; beyond them they share. */
const MOST_CONNECTIONS = 8;

/**
 * The connection to one peer, whichever it is at the moment: opened by the first call, replaced when it is lost or the
 * peer sends GOAWAY, closed when idle. After a failed attempt further calls fail at once until a growing, jittered
 * wait is over, so that a peer that is down costs its callers no time.
 *
 * Large requests are spread over several connections. A peer that speaks HTTP/2 by `node:http2` reads nothing while a write of it waits, and what
 * else goes over that connection waits with it. That it ends is this end's doing, which always reads.
 */
export class PeerSession {
  readonly address: TargetAddress;
  readonly #options: SessionOptions;
  readonly #connections = new Set<Connection>();
  #current: Connection | undefined;
  #failedAttempts = 0;
  #retryAt = 0;
  #lastFailure: NodeError | undefined;
  #closedWith: NodeError | undefined;

  constructor(address: TargetAddress, options: SessionOptions) {
    this.address = address;
    this.#options = options;
  }

  /** Open calls, on the present connection and on those that drain. */
  get openStreams(): number {
    let sum = 0;
    for (const connection of this.#connections) sum += connection.openStreams;
    return sum;
  }

  /** When its last call ended, in milliseconds since the epoch; 0 without a connection. */
  get lastUsedAt(): number {
    return this.#current?.idleSince ?? 0;
  }

  /** Lets go of the connection once its calls have ended; a later call opens another. */
  retire(): void {
    for (const connection of this.#connections) connection.retire();
  }

  /** Sockets that are open or being opened. */
  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Opens a stream, on a new connection when there is none to use. Throws `target_unreachable` while the wait after a failed
   * attempt lasts; later failures show as events of the stream. `requestBytes` is what the request will carry.
   */
  request(headers: OutgoingHttpHeaders, requestBytes = 0): PeerStream {
    const largeBytes = requestBytes >= LARGE_BYTES ? requestBytes : 0;
    for (let attempt = 1;; attempt++) {
      const connection = largeBytes > 0 ? this.#spacious(largeBytes) : this.#usable() ?? this.#connect();
      try {
        return connection.request(headers, largeBytes);
      } catch (error) {
        // A connection may die between two steps; the stream then was never opened. Anything else is about the headers.
        const { code } = error as { code?: string };
        if (connection.usable && code !== "ERR_HTTP2_OUT_OF_STREAMS") throw error;
        connection.retire();
        if (attempt === 3) throw connection.failure();
      }
    }
  }

  /** Ends all connections; open calls and calls to come fail with the error. */
  close(failure: NodeError): Promise<void> {
    this.#closedWith = failure;
    const closing = [...this.#connections].map((connection) =>
      new Promise<void>((resolve) => {
        connection.session.once("close", resolve);
        connection.abandon(failure);
      })
    );
    return Promise.all(closing).then(() => {});
  }

  #usable(): Connection | undefined {
    if (this.#current?.usable) return this.#current;
    for (const connection of this.#connections) if (connection.usable) return connection;
    return undefined;
  }

  /** A connection that a large request does not fill; a new one where there is none, and else the one with the least. */
  #spacious(largeBytes: number): Connection {
    let least: Connection | undefined;
    let count = 0;
    for (const connection of this.#connections) {
      if (!connection.usable) continue;
      count++;
      if (least === undefined || connection.largeBytes < least.largeBytes) least = connection;
    }
    const fits = least !== undefined && (least.largeBytes === 0 || least.largeBytes + largeBytes <= MOST_LARGE_BYTES);
    // While the wait after a failed attempt lasts, what is connected is shared.
    const mayConnect = count < MOST_CONNECTIONS && this.#options.clock.now() >= this.#retryAt;
    return least === undefined || (!fits && mayConnect) ? this.#connect() : least;
  }

  #connect(): Connection {
    if (this.#closedWith !== undefined) throw this.#closedWith;
    const { clock, backoffMs, maxBackoffMs, random } = this.#options;
    const waitMs = this.#retryAt - clock.now();
    if (waitMs > 0) {
      const { name } = this.address;
      const last = this.#lastFailure;
      throw new NodeError(
        "target_unreachable",
        `${last?.message ?? `No connection to ${name}`}; the next attempt is in ${waitMs} ms`,
        { data: { target: name }, cause: last, retryable: last?.retryable ?? true, retryAfterMs: waitMs },
      );
    }
    const connection = new Connection(this.address, this.#options, () => {
      this.#failedAttempts = 0;
      this.#retryAt = 0;
    }, () => {
      this.#connections.delete(connection);
      if (this.#current === connection) this.#current = undefined;
      if (connection.established) return;
      // Attempts side by side that fail are one failure.
      if (clock.now() < this.#retryAt) return;
      const jitter = 0.5 + random() / 2;
      this.#lastFailure = connection.failure();
      this.#retryAt = clock.now() +
        Math.round(jitter * Math.min(maxBackoffMs, backoffMs * 2 ** this.#failedAttempts++));
    });
    this.#connections.add(connection);
    this.#current = connection;
    return connection;
  }
}
