import type { NodeError } from "../core/mod.ts";

/** One change of one key. Keys are full ones, with the prefix of their sublevel. */
export type WriteOp =
  | { readonly type: "put"; readonly key: string; readonly value: string | Uint8Array }
  | { readonly type: "del"; readonly key: string };

/** A piece of the key space in order: from `gt` (exclusive) up to `lt` (exclusive). */
export interface KeyRange {
  readonly gt: string;
  readonly lt: string;
  readonly limit: number;
  readonly reverse?: boolean;
}

/**
 * An ordered key-value store with atomic batches: what the tables need of LevelDB, and what the memory store imitates.
 * `write` is called by one caller at a time ({@link GroupCommit}). Everything throws NodeErrors.
 */
export interface Engine {
  get(key: string): Promise<string | undefined>;
  getMany(keys: readonly string[]): Promise<(string | undefined)[]>;
  getBytes(key: string): Promise<Uint8Array | undefined>;
  /** Several values, read one after the other as fast as the store gives them. They are to be read from, not to be changed, kept or transferred. */
  viewMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]>;
  keys(range: KeyRange): Promise<string[]>;
  entries(range: KeyRange): Promise<[string, string][]>;
  /** Applies all changes or none. With `sync` it returns when they would survive a power cut. */
  write(ops: readonly WriteOp[], sync: boolean): Promise<void>;
  /**
   * Makes the engine fit to write again after a failed write; until then every write throws. Throws while it cannot. Afterwards
   * the changes of the failed write are there or not.
   */
  reopen(): Promise<void>;
  /** Why nothing can be written since a write failed. */
  readonly failure: NodeError | undefined;
  /** Gives the disk space of deleted keys between the two back. May take long; reads and writes go on meanwhile. */
  compact(range: { readonly gt: string; readonly lt: string }): Promise<void>;
  close(): Promise<void>;
}
