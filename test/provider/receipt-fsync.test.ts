import assert from "node:assert/strict";
import { Level } from "level";
import { newSecretKey, type NodeKey, nodeKeyOf, noMetrics, silentLog, systemClock } from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { openShardStore } from "../../src/storage/mod.ts";
import { shardBytes, shardId } from "../contract-suites/shard-store.ts";
import { withFolder } from "../storage/temp-folder.ts";

import { test, type TestScope } from "../testing.ts";

const OWNER = "0x00000000000000000000000000000000000000A1";
const LIMITS = { maxShardBytes: 2 ** 30, maxLeaseMs: 86_400_000, graceMs: 0, uploadTtlMs: 86_400_000 };

interface Batch {
  readonly keys: readonly string[];
  readonly sync: boolean;
  isWritten: boolean;
}

/** Everything that any LevelDB of this process is told to write. */
function spy(t: TestScope): Batch[] {
  const batches: Batch[] = [];
  const { prototype } = Level as unknown as {
    prototype: { batch(ops: { key: string }[], options?: { sync?: boolean }): Promise<void> };
  };
  const { batch } = prototype;
  prototype.batch = async function (ops, options) {
    const noted = { keys: ops.map(({ key }) => key), sync: options?.sync === true, isWritten: false };
    batches.push(noted);
    await batch.call(this, ops, options);
    noted.isWritten = true;
  };
  t.after(() => prototype.batch = batch);
  return batches;
}

/** Every batch is written, all with bytes or the row of a shard were flushed, and the last one holds the row. */
function assertFlushed(batches: readonly Batch[], what: string): void {
  assert.ok(batches.every(({ isWritten }) => isWritten), `${what}: a batch is under way`);
  const ofShard = batches.filter(({ keys }) => keys.some((key) => /^!shard(-body|-tree|-expiry)?!/.test(key)));
  assert.ok(ofShard.length > 0 && ofShard.every(({ sync }) => sync), `${what}: ${JSON.stringify(ofShard)}`);
  const last = batches.at(-1)!;
  assert.ok(last.sync && last.keys.some((key) => key.startsWith("!shard-record!")), `${what}: ${JSON.stringify(last)}`);
}

for (const sizeBytes of [1024, 65_536, 3 * 2 ** 20 + 1024]) {
  test(`the receipt of ${sizeBytes} bytes, and of its renewal, leaves when all of it was flushed to the disk`, (t) =>
    withFolder(async (folder) => {
      const { shards: store, close } = await openShardStore(folder, { minFreeBytes: 0 });
      const real = nodeKeyOf(newSecretKey());
      let batches: Batch[] = [];
      let signed = 0;
      const key: NodeKey = {
        ...real,
        sign: (text) => {
          assertFlushed(batches, "at the receipt");
          signed++;
          return real.sign(text);
        },
      };
      const provider = createShardProvider({
        store,
        key,
        ledger: freeLedger,
        limits: LIMITS,
        clock: systemClock,
        log: silentLog,
        metrics: noMetrics,
      });
      batches = spy(t);
      const ctx = { requester: OWNER, signal: new AbortController().signal, requestId: "r" } as const;
      async function* source(): AsyncGenerator<Uint8Array> {
        yield shardBytes(sizeBytes);
      }
      const order = { id: shardId(1), maxBytes: sizeBytes, leaseMs: 1000 };
      await provider.put(source(), order, ctx);
      batches.length = 0;
      await provider.renew(order.id, 80_000_000, ctx);
      assert.equal(signed, 2);
      await provider.close();
      await close();
    }));
}

test("finish() of an upload resolves when its last batch was flushed, and without storage.sync none is", (t) =>
  withFolder(async (folder) => {
    const batches = spy(t);
    for (const sync of [true, false]) {
      const { shards, close } = await openShardStore(`${folder}/${sync}`, { minFreeBytes: 0, sync });
      const upload = await shards.begin({ owner: OWNER, id: shardId(1), maxBytes: 2 ** 22, expiresAt: 1, graceMs: 0 });
      await upload.write(shardBytes(2 ** 21 + 5));
      batches.length = 0;
      await upload.finish("ab".repeat(32));
      if (sync) assertFlushed(batches, "at the end");
      else assert.ok(batches.every((batch) => !batch.sync));
      await close();
    }
  }));
