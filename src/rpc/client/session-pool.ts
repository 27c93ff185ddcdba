import { NodeError, type TargetAddress } from "../../core/mod.ts";
import { Deadlines } from "../deadlines.ts";
import type { SessionOptions } from "./connection.ts";
import { assertAllowed } from "./public-address.ts";
import { PeerSession } from "./session.ts";

export interface SessionPoolOptions extends SessionOptions {
  /** The most peers connected to at once. */
  readonly maxSessions: number;
}

/**
 * The connections to all peers, one for each target, and another for callers that are confined. When there are too many, those without a call are closed, the
 * longest unused first.
 */
export class SessionPool {
  /** The deadlines of the calls on all sessions. */
  readonly deadlines = new Deadlines();
  readonly #options: SessionPoolOptions;
  readonly #sessions = new Map<string, PeerSession>();
  #closed = false;

  constructor(options: SessionPoolOptions) {
    this.#options = options;
  }

  /** How many targets have a session. */
  get size(): number {
    return this.#sessions.size;
  }

  /**
   * The session of a target; it connects when it is used. Throws `overloaded` when as many peers as allowed have calls open, and
   * `target_unreachable` for an address that the rules forbid, and `shutting_down` after close().
   */
  session(address: TargetAddress): PeerSession {
    const { rules } = this.#options;
    const isConfined = rules?.applyToCaller?.(address.name) === true;
    // Connections of their own: one that leads to a private address may be open already, for somebody who may use it.
    const key = isConfined ? `confined ${address.name}` : address.name;
    const known = this.#sessions.get(key);
    if (known !== undefined) return known;
    if (this.#closed) throw closing();
    const options = isConfined ? { ...this.#options, rules: { ...rules!, applyTo: () => true } } : this.#options;
    if (options.rules !== undefined) assertAllowed(address, options.rules);
    if (this.#sessions.size >= this.#options.maxSessions) this.#evict(address);
    const session = new PeerSession(address, options);
    this.#sessions.set(key, session);
    return session;
  }

  /** Ends all connections; open calls fail with `shutting_down`. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#sessions.values()].map((session) => session.close(closing())));
    this.#sessions.clear();
    this.deadlines.clear();
  }

  #evict(wanted: TargetAddress): void {
    let victim: PeerSession | undefined;
    let victimKey = "";
    for (const [key, session] of this.#sessions) {
      if (session.openStreams > 0) continue;
      if (victim !== undefined && session.lastUsedAt >= victim.lastUsedAt) continue;
      victim = session;
      victimKey = key;
    }
    const { maxSessions } = this.#options;
    if (victim === undefined) {
      throw new NodeError(
        "overloaded",
        `Cannot connect to ${wanted.name}: calls to ${maxSessions} peers are open, which is the limit; wait for one to end`,
        { data: { target: wanted.name, maxSessions } },
      );
    }
    this.#sessions.delete(victimKey);
    victim.retire();
  }
}

function closing(): NodeError {
  return new NodeError("shutting_down", "This node is shutting down and makes no further calls to peers");
}
