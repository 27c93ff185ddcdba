import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  newSecretKey,
  NodeError,
  nodeKeyOf,
  noMetrics,
  signSession,
  silentLog,
  systemClock,
  verifySession,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../../src/rpc/mod.ts";
import { openMemoryShardStore } from "../../src/storage/mod.ts";
import { shardServiceContract } from "../contract-suites/shard-service.ts";
import { test, type TestScope } from "../testing.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";

const QUOTA_BYTES = 64 << 20;
const LIMITS = { maxShardBytes: 2 ** 40, maxLeaseMs: 86_400_000, graceMs: 3_600_000, uploadTtlMs: 3_600_000 };

/** A provider of shards behind a real port. */
async function serve(t: TestScope) {
  const key = nodeKeyOf(newSecretKey());
  const { shards: store, close } = await openMemoryShardStore({ quotaBytes: QUOTA_BYTES });
  t.after(close);
  const shards = createShardProvider({
    store,
    key,
    ledger: freeLedger,
    limits: LIMITS,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  });
  t.after(() => shards.close());
  const server = createRpcServer({
    tasks: new FakeTasks(),
    node: { describe: () => ({ ...fakeNode.describe(), nodeId: key.nodeId }), sign: (message) => key.sign(message) },
    storage: { shards, self: key.nodeId },
    health: new HealthState(),
    log: silentLog,
    metrics: noMetrics,
    clock: systemClock,
    limits: DEFAULT_RPC_LIMITS,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  return { target: `127.0.0.1:${port}`, provider: key.nodeId };
}

function client(t: TestScope, target: string) {
  const key = nodeKeyOf(newSecretKey());
  const peers = createPeers({ requester: key.nodeId, key });
  t.after(() => peers.close());
  return { shards: peers.dialShards(target), owner: key.nodeId };
}

shardServiceContract("the client of a provider", async (t) => {
  const { target } = await serve(t);
  const mine = client(t, target);
  const theirs = client(t, target);
  const never = new AbortController().signal;
  return {
    shards: mine.shards,
    ctx: (signal = never) => ({ requester: mine.owner, signal, requestId: "r1" }),
    other: { shards: theirs.shards, ctx: { requester: theirs.owner, signal: never, requestId: "r2" } },
    quotaBytes: QUOTA_BYTES,
  };
});

test("a node without a key keeps no shards elsewhere", async (t) => {
  const { target } = await serve(t);
  const peers = createPeers({});
  t.after(() => peers.close());
  const ctx = { requester: "anonymous", signal: new AbortController().signal, requestId: "r1" } as const;
  await assert.rejects(peers.dialShards(target).usage(ctx), { code: "unauthenticated" });
});

test("an owner that goes away in the middle of an upload leaves it to go on", async (t) => {
  const { target } = await serve(t);
  const { shards, owner } = client(t, target);
  const gone = new AbortController();
  const ctx = { requester: owner, signal: new AbortController().signal, requestId: "r1" };
  async function* endless() {
    for (let i = 0;; i++) {
      if (i === 40) gone.abort(new NodeError("canceled", "gone"));
      await new Promise((resolve) => setTimeout(resolve, 5)); // for them to leave
      yield randomBytes(65_536);
    }
  }
  const order = { id: "9".repeat(32), maxBytes: 32 << 20, leaseMs: 60_000 };
  await assert.rejects(shards.put(endless(), order, { ...ctx, signal: gone.signal }), { code: "canceled" });
  let uploaded = 0;
  for (let tries = 0; uploaded === 0 && tries < 200; tries++) {
    uploaded = await shards.uploaded(order.id, ctx);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.ok(uploaded > 0);
});

test("a session holds for one provider, one hour, and who signed it", () => {
  const key = nodeKeyOf(newSecretKey());
  const self = nodeKeyOf(newSecretKey()).nodeId;
  const now = 1_800_000_000_000;
  const text = signSession(key, { provider: self, expiresAt: now + 1000 });
  assert.deepEqual(verifySession(text, { self, now }), {
    requester: key.nodeId,
    provider: self,
    expiresAt: now + 1000,
  });
  const [words, signature] = text.split(".") as [string, string];
  const forged = Buffer.from(Buffer.from(words, "base64url").toString().replace(key.nodeId, self)).toString(
    "base64url",
  );
  const refused: [string, number][] = [
    [signSession(key, { provider: key.nodeId, expiresAt: now + 1000 }), now],
    [text, now + 61_001],
    [signSession(key, { provider: self, expiresAt: now + 3_660_001 }), now],
    [`${forged}.${signature}`, now],
    [`${words}.AAAA`, now],
    ["", now],
    ["x.y.z", now],
  ];
  for (const [session, at] of refused) {
    assert.throws(() => verifySession(session, { self, now: at }), { code: "unauthenticated" }, session.slice(0, 40));
  }
});
