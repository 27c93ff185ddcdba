import type { OutgoingHttpHeaders } from "node:http2";
import { NodeError, type TargetAddress } from "../../core/mod.ts";
import { Connection, type PeerStream, type SessionOptions } from "./connection.ts";

/**
 * The connection to one peer, whichever it is at the moment: opened by the first call, replaced when it is lost or the
 * peer sends GOAWAY, closed when idle. After a failed attempt further calls fail at once until a growing, jittered
 * wait is over, so that a peer that is down costs its callers no time.
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
   * attempt lasts; later failures show as events of the stream.
   */
  request(headers: OutgoingHttpHeaders): PeerStream {
    for (let attempt = 1;; attempt++) {
      const connection = this.#current?.usable ? this.#current : this.#connect();
      try {
        return connection.request(headers);
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

  #connect(): Connection {
    if (this.#closedWith !== undefined) throw this.#closedWith;
    const { clock, backoffMs, maxBackoffMs, random } = this.#options;
    const waitMs = this.#retryAt - clock.now();
    if (waitMs > 0) {
      const { name } = this.address;
      throw new NodeError(
        "target_unreachable",
        `${this.#lastFailure?.message ?? `No connection to ${name}`}; the next attempt is in ${waitMs} ms`,
        { data: { target: name }, cause: this.#lastFailure, retryAfterMs: waitMs },
      );
    }
    const connection = new Connection(this.address, this.#options, () => {
      this.#failedAttempts = 0;
      this.#retryAt = 0;
    }, () => {
      this.#connections.delete(connection);
      if (this.#current === connection) this.#current = undefined;
      if (connection.established) return;
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
