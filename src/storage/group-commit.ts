import { NodeError } from "../core/mod.ts";
import type { Engine, WriteOp } from "./engine.ts";
import { Sublevel } from "./sublevel.ts";

/** Beyond this much, writes that wait together go into more than one batch. */
const MAX_BATCH_BYTES = 8 << 20;
const MAX_BATCH_OPS = 10_000;

/** Changes of named totals, such as the bytes that stored outputs take. */
export type AccountDeltas = Readonly<Record<string, number>>;

export interface CommitOptions {
  /** Whether somebody will be told that this is done, so that it must survive a power cut (where the store syncs at all). */
  readonly durable: boolean;
  readonly deltas?: AccountDeltas;
}

interface Waiting {
  readonly ops: readonly WriteOp[];
  readonly sizeBytes: number;
  readonly options: CommitOptions;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Writes many small changes as few batches: what comes in one tick, or while a batch is under way, goes into the next one,
 * in order of arrival. Each change is applied whole or not at all; with it, in the same batch, go the totals that it moves,
 * so that data and accounts cannot disagree.
 */
export class GroupCommit {
  readonly #engine: Engine;
  readonly #accounts: Sublevel;
  readonly #sync: boolean;
  readonly #forgetZeros: boolean;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #totals = new Map<string, number>();
  /** What changes that were handed in and are not written yet move. */
  readonly #pending = new Map<string, number>();
  #closed = false;
  /** Whether a write has failed, whose changes may be there or not. */
  #doubtful = false;

  /**
   * With `forgetZeros` a total of zero is no entry, so that those who have nothing left leave no trace. `part` is the sublevel of the totals, by
   * default `account`.
   */
  constructor(
    engine: Engine,
    options: { readonly sync: boolean; readonly forgetZeros?: boolean; readonly part?: string },
  ) {
    this.#engine = engine;
    this.#accounts = new Sublevel(engine, options.part ?? "account");
    this.#sync = options.sync;
    this.#forgetZeros = options.forgetZeros ?? false;
  }

  /** Reads the totals from the store. */
  async load(): Promise<void> {
    const totals = new Map<string, number>();
    let after: string | undefined;
    for (;;) {
      const entries = await this.#accounts.entries({ ...(after !== undefined && { gt: after }), limit: 1000 });
      for (const [name, value] of entries) totals.set(name, Number(value));
      if (entries.length < 1000) break;
      after = entries.at(-1)![0];
    }
    this.#totals = totals;
  }

  /** A total as of the last batch that was written. */
  total(name: string): number {
    return this.#totals.get(name) ?? 0;
  }

  /** A total as it will be when all that was handed in is written. */
  expected(name: string): number {
    return this.total(name) + (this.#pending.get(name) ?? 0);
  }

  /** Applies `ops` in one batch. The bytes in them must not change until it returns. */
  write(ops: readonly WriteOp[], options: CommitOptions): Promise<void> {
    if (this.#closed) {
      return Promise.reject(new NodeError("storage_failed", "The data directory is closed since the node is stopping"));
    }
    this.#expect(options.deltas, 1);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ops, sizeBytes: sizeOf(ops), options, resolve, reject });
      this.#flushing ??= Promise.resolve().then(() => this.#flush());
    });
  }

  /** Waits for what has been handed in, and takes nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#flushing;
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#write(group).finally(() => {
          for (const { options } of group) this.#expect(options.deltas, -1);
        });
        for (const one of group) one.resolve();
      } catch (error) {
        for (const one of group) one.reject(error);
      }
    }
    this.#flushing = undefined;
  }

  #expect(deltas: AccountDeltas = {}, sign: 1 | -1): void {
    for (const [name, delta] of Object.entries(deltas)) {
      const sum = (this.#pending.get(name) ?? 0) + sign * delta;
      if (sum === 0) this.#pending.delete(name);
      else this.#pending.set(name, sum);
    }
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    if (this.#doubtful) {
      await this.#engine.reopen();
      await this.load();
      this.#doubtful = false;
    }
    const ops = group.flatMap((one) => one.ops);
    const totals = this.#moved(group, ops);
    try {
      await this.#engine.write(ops, this.#sync && group.some((one) => one.options.durable));
    } catch (error) {
      this.#doubtful = true;
      throw error;
    }
    for (const [name, value] of totals) {
      if (value === 0 && this.#forgetZeros) this.#totals.delete(name);
      else this.#totals.set(name, value);
    }
  }

  #takeGroup(): Waiting[] {
    let count = 0;
    let bytes = 0;
    let ops = 0;
    for (const one of this.#waiting) {
      bytes += one.sizeBytes;
      ops += one.ops.length;
      if (count > 0 && (bytes > MAX_BATCH_BYTES || ops > MAX_BATCH_OPS)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Appends the totals that a group moves to its changes, and returns them. */
  #moved(group: readonly Waiting[], ops: WriteOp[]): Map<string, number> {
    const totals = new Map<string, number>();
    for (const { options } of group) {
      for (const [name, delta] of Object.entries(options.deltas ?? {})) {
        if (delta !== 0) totals.set(name, (totals.get(name) ?? this.total(name)) + delta);
      }
    }
    for (const [name, value] of totals) {
      const isGone = value === 0 && this.#forgetZeros;
      ops.push(isGone ? this.#accounts.del(name) : this.#accounts.put(name, String(value)));
    }
    return totals;
  }
}

function sizeOf(ops: readonly WriteOp[]): number {
  let size = 0;
  for (const op of ops) size += op.key.length + (op.type === "put" ? op.value.length : 0);
  return size;
}
