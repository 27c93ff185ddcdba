import { setTimeout as sleep } from "node:timers/promises";
import { NodeError } from "./errors.ts";

/** Bytes a second in one direction; 0 is no limit. */
export interface BandwidthLimits {
  /** Of all peers together. */
  readonly node: number;
  /** Of each peer. */
  readonly peer: number;
}

export interface BandwidthOptions {
  /** Asked each time, so that it can change while the node runs. */
  readonly limits: () => BandwidthLimits;
  /** How many peers are told apart at least; the memory is bounded by twice as many. */
  readonly maxPeers?: number;
  /** Milliseconds that pass while the process runs; by default the machine's monotonic clock. */
  readonly monotonicMs?: () => number;
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

export interface TakeOptions {
  /** Whose bytes they are; without it only the node's limit counts. */
  readonly peer?: string;
  readonly signal: AbortSignal;
  /** Who would wait longer is refused with `overloaded`; by default everybody waits. */
  readonly maxWaitMs?: number;
}

export interface PaceOptions extends Omit<TakeOptions, "maxWaitMs"> {
  /** How many bytes pass for each byte of the source. */
  readonly weight?: number;
}

/** What may pass at once after a pause, as time at the full rate. */
const BURST_MS = 1000;
const MAX_PEERS = 10_000;

/**
 * Lets bytes of one direction through at a rate, of all peers and of each: token buckets of a second's worth, of which only the time is kept
 * until which each is paid. Who comes first goes first; peers that were silent for a while are forgotten, in two generations.
 */
export class Bandwidth {
  readonly #options: BandwidthOptions;
  readonly #monotonicMs: () => number;
  readonly #maxPeers: number;
  #nodePaidUntil = -Infinity;
  #young = new Map<string, number>();
  #old = new Map<string, number>();

  constructor(options: BandwidthOptions) {
    this.#options = options;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.#maxPeers = options.maxPeers ?? MAX_PEERS;
  }

  /** How many peers are remembered. */
  get peers(): number {
    return this.#young.size + this.#old.size;
  }

  /**
   * Resolves when the bytes may pass. More than a second's worth pass at once, and what comes after waits the longer. Throws the signal's reason, or
   * `overloaded` with the time to wait.
   */
  async take(bytes: number, { peer, signal, maxWaitMs = Infinity }: TakeOptions): Promise<void> {
    const limits = this.#options.limits();
    if (limits.node === 0 && limits.peer === 0) return;
    signal.throwIfAborted();
    const now = this.#monotonicMs();
    const ofNode = beginning(limits.node, this.#nodePaidUntil, now);
    const ofPeer = peer === undefined ? -Infinity : beginning(limits.peer, this.#paidUntil(peer), now);
    const waitMs = Math.max(ofNode, ofPeer) - now;
    if (waitMs > maxWaitMs) {
      throw new NodeError(
        "overloaded",
        `The bandwidth that this node gives is used up for the next ${Math.ceil(waitMs)} ms; come back then`,
        { retryAfterMs: Math.ceil(waitMs) },
      );
    }
    // Taken at once, so that those who come later wait behind.
    if (limits.node > 0) this.#nodePaidUntil = ofNode + bytes / limits.node * 1000;
    if (peer !== undefined && limits.peer > 0) this.#remember(peer, ofPeer + bytes / limits.peer * 1000);
    if (waitMs > 0) await (this.#options.wait ?? waitFor)(waitMs, signal);
  }

  /** The same bytes, each piece when it may pass; the source itself while there is no limit. */
  pace(source: AsyncIterable<Uint8Array>, options: PaceOptions): AsyncIterable<Uint8Array> {
    const { node, peer } = this.#options.limits();
    return node === 0 && peer === 0 ? source : this.#pace(source, options);
  }

  async *#pace(
    source: AsyncIterable<Uint8Array>,
    { weight = 1, ...options }: PaceOptions,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of source) {
      await this.take(piece.length * weight, options);
      yield piece;
    }
  }

  #paidUntil(peer: string): number {
    return this.#young.get(peer) ?? this.#old.get(peer) ?? -Infinity;
  }

  #remember(peer: string, paidUntil: number): void {
    if (this.#young.size >= this.#maxPeers && !this.#young.has(peer)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(peer, paidUntil);
  }
}

/** When the next bytes of a bucket begin to pass. */
function beginning(bytesPerSecond: number, paidUntil: number, now: number): number {
  return bytesPerSecond === 0 ? -Infinity : Math.max(paidUntil, now - BURST_MS);
}

async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
