/** What a requester counts of its files, by the names that operators see. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { fileLayout } from "../../src/codec/mod.ts";
import { NodeError } from "../../src/core/mod.ts";
import { createMetrics } from "../../src/rest/mod.ts";
import { test, type TestScope } from "../testing.ts";
import { bend, FakeTime, once, type Provider, readAll, settled, swarm, type SwarmOptions } from "./file-swarm.ts";

const SIZE = 300_000;
const POLICY = { dataShards: 4, parityShards: 2 };
const SHARD_BYTES = fileLayout(SIZE, POLICY).shardBytes;

const READINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  puts_total: { stored: "result", failed: "result" },
  put_bytes_total: {},
  get_bytes_total: {},
  audits_total: { proven: "result", lost: "result", unreachable: "result" },
  audit_bytes_total: {},
  repairs_total: { rebuilt: "result", failed: "result" },
  repair_bytes_total: {},
  shard_failures_total: { put: "during", get: "during" },
  // The last bucket has all that was observed.
  put_seconds: { "+Inf": "le" },
  first_byte_seconds: { "+Inf": "le" },
};

/** Nodes, the bytes of a file that they can be given, and what the counters grew by in some work. */
async function fixture(t: TestScope, options: SwarmOptions = {}) {
  const metrics = createMetrics({ processMetrics: false });
  const time = new FakeTime();
  const nodes = await swarm(t, { metrics, time, ...options });
  const { files, ctx, providers } = nodes;
  const read = () =>
    Object.entries(READINGS).flatMap(([name, labels]): [string, number][] => {
      const full = `velas_files_${name}`;
      if (Object.keys(labels).length === 0) return [[name, metrics.read(full)!]];
      return Object.entries(labels).map((
        [value, label],
      ) => [`${name} ${value}`, metrics.read(full, { [label]: value })!]);
    });
  /** Those that changed, and by how much. */
  const grown = async (work: () => Promise<unknown>) => {
    const before = new Map(read());
    await work();
    return Object.fromEntries(
      read().map(([name, value]): [string, number] => [name, value - before.get(name)!]).filter(([, by]) => by !== 0),
    );
  };
  const put = async (bytes: Uint8Array = randomBytes(SIZE)) => {
    const { id } = await files.put(once(bytes), { name: "a", contentType: "", policy: POLICY }, ctx());
    await settled(nodes, id);
    return id;
  };
  const holder = async (id: string, index: number): Promise<Provider> => {
    const { shards } = await files.health({ id }, ctx());
    return providers.find(({ target }) => target === shards[index]!.provider)!;
  };
  return { ...nodes, nodes, time, grown, put, holder };
}

const refuse = (code: "data_corrupt" | "storage_full") => () => Promise.reject(new NodeError(code, "It failed"));

test("a put counts its bytes when it is stored, and one that fails counts as that", async (t) => {
  const { grown, put, files, ctx } = await fixture(t);
  assert.deepEqual(await grown(put), { "puts_total stored": 1, "put_bytes_total": SIZE, "put_seconds +Inf": 1 });
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(SIZE);
    throw new Error("gone");
  }
  const failing = () => assert.rejects(files.put(broken(), { name: "b", contentType: "" }, ctx()));
  assert.deepEqual(await grown(failing), { "puts_total failed": 1 });
});

test("a provider that fails in a put counts once, whoever takes its shard", async (t) => {
  const { grown, put, providers } = await fixture(t, {
    offer: ({ target }) => ({ score: target === "127.0.0.1:9000" ? 1 : 0 }),
  });
  bend(providers[0]!, () => ({ put: refuse("storage_full") }));
  assert.deepEqual(await grown(put), {
    "puts_total stored": 1,
    "put_bytes_total": SIZE,
    "shard_failures_total put": 1,
    "put_seconds +Inf": 1,
  });
});

test("a get counts the bytes that were read and the shards that failed", async (t) => {
  const { grown, put, nodes, files, ctx, holder } = await fixture(t);
  const id = await put();
  assert.deepEqual(await grown(() => readAll(nodes, id)), { "get_bytes_total": SIZE, "first_byte_seconds +Inf": 1 });
  const part = async () => {
    const { read } = await files.open({ id }, ctx());
    for await (const _ of read({ start: 70_000, end: 70_123 }, ctx().signal));
  };
  assert.deepEqual(await grown(part), { "get_bytes_total": 123, "first_byte_seconds +Inf": 1 });
  bend(await holder(id, 0), () => ({ get: refuse("data_corrupt") }));
  assert.deepEqual(await grown(() => readAll(nodes, id)), {
    "get_bytes_total": SIZE,
    "shard_failures_total get": 1,
    "first_byte_seconds +Inf": 1,
  });
});

test("an audit counts each shard by its result, and the bytes that came", async (t) => {
  const { grown, put, files, ctx, providers, holder } = await fixture(t);
  const id = await put();
  let bytes = 0;
  for (const provider of providers) {
    bend(provider, (honest) => ({
      prove: async (...args) => {
        const proofs = await honest.prove(...args);
        for (const { bytes: leaf, proof } of proofs) bytes += leaf.length + proof.length;
        return proofs;
      },
    }));
  }
  const audit = () => files.audit({ id }, ctx());
  const all = await grown(audit);
  assert.ok(bytes >= 6 * 32 * 1024, `${bytes}`);
  assert.deepEqual(all, { "audits_total proven": 6, "audit_bytes_total": bytes });
  (await holder(id, 0)).down = true;
  bend(await holder(id, 1), () => ({ prove: refuse("data_corrupt") }));
  bytes = 0;
  const some = await grown(audit);
  assert.deepEqual(some, {
    "audits_total proven": 4,
    "audits_total lost": 1,
    "audits_total unreachable": 1,
    "audit_bytes_total": bytes,
  });
});

test("a repair counts the shards that it rebuilt and what it read for both at once", async (t) => {
  const { grown, put, files, ctx, time, holder } = await fixture(t);
  const id = await put();
  for (const index of [0, 1]) (await holder(id, index)).down = true;
  // What is known of who is where is asked anew after a minute.
  time.pass(61_000);
  const by = await grown(() => files.repair({ id }, ctx()));
  assert.deepEqual([by["repairs_total rebuilt"], by["repairs_total failed"]], [2, undefined]);
  assert.equal(by["repair_bytes_total"], SHARD_BYTES * (4 + 2));
});

test("a shard that a provider does not take counts as a repair that failed, and as read again for another", async (t) => {
  const { grown, put, time, files, ctx, providers, holder } = await fixture(t, { count: 7 });
  const id = await put();
  const { shards } = await files.health({ id }, ctx());
  const spare = providers.find(({ target }) => shards.every(({ provider }) => provider !== target))!;
  bend(spare, () => ({ put: refuse("storage_full") }));
  (await holder(id, 0)).down = true;
  time.pass(61_000);
  const by = await grown(() => files.repair({ id }, ctx()));
  assert.deepEqual([by["repairs_total rebuilt"], by["repairs_total failed"]], [1, 1]);
  assert.equal(by["repair_bytes_total"], SHARD_BYTES * (4 + 4 + 1));
});

test("a move counts as a shard that was rebuilt and its proof among the bytes of audits, and a removal counts nothing", async (t) => {
  const { grown, put, time, files, ctx, providers } = await fixture(t, { count: 7 });
  const [liar, late] = [providers[0]!, providers.at(-1)!];
  late.down = true;
  const ids: string[] = [];
  for (let i = 0; i < 4; i++) ids.push(await put());
  late.down = false;
  const wrong = new Set<string>();
  let bytes = 0;
  for (const provider of providers) {
    bend(provider, (honest) => ({
      prove: async (id, ...args) => {
        if (provider === liar && wrong.size < 3) wrong.add(id);
        if (provider === liar && wrong.has(id)) throw new NodeError("data_corrupt", "Other bytes");
        const proofs = await honest.prove(id, ...args);
        for (const { bytes: leaf, proof } of proofs) bytes += leaf.length + proof.length;
        return proofs;
      },
    }));
  }
  const live = async () => {
    for (let i = 0; i < 2; i++) {
      time.pass(7 * 3_600_000);
      await files.look();
    }
  };
  assert.deepEqual(await grown(live), {
    "audits_total proven": 2 * 4 * 6 - 3,
    "audits_total lost": 3,
    "audit_bytes_total": bytes,
    "repairs_total rebuilt": 4,
    "repair_bytes_total": 4 * 5 * SHARD_BYTES,
  });
  assert.equal((await late.shards.usage(ctx())).shards, 4);
  const removal = async () => {
    for (const id of ids) await files.remove({ id }, ctx());
    await files.look();
  };
  assert.deepEqual(await grown(removal), {});
  for (const { shards } of providers) assert.equal((await shards.usage(ctx())).shards, 0);
});
