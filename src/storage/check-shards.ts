import { type BookProblem, strangeKeys } from "./books.ts";
import { requesterKey, seqKey } from "./codec.ts";
import type { WriteOp } from "./engine.ts";
import {
  blockCount,
  blockKey,
  decodeShardRow,
  decodeUploadRow,
  encodeRow,
  expiryKey,
  openBlock,
  seqOf,
  SHARD_BLOCK_BYTES,
  type ShardRow,
  shardRowKey,
} from "./shard-rows.ts";
import {
  ALL_BYTES,
  ALL_SHARDS,
  NEXT_SEQ,
  ownerBytes,
  ownerShards,
  SHARD_PARTS,
  SHARD_TOTALS,
  type ShardTables,
} from "./shard-tables.ts";
import { Sublevel } from "./sublevel.ts";

const STEP = 1000;

export interface CheckOptions {
  /** Whether to mend what can be mended without losing anything: indexes, accounts, orphaned bodies, quarantine of damaged shards. */
  readonly repair: boolean;
  /** Whether to read every block and hold it against its checksum. */
  readonly readBodies: boolean;
}

/** What a check found. */
export interface ShardCheck {
  readonly shards: number;
  readonly bytes: number;
  /** Of suspended uploads. */
  readonly uploadBytes: number;
  readonly problems: readonly BookProblem[];
}

/**
 * Proves that the books of the shard database are right: every shard has its whole body and its place in the index, every body belongs to
 * a shard, an upload or the dead, the accounts are the sums of the rows, and no key is anybody else's. Nothing else may use the database meanwhile.
 */
export async function checkShardTables(tables: ShardTables, options: CheckOptions): Promise<ShardCheck> {
  return await new Check(tables, options).run();
}

class Check {
  readonly #tables: ShardTables;
  readonly #options: CheckOptions;
  readonly #problems: BookProblem[] = [];
  readonly #accounts = new Map<string, number>();
  /** The bodies that somebody owns. */
  readonly #owned = new Set<number>();
  #uploadBytes = 0;

  constructor(tables: ShardTables, options: CheckOptions) {
    this.#tables = tables;
    this.#options = options;
  }

  async run(): Promise<ShardCheck> {
    await this.#checkRows();
    await this.#checkUploads();
    await this.#checkExpiry();
    for await (const keys of pages(this.#tables.dead)) keys.forEach((key) => this.#owned.add(parseInt(key, 16)));
    await this.#checkOrphans(this.#tables.bodies, "body");
    await this.#checkOrphans(this.#tables.trees, "tree");
    await this.#checkAccounts();
    await this.#checkNextSeq();
    this.#problems.push(...await strangeKeys(this.#tables.engine, SHARD_PARTS));
    return {
      shards: this.#accounts.get(ALL_SHARDS) ?? 0,
      bytes: this.#accounts.get(ALL_BYTES) ?? 0,
      uploadBytes: this.#uploadBytes,
      problems: this.#problems,
    };
  }

  async #checkRows(): Promise<void> {
    for await (const keys of pages(this.#tables.rows)) {
      const ops: WriteOp[] = [];
      for (const [place, text] of (await this.#tables.rows.getMany(keys)).entries()) {
        const key = keys[place]!;
        let row: ShardRow;
        try {
          row = decodeShardRow(text!);
          if (shardRowKey(row.record) !== key) throw new Error(`it is the row of ${shardRowKey(row.record)}`);
          if (this.#owned.has(row.seq)) throw new Error(`its body ${row.seq} is another shard's`);
        } catch (error) {
          this.#found(`The row of shard ${key} cannot be read: ${(error as Error).message}`, true);
          ops.push(this.#tables.rows.del(key));
          continue;
        }
        this.#owned.add(row.seq);
        this.#count(row);
        if (await this.#tables.expiry.get(expiryKey(row.record)) === undefined) {
          this.#found(`Shard ${key} is missing in the index of leases`, true);
          ops.push(this.#tables.expiry.put(expiryKey(row.record), ""));
        }
        const damage = row.damaged === undefined ? await this.#damageOf(row) : undefined;
        if (damage !== undefined) {
          this.#found(
            `Shard ${key} is damaged: ${damage}. It goes into quarantine; its owner repairs it from others`,
            true,
          );
          ops.push(this.#tables.rows.put(key, encodeRow({ ...row, damaged: true })));
        }
      }
      await this.#mend(ops);
    }
  }

  #count({ record }: ShardRow): void {
    const owner = requesterKey(record.owner);
    for (
      const [name, delta] of [
        [ALL_SHARDS, 1],
        [ALL_BYTES, record.sizeBytes],
        [ownerShards(owner), 1],
        [ownerBytes(owner), record.sizeBytes],
      ] as const
    ) this.#accounts.set(name, (this.#accounts.get(name) ?? 0) + delta);
  }

  async #damageOf({ record, seq }: ShardRow): Promise<string | undefined> {
    const blocks = blockCount(record.sizeBytes);
    if (this.#options.readBodies) {
      for (let block = 0; block < blocks; block++) {
        const size = Math.min(SHARD_BLOCK_BYTES, record.sizeBytes - block * SHARD_BLOCK_BYTES);
        if (openBlock(await this.#tables.bodies.getBytes(blockKey(seq, block)), size) === undefined) {
          return `block ${block} of ${blocks} does not have its checksum`;
        }
      }
      return undefined;
    }
    let found = 0;
    for await (const keys of pages(this.#tables.bodies, { gt: `${seqKey(seq)}/`, lt: `${seqKey(seq)}0` })) {
      found += keys.length;
    }
    return found === blocks ? undefined : `${found} of ${blocks} blocks are there`;
  }

  async #checkUploads(): Promise<void> {
    for await (const keys of pages(this.#tables.uploads)) {
      const ops: WriteOp[] = [];
      for (const [place, text] of (await this.#tables.uploads.getMany(keys)).entries()) {
        try {
          const { seq } = decodeUploadRow(text!);
          this.#owned.add(seq);
          for await (const blocks of pages(this.#tables.bodies, { gt: `${seqKey(seq)}/`, lt: `${seqKey(seq)}0` })) {
            this.#uploadBytes += blocks.length * SHARD_BLOCK_BYTES;
          }
        } catch (error) {
          this.#found(`The row of upload ${keys[place]} cannot be read: ${(error as Error).message}`, true);
          ops.push(this.#tables.uploads.del(keys[place]!));
        }
      }
      await this.#mend(ops);
    }
  }

  async #checkExpiry(): Promise<void> {
    for await (const keys of pages(this.#tables.expiry)) {
      const rows = await this.#tables.rows.getMany(keys.map((key) => key.slice(key.indexOf("/") + 1)));
      const stale = keys.filter((key, place) => {
        const text = rows[place];
        return text === undefined || placeOf(text) !== key;
      });
      for (const key of stale) this.#found(`The index of leases names ${key}, which is no shard's`, true);
      await this.#mend(stale.map((key) => this.#tables.expiry.del(key)));
    }
  }

  async #checkOrphans(level: Sublevel, what: string): Promise<void> {
    const orphans = new Set<number>();
    for await (const keys of pages(level)) {
      for (const key of keys) if (!this.#owned.has(seqOf(key))) orphans.add(seqOf(key));
    }
    for (const seq of orphans) {
      this.#found(`The ${what} ${seq} belongs to no shard and no upload`, true);
      this.#owned.add(seq);
    }
    await this.#mend([...orphans].map((seq) => this.#tables.bury(seq, 0)));
  }

  async #checkAccounts(): Promise<void> {
    const accounts = new Sublevel(this.#tables.engine, SHARD_TOTALS);
    const stored = new Map<string, number>();
    for await (const keys of pages(accounts)) {
      const values = await accounts.getMany(keys);
      keys.forEach((key, place) => stored.set(key, Number(values[place])));
    }
    const ops: WriteOp[] = [];
    for (const name of new Set([...stored.keys(), ...this.#accounts.keys()])) {
      const right = this.#accounts.get(name) ?? 0;
      if ((stored.get(name) ?? 0) === right) continue;
      this.#found(`The account ${name} says ${stored.get(name) ?? 0}, and the shards make ${right}`, true);
      ops.push(right === 0 ? accounts.del(name) : accounts.put(name, String(right)));
    }
    await this.#mend(ops);
  }

  async #checkNextSeq(): Promise<void> {
    const { meta } = this.#tables;
    const noted = Number(await meta.get(NEXT_SEQ) ?? 1);
    let free = await this.#tables.freeSeq();
    for (const seq of this.#owned) free = Math.max(free, seq + 1);
    if (noted >= free) return;
    this.#found(`The next upload would be number ${noted}, and numbers up to ${free - 1} are taken`, true);
    await this.#mend([meta.put(NEXT_SEQ, String(free))]);
  }

  #found(message: string, repairable: boolean): void {
    this.#problems.push({ message, repairable });
  }

  async #mend(ops: readonly WriteOp[]): Promise<void> {
    if (this.#options.repair && ops.length > 0) await this.#tables.engine.write(ops, true);
  }
}

/** Where a row belongs in the index of leases; undefined when the row cannot be read. */
function placeOf(text: string): string | undefined {
  try {
    return expiryKey(decodeShardRow(text).record);
  } catch {
    return undefined;
  }
}

async function* pages(
  level: Sublevel,
  range: { readonly gt?: string; readonly lt?: string } = {},
): AsyncGenerator<string[]> {
  let { gt } = range;
  for (;;) {
    const keys: string[] = await level.keys({ ...range, ...(gt !== undefined && { gt }), limit: STEP });
    if (keys.length > 0) yield keys;
    if (keys.length < STEP) return;
    gt = keys.at(-1)!;
  }
}
