import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { LEAF_BYTES, MerkleBuilder } from "../../src/codec/mod.ts";
import { NodeError, type NodeId, releaseWhole, type ShardReceipt } from "../../src/core/mod.ts";
import type { PaidShards } from "../../src/requester/paid-shards.ts";
import { ShardLane } from "../../src/requester/shard-lane.ts";
import { test } from "../testing.ts";

const ID = "ab".repeat(16);
const provider = (digit: string) => ({ target: `${digit}:1`, nodeId: `0x${digit.repeat(40)}` as NodeId });

test("what a provider that fails early was sent goes to the next one too, though its memory was given back", async () => {
  // Buffers, as the masks of shards make them.
  const windows = [randomBytes(1 << 18), randomBytes(1 << 18), randomBytes(1 << 18)];
  const tree = new MerkleBuilder();
  for (const bytes of windows) tree.append(bytes);
  const head = tree.finish();
  const sizeBytes = head.leafCount * LEAF_BYTES;
  const [first, next] = [provider("1"), provider("2")];
  const others = [next];
  const puts: Record<string, PaidShards["put"]> = {
    async [first.target](source) {
      let taken = 0;
      for await (const bytes of source) {
        releaseWhole(bytes);
        if (++taken === 2) throw new NodeError("target_unreachable", "Gone");
      }
      throw new Error("It was to have two pieces");
    },
    async [next.target](source, { accept }) {
      const came = new MerkleBuilder();
      for await (const bytes of source) {
        came.append(bytes);
        releaseWhole(bytes);
      }
      const root = Buffer.from(came.finish().root).toString("hex");
      const receipt = { provider: next.nodeId, record: { id: ID, sizeBytes, root } } as ShardReceipt;
      accept!(receipt);
      return receipt;
    },
  };
  const lane = new ShardLane({
    index: 0,
    id: ID,
    provider: first,
    at: ({ target }) => ({ put: puts[target]! }) as PaidShards,
    call: (signal) => ({ requester: first.nodeId, requestId: "r1", signal }),
    maxBytes: sizeBytes,
    leaseMs: 1000,
    stallMs: 10_000,
    resumes: false,
    replace: () => Promise.resolve(others.pop()),
  });
  for (const bytes of windows) await lane.write(bytes);
  lane.end(head);
  assert.equal((await lane.done).provider, next.nodeId);
});
