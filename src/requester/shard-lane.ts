import {
  type CallContext,
  LEASE_REFUSED,
  NodeError,
  type ShardId,
  type ShardReceipt,
  type ShardService,
  toNodeError,
} from "../core/mod.ts";
import type { TreeHead } from "../codec/mod.ts";
import { LEAF_BYTES } from "../codec/mod.ts";
import { isQuoteExpired, type PaidShards, QUOTE_TRIES } from "./paid-shards.ts";
import type { Candidate } from "./provider-pool.ts";

/** Bytes that wait in a lane before its writer does. */
const QUEUE_BYTES = 1 << 20; // 1 MiB
/** A lane that has sent no more than this can begin anew at another provider. */
const REPLAY_BYTES = 2 << 20; // 2 MiB

export interface ShardLaneOptions {
  readonly index: number;
  readonly id: ShardId;
  readonly provider: Candidate;
  /** The shards at a provider. */
  readonly at: (provider: Candidate) => PaidShards;
  readonly call: (signal: AbortSignal) => CallContext;
  readonly maxBytes: number;
  readonly leaseMs: number;
  readonly stallMs: number;
  /** Whether the provider may have some of the shard already. */
  readonly resumes: boolean;
  /** Another provider for a lane whose own failed before much was sent; nothing when there is none. */
  readonly replace: (lane: ShardLane, error: NodeError) => Promise<Candidate | undefined>;
}

/**
 * One shard on its way to a provider: takes bytes as fast as the provider does, at most {@link QUEUE_BYTES} ahead. A provider that fails early
 * is replaced, and what it was sent is sent again; one that fails later, or takes nothing for `stallMs`, ends the lane.
 */
export class ShardLane {
  readonly index: number;
  readonly id: ShardId;
  provider: Candidate;
  /** The receipt, once the shard is durable; rejects when the lane has failed. */
  readonly done: Promise<ShardReceipt>;
  /** All bytes so far while no more than {@link REPLAY_BYTES} were sent, else only those that wait. */
  #queue: Uint8Array[] = [];
  /** Place in the queue of the next bytes to send. */
  #next = 0;
  #waitingBytes = 0;
  #sentBytes = 0;
  #ended = false;
  /** The tree that the receipt must show, once all is written. */
  #head: TreeHead | undefined;
  #failure: NodeError | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #movedAt = performance.now();
  #attempt = new AbortController();
  readonly #options: ShardLaneOptions;

  constructor(options: ShardLaneOptions) {
    this.#options = options;
    this.index = options.index;
    this.id = options.id;
    this.provider = options.provider;
    this.done = this.#run();
    this.done.catch(() => {});
  }

  /** Why the lane has failed; nothing while it has not. */
  get failure(): NodeError | undefined {
    return this.#failure;
  }

  /** Takes the shard's next bytes; resolves when more may come. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#queue.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#wakeReader?.();
    if (this.#waitingBytes > QUEUE_BYTES) await this.#room();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** All bytes are written; their tree is known. */
  end(head: TreeHead): void {
    this.#head = head;
    this.#ended = true;
    this.#movedAt = performance.now();
    this.#wakeReader?.();
  }

  /** Ends the lane. What the provider has of the shard stays there. */
  fail(error: NodeError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#attempt.abort(error);
    this.#queue = [];
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  async #run(): Promise<ShardReceipt> {
    for (let quotesLeft = QUOTE_TRIES - 1;;) {
      try {
        const receipt = await this.#send();
        this.#queue = [];
        return receipt;
      } catch (cause) {
        const error = this.#failure ?? toNodeError(cause);
        this.#attempt.abort(error);
        const replayable = this.#failure === undefined && this.#sentBytes <= REPLAY_BYTES;
        // One whose quote was over is asked for another, and sent the same again.
        const again = isQuoteExpired(error) && quotesLeft-- > 0 ? this.provider : undefined;
        const next = replayable ? again ?? await this.#options.replace(this, error).catch(() => undefined) : undefined;
        if (next === undefined || this.#failure !== undefined) {
          this.fail(error);
          throw error;
        }
        this.provider = next;
        this.#attempt = new AbortController();
        this.#next = 0;
        this.#sentBytes = 0;
        this.#waitingBytes = this.#queue.reduce((sum, bytes) => sum + bytes.length, 0);
        this.#movedAt = performance.now();
      }
    }
  }

  async #send(): Promise<ShardReceipt> {
    const { at, call, maxBytes, leaseMs, stallMs } = this.#options;
    const shards = at(this.provider);
    const ctx = call(this.#attempt.signal);
    let giveUp!: (error: NodeError) => void;
    const stalled = new Promise<never>((_, reject) => giveUp = reject);
    stalled.catch(() => {});
    this.#attempt.signal.addEventListener("abort", () => giveUp(toNodeError(this.#attempt.signal.reason)));
    // The provider is to take something whenever there is something, and to answer when it has all.
    const watch = setInterval(() => {
      const idle = performance.now() - this.#movedAt;
      const owes = this.#next < this.#queue.length || this.#ended;
      if (!owes || idle < stallMs * (this.#ended ? 3 : 1)) return;
      this.#attempt.abort(
        new NodeError("deadline_exceeded", `${this.provider.target} took nothing for ${Math.round(idle)} ms`),
      );
    }, Math.max(10, Math.min(500, stallMs / 4)));
    try {
      return await Promise.race([this.#transfer(shards, { ctx, maxBytes, leaseMs }), stalled]);
    } finally {
      clearInterval(watch);
    }
  }

  async #transfer(
    shards: PaidShards,
    { ctx, maxBytes, leaseMs }: { ctx: CallContext; maxBytes: number; leaseMs: number },
  ): Promise<ShardReceipt> {
    const { id } = this;
    const accept = (receipt: ShardReceipt) => this.#check(receipt);
    const resumes = this.#options.resumes && this.provider === this.#options.provider;
    if (resumes && await isThere(shards, id, ctx)) {
      for await (const _bytes of this.#read(Infinity)); // What it has shows when all bytes are hashed.
      const sizeBytes = this.#head!.leafCount * LEAF_BYTES;
      return await shards.renew(id, leaseMs, ctx, { sizeBytes, accept });
    }
    const offset = resumes ? await shards.uploaded(id, ctx) : 0;
    const order = { id, maxBytes, leaseMs, accept, ...(offset > 0 && { offset }) };
    return await shards.put(this.#read(offset), order, ctx);
  }

  /** The bytes from `skip` on, as they come. */
  async *#read(skip: number): AsyncGenerator<Uint8Array> {
    const attempt = this.#attempt;
    let toSkip = skip;
    for (;;) {
      attempt.signal.throwIfAborted();
      const bytes = this.#queue[this.#next];
      if (bytes === undefined) {
        if (this.#ended) return;
        await new Promise<void>((resolve) => this.#wakeReader = resolve);
        continue;
      }
      this.#next++;
      this.#waitingBytes -= bytes.length;
      this.#sentBytes += bytes.length;
      this.#movedAt = performance.now();
      if (this.#sentBytes > REPLAY_BYTES) {
        this.#queue.splice(0, this.#next);
        this.#next = 0;
      }
      if (this.#waitingBytes <= QUEUE_BYTES) this.#wakeWriter?.();
      if (toSkip >= bytes.length) {
        toSkip -= bytes.length;
        continue;
      }
      // A copy where it could be needed again: who is given bytes may keep or transfer them. A Buffer's own slice() would be none.
      const rest = bytes.subarray(toSkip);
      toSkip = 0;
      yield this.#sentBytes <= REPLAY_BYTES ? new Uint8Array(rest) : rest;
    }
  }

  #check({ provider, record }: ShardReceipt): void {
    const { id, provider: { nodeId, target } } = this;
    const head = this.#head;
    const right = head !== undefined && record.id === id && provider.toLowerCase() === nodeId.toLowerCase() &&
      record.sizeBytes === head.leafCount * LEAF_BYTES && record.root === Buffer.from(head.root).toString("hex");
    if (right) return;
    throw new NodeError(
      "target_misbehaved",
      `${target} signed for shard ${record.id} of ${record.sizeBytes} bytes, and not for what it was sent`,
      { data: { target, reason: LEASE_REFUSED } },
    );
  }

  #room(): Promise<void> {
    return new Promise((resolve) => this.#wakeWriter = resolve);
  }
}

async function isThere(shards: ShardService, id: ShardId, ctx: CallContext): Promise<boolean> {
  try {
    await shards.stat(id, ctx);
    return true;
  } catch (error) {
    if (toNodeError(error).code === "not_found") return false;
    throw error;
  }
}
