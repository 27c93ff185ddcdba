import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { checkFiles, fileKeyringOf } from "../../src/requester/mod.ts";
import { test } from "../testing.ts";
import { once, readAll, settled, type Swarm, swarm, type SwarmOptions } from "./file-swarm.ts";

const POLICY = { dataShards: 2, parityShards: 1 };

async function kept(t: Parameters<typeof swarm>[0], options: SwarmOptions = {}) {
  const fixture = await swarm(t, { count: 4, ...options });
  const bytes = randomBytes(5000);
  const put = async (name: string) => {
    const { id } = await fixture.files.put(once(bytes), { name, contentType: "", policy: POLICY }, fixture.ctx());
    await settled(fixture, id);
    return id;
  };
  return { fixture, bytes, put };
}

async function check({ store, masterKey }: Swarm, { repair = false, keys = fileKeyringOf(masterKey) } = {}) {
  const { files, problems } = await checkFiles(store, { keys, repair, now: Date.now() });
  return { files, found: problems.map(({ message }) => message).join("\n"), count: problems.length };
}

async function recordOf({ store }: Swarm, id: string) {
  return (await store.getMany([id]))[0]!;
}

test("checkFiles() finds nothing in files that were put, renamed, repaired and removed, nor in an upload", async (t) => {
  const { fixture, put } = await kept(t);
  const { files, ctx, providers } = fixture;
  const [first, second, third] = [await put("a"), await put("b"), await put("c")];
  await files.rename({ id: first }, "d", ctx());
  const { shards } = await files.health({ id: second }, ctx());
  providers.find(({ target }) => target === shards[0]!.provider)!.down = true;
  await files.repair({ id: second }, ctx());
  await files.remove({ id: third }, ctx());
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(6_000_000);
    throw new Error("gone");
  }
  await assert.rejects(files.put(broken(), { name: "e", contentType: "", policy: POLICY }, ctx()));
  const { files: count, found } = await check(fixture);
  assert.deepEqual([found, count >= 3], ["", true]);
});

test("checkFiles() names a manifest that is gone, and an import of a copy puts it back", async (t) => {
  const { fixture, bytes, put } = await kept(t);
  const { files, ctx, store } = fixture;
  const id = await put("a");
  const copy = await files.exportManifest({ id }, ctx());
  const file = await recordOf(fixture, id);
  await assert.rejects(files.importManifest(copy, ctx()), { code: "already_exists" });
  await store.write([{ type: "remove", file }, { type: "save", file }], { durable: true });
  const { found, count } = await check(fixture, { repair: true });
  assert.match(found, new RegExp(`^File ${id} \\("a"\\) has no manifest$`));
  assert.equal(count, 1);
  await assert.rejects(readAll(fixture, id), { code: "failed_precondition" });
  assert.equal((await files.importManifest(copy, ctx())).id, id);
  assert.equal((await check(fixture)).found, "");
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("checkFiles() finds a flipped bit anywhere in a manifest", async (t) => {
  const { fixture, put } = await kept(t);
  const { files, ctx, store } = fixture;
  const id = await put("a");
  const whole = await files.exportManifest({ id }, ctx());
  const file = await recordOf(fixture, id);
  for (let at = 0; at < whole.length; at += 29) {
    const manifest = whole.slice();
    manifest[at]! ^= 1 << (at % 8);
    await store.write([{ type: "save", file, before: file, manifest }], { durable: true });
    const { found } = await check(fixture);
    assert.match(found, /has a manifest that cannot be used: /, `byte ${at}`);
  }
});

test("checkFiles() compares id, size, policy, count of shards and places with the record", async (t) => {
  const { fixture, put } = await kept(t);
  const { files, ctx, store } = fixture;
  const [id, other] = [await put("a"), await put("b")];
  const file = await recordOf(fixture, id);
  const cases: readonly (readonly [changed: typeof file, fault: RegExp])[] = [
    [{ ...file, sizeBytes: 5001 }, /has 5001 bytes, and 5000 in its manifest/],
    [{ ...file, policy: { dataShards: 1, parityShards: 2 } }, /is spread 1\+2, and 2\+1/],
    [{ ...file, shards: file.shards.slice(1) }, /has 2 shards, and 3 in/],
    [{ ...file, shards: file.shards.map((one) => ({ ...one, target: "127.0.0.1:1" })) }, /shard 0 at 127.0.0.1:1, and/],
  ];
  for (const [changed, fault] of cases) {
    await store.write([{ type: "save", file: changed, before: file }], { durable: true });
    assert.match((await check(fixture)).found, fault);
  }
  const manifest = await files.exportManifest({ id: other }, ctx());
  await store.write([{ type: "save", file, before: file, manifest }], { durable: true });
  assert.match((await check(fixture)).found, new RegExp(`has the manifest of file ${other}`));
  const { found } = await check(fixture, { keys: fileKeyringOf(randomBytes(32)) });
  assert.equal(found.match(/cannot be used: .*opens with this master key/g)?.length, 2);
});

test("checkFiles() makes a record for a manifest that has none, and the file is read again", async (t) => {
  const { fixture, bytes, put } = await kept(t);
  const { files, ctx, store } = fixture;
  const id = await put("a");
  const manifest = await files.exportManifest({ id }, ctx());
  const file = await recordOf(fixture, id);
  // The record alone is gone, as when it could not be read after a repair of the database.
  await store.write([{ type: "remove", file }], { durable: true });
  const stray = { ...file, id: "ab".repeat(16) };
  await store.write([{ type: "save", file, manifest }, { type: "save", file: stray, manifest }], { durable: true });
  await dropRecords(fixture, [id, stray.id]);
  assert.equal((await check(fixture)).count, 2);
  const { found } = await check(fixture, { repair: true });
  assert.match(found, new RegExp(`manifest of file ${id} and no record; its file is called "a"`));
  assert.match(found, new RegExp(`manifest of file ${stray.id} and no record; it is that of file ${id}`));
  assert.equal((await files.stat({ name: `recovered/${id}` }, ctx())).id, id);
  assert.ok((await readAll(fixture, id)).equals(bytes));
  assert.equal((await check(fixture)).count, 1, "the stray one is never dropped");
});

test("checkFiles() names digests of an upload that is no more, and drops them", async (t) => {
  const { fixture, put } = await kept(t);
  const { store } = fixture;
  const id = await put("a");
  const gone = "00".repeat(16);
  const piece = (fileId: string, index: number) => ({ type: "piece", fileId, index, digest: "d" }) as const;
  await store.write([piece(id, 0), ...Array.from({ length: 1001 }, (_, i) => piece(gone, i))], { durable: true });
  const { found, count } = await check(fixture, { repair: true });
  assert.equal(count, 2);
  assert.match(found, new RegExp(`digests of file ${gone}, and there is no such file`));
  assert.match(found, new RegExp(`digests of file ${id}, and it is no upload`));
  assert.deepEqual([await store.pieces(gone, 0, 1), await store.pieces(id, 0, 1)], [[], []]);
  assert.equal((await check(fixture)).count, 0);
});

test("an upload that is given up or removed leaves no digests", async (t) => {
  const { fixture } = await kept(t);
  const { files, ctx, store } = fixture;
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(9_000_000);
    throw new Error("gone");
  }
  await assert.rejects(files.put(broken(), { name: "a", contentType: "", policy: POLICY }, ctx()));
  const [file] = await store.all("", 1);
  assert.ok((await store.pieces(file!.id, 0, 10)).length > 0);
  await files.remove({ id: file!.id }, ctx());
  await files.look();
  assert.deepEqual(await store.all("", 1), []);
  assert.deepEqual(await store.pieces(file!.id, 0, 10), []);
});

test("a file that is removed while it is put stays removed", async (t) => {
  const { fixture } = await kept(t);
  const { files, ctx, store, providers } = fixture;
  let go!: () => void;
  const held = new Promise<void>((resolve) => go = resolve);
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield randomBytes(5_000_000);
    await held;
    yield randomBytes(1000);
  }
  const putting = files.put(slow(), { name: "a", contentType: "", policy: POLICY }, ctx());
  putting.catch(() => {});
  while ((await store.all("", 1)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await files.remove({ name: "a" }, ctx());
  go();
  await assert.rejects(putting, { code: "failed_precondition" });
  await files.look();
  assert.deepEqual(await store.all("", 1), []);
  for (const { shards } of providers) assert.equal((await shards.usage(ctx())).shards, 0);
});

/** Drops records and leaves their manifests. */
async function dropRecords({ engine }: Swarm, ids: readonly string[]): Promise<void> {
  const keys = await engine.keys({ gt: "!file", lt: "!file~", limit: 1000 });
  const ops = keys.filter((key) => !key.startsWith("!file-manifest!") && ids.some((id) => key.includes(id)));
  await engine.write(ops.map((key) => ({ type: "del", key })));
}
