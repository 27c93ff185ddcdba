/**
 * A shard store to be killed: opens the store in the folder of its first argument and puts, renews, removes and expires shards, several at
 * once, until it dies. What was acknowledged it says on its standard output, a line each. Arguments: folder, round.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import type { RequesterId } from "../../src/core/mod.ts";
import { openShardStore } from "../../src/storage/mod.ts";
import { shardBytes, shardId } from "../contract-suites/shard-store.ts";

export const OWNER: RequesterId = "0x00000000000000000000000000000000000000A1";
export const ROOT = "cd".repeat(32);

/** How many ids the writer uses in a round. */
const IDS = 60;
const LANES = 4;

/** Bytes of the shard with this number: sizes from a leaf to some 20 blocks. */
export function crashBytes(number: number): Uint8Array {
  return shardBytes(1024 * (1 + (number * 7919) % 1300), number);
}

/** What the writer says: that a shard is stored, or that it is about to remove one. */
export interface Said {
  readonly stored?: number;
  readonly removing?: number;
}

async function main(folder: string, round: number): Promise<void> {
  const { shards } = await openShardStore(folder, { minFreeBytes: 0 });
  const say = (said: Said) => writeSync(1, `${JSON.stringify(said)}\n`);
  const lane = async (first: number) => {
    for (let i = first; i < IDS; i += LANES) {
      const number = round * IDS + i;
      const key = { owner: OWNER, id: shardId(number) };
      const bytes = crashBytes(number);
      const upload = await shards.begin({ ...key, maxBytes: bytes.length, expiresAt: 10 ** 13 + number, graceMs: 0 });
      const keeps = i % 7 === 3;
      for (let at = 0; at < bytes.length; at += 100_000) {
        await upload.write(bytes.slice(at, at + 100_000));
        upload.keepNode(6, at / 100_000, new Uint8Array(32));
      }
      // Some stay unfinished, as when the way to the owner broke.
      if (keeps) {
        await upload.suspend();
        continue;
      }
      await upload.finish(ROOT);
      say({ stored: number });
      if (i % 3 === 0) await shards.renew(key, 2 * 10 ** 13);
      if (i % 2 === 1) {
        say({ removing: number });
        await shards.remove(key);
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, i) => lane(i)));
  await shards.settle();
  await new Promise((resolve) => setTimeout(resolve, 60_000)); // for the end to come from outside
}

if (import.meta.main) await main(process.argv[2]!, Number(process.argv[3]));
