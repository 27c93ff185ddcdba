/** Limits of bandwidth on real nodes. That it takes long at least is the only thing about time that can be asserted. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { test } from "../testing.ts";
import { scratch, startNode } from "./harness.ts";

const MIB = 1 << 20;

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

test("a provider takes shards, and a requester reads files, no faster than they may", async (t) => {
  const folder = scratch(t);
  // The requester's own limit is for reading, the provider's for what it takes of each peer.
  const providers = await Promise.all(
    [0, 1].map((i) =>
      startNode(t, { dataDir: join(folder, `provider-${i}`), config: { node: { peerBytesInPerSecond: "2MiB" } } })
    ),
  );
  const requester = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: { node: { bytesInPerSecond: "2MiB" }, requester: { providers: providers.map(({ rpc }) => rpc) } },
  });
  const bytes = randomBytes(6 * MIB);
  const putMs = await timed(async () => {
    const put = await fetch(`${requester.rest}/v1/files/slow?policy=1%2B1`, { method: "PUT", body: bytes });
    assert.equal(put.status, 201, await put.text());
  });
  // 6 MiB to each provider, of which 2 pass at once and the last piece does not wait for itself.
  assert.ok(putMs >= 1000, `${putMs} ms`);
  const readMs = await timed(async () => {
    const answer = await fetch(`${requester.rest}/v1/files/slow`);
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes));
  });
  assert.ok(readMs >= 1000, `${readMs} ms`);
});
