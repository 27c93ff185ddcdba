import { NodeError, type NodeId, type Wei } from "../core/mod.ts";
import type { Totals } from "./totals.ts";

/** The most that a node spends; 0 means no cap. */
export interface Caps {
  /** For one task or storage operation. */
  readonly task: Wei;
  /** A day, to one peer. */
  readonly peer: Wei;
  /** A day, to all peers. */
  readonly day: Wei;
}

/** What may come to be spent beside what is reserved: answers that were lost, and vouchers ahead of need. */
export interface Held {
  /** Of it to the peer that is to be paid. */
  readonly peer: bigint;
  /** To all peers. */
  readonly all: bigint;
}

const NOTHING: Held = { peer: 0n, all: 0n };

/** Spending within caps: what is reserved or held counts as spent until it is released. */
export class Budget {
  /** Whether a day has a cap, so that what is reserved or held matters. */
  readonly hasDayCap: boolean;
  readonly #caps: Caps;
  readonly #totals: Totals;
  readonly #reserved = new Map<NodeId, bigint>();
  #all = 0n;

  constructor(caps: Caps, totals: Totals) {
    this.hasDayCap = caps.peer > 0n || caps.day > 0n;
    this.#caps = caps;
    this.#totals = totals;
  }

  /** Throws `cap_reached` when a cap would be passed. */
  reserve(peer: NodeId, max: Wei, held: Held = NOTHING): void {
    const { task, peer: perPeer, day } = this.#caps;
    if (task > 0n && max > task) throw reached(max, { cap: task, key: "payments.capTask", what: "one task" });
    if (!this.hasDayCap) return;
    const reserved = this.#reserved.get(peer) ?? 0n;
    if (perPeer > 0n && this.#totals.of("spent", peer) + reserved + held.peer + max > perPeer) {
      throw reached(max, { cap: perPeer, key: "payments.capPeer", what: `the day for ${peer}` });
    }
    if (day > 0n && this.#totals.sum("spent") + this.#all + held.all + max > day) {
      throw reached(max, { cap: day, key: "payments.capDay", what: "the day" });
    }
    this.#reserved.set(peer, reserved + max);
    this.#all += max;
  }

  release(peer: NodeId, max: Wei): void {
    if (!this.hasDayCap) return;
    this.#reserved.set(peer, (this.#reserved.get(peer) ?? 0n) - max);
    this.#all -= max;
  }

  /** What may be signed away ahead of need, after all that is reserved or held. */
  room(peer: NodeId, held: Held = NOTHING): bigint {
    const { peer: perPeer, day } = this.#caps;
    let room = 1n << 128n;
    if (perPeer > 0n) {
      room = perPeer - this.#totals.of("spent", peer) - (this.#reserved.get(peer) ?? 0n) - held.peer;
    }
    const today = day > 0n ? day - this.#totals.sum("spent") - this.#all - held.all : room;
    const least = room < today ? room : today;
    return least > 0n ? least : 0n;
  }
}

function reached(max: Wei, { cap, key, what }: { cap: Wei; key: string; what: string }): NodeError {
  return new NodeError(
    "cap_reached",
    `Cannot set ${max} wei aside: the cap of ${cap} wei for ${what} is reached (${key})`,
    {
      data: { cap: String(cap), key },
    },
  );
}
