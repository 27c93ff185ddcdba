/** What holds for every {@link FileService}. Each test gets a fresh one. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  type CallContext,
  type FileQuery,
  type FileRef,
  type FileService,
  NodeError,
  type PutFileOptions,
} from "../../src/core/mod.ts";
import { test, type TestScope } from "../testing.ts";

export interface FileServiceFixture {
  readonly files: FileService;
  readonly ctx: (signal?: AbortSignal) => CallContext;
}

/** Copies, which are the put's. */
async function* pieces(bytes: Uint8Array, size = 100_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield new Uint8Array(bytes.subarray(at, at + size));
}

const failing = (code: string) => (error: unknown) => {
  assert.ok(error instanceof NodeError, String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

export function fileServiceContract(name: string, open: (t: TestScope) => Promise<FileServiceFixture>): void {
  const put = (
    { files, ctx }: FileServiceFixture,
    fileName: string,
    bytes: Uint8Array,
    more: Partial<PutFileOptions> = {},
  ) => files.put(pieces(bytes), { name: fileName, contentType: "", ...more }, ctx());

  async function read({ files, ctx }: FileServiceFixture, ref: FileRef, range?: { start: number; end: number }) {
    const file = await files.open(ref, ctx());
    const all: Uint8Array[] = [];
    for await (const piece of file.read(range, ctx().signal)) all.push(piece.slice());
    return Buffer.concat(all);
  }

  for (const size of [0, 1, 65_519, 65_520, 65_521, 262_080, 262_081, 5_000_000]) {
    test(`${name}: a file of ${size} bytes reads back equal, whole and in ranges`, async (t) => {
      const fixture = await open(t);
      const bytes = randomBytes(size);
      const record = await put(fixture, "a", bytes);
      assert.equal(record.sizeBytes, size);
      assert.equal(record.sha256, createHash("sha256").update(bytes).digest("hex"));
      assert.equal(record.contentType, "application/octet-stream");
      assert.ok((await read(fixture, { id: record.id })).equals(bytes));
      for (const [start, end] of [[0, 1], [size - 1, size], [Math.floor(size / 3), Math.floor(size / 2)]] as const) {
        if (start < 0 || end > size || start >= end) continue;
        assert.ok(
          (await read(fixture, { name: "a" }, { start, end })).equals(bytes.subarray(start, end)),
          `${start}-${end}`,
        );
      }
    });
  }

  test(`${name}: a name that is taken gets a version, and each stays readable`, async (t) => {
    const fixture = await open(t);
    const { files, ctx } = fixture;
    const first = await put(fixture, "a", Buffer.from("one"));
    const second = await put(fixture, "a", Buffer.from("two"));
    assert.deepEqual([first.version, second.version, second.isLatest], [1, 2, true]);
    assert.equal((await files.stat({ id: first.id }, ctx())).isLatest, false);
    assert.equal((await read(fixture, { name: "a" })).toString(), "two");
    assert.equal((await read(fixture, { name: "a", version: 1 })).toString(), "one");
    await files.remove({ id: second.id }, ctx());
    assert.equal((await read(fixture, { name: "a" })).toString(), "one");
    await put(fixture, "a", Buffer.from("three"));
    await files.remove({ name: "a" }, ctx());
    await assert.rejects(files.stat({ name: "a" }, ctx()), failing("not_found"));
    await assert.rejects(files.stat({ id: first.id }, ctx()), failing("not_found"));
  });

  test(`${name}: puts of one name at once make a version each, and each is whole`, async (t) => {
    const fixture = await open(t);
    const contents = Array.from({ length: 3 }, (_, i) => randomBytes(300_000 + i));
    const records = await Promise.all(contents.map((bytes) => put(fixture, "a", bytes)));
    assert.deepEqual(records.map(({ version }) => version).sort(), [1, 2, 3]);
    for (const [i, { id, version }] of records.entries()) {
      assert.ok((await read(fixture, { id })).equals(contents[i]!));
      assert.ok((await read(fixture, { name: "a", version })).equals(contents[i]!));
    }
  });

  test(`${name}: names, sizes and policies out of bounds are refused, and leave nothing`, async (t) => {
    const fixture = await open(t);
    const { files, ctx } = fixture;
    for (const bad of ["", "é".repeat(2049)]) {
      await assert.rejects(put(fixture, bad, randomBytes(1)), failing("invalid_argument"));
    }
    await assert.rejects(put(fixture, "a", randomBytes(9), { sizeBytes: 10 }), failing("invalid_argument"));
    await assert.rejects(put(fixture, "a", randomBytes(11), { sizeBytes: 10 }), failing("invalid_argument"));
    await assert.rejects(
      put(fixture, "a", randomBytes(1), { policy: { dataShards: 0, parityShards: 1 } }),
      failing("invalid_argument"),
    );
    await put(fixture, "é".repeat(2048), randomBytes(10), { sizeBytes: 10 });
    const query: FileQuery = { prefix: "", delimiter: "", allVersions: false, pageSize: 10, pageToken: "" };
    assert.equal((await files.list(query, ctx())).files.length, 1);
  });

  test(`${name}: renames all versions to a name that is free`, async (t) => {
    const fixture = await open(t);
    const { files, ctx } = fixture;
    await put(fixture, "a", Buffer.from("1"));
    await put(fixture, "a", Buffer.from("2"));
    await put(fixture, "b", Buffer.from("3"));
    await assert.rejects(files.rename({ name: "a" }, "b", ctx()), failing("already_exists"));
    assert.equal((await files.rename({ name: "a" }, "c", ctx())).name, "c");
    assert.equal((await read(fixture, { name: "c", version: 1 })).toString(), "1");
    await assert.rejects(files.stat({ name: "a" }, ctx()), failing("not_found"));
  });

  test(`${name}: renames in opposite directions at once end, and leave each file one whole name`, async (t) => {
    const fixture = await open(t);
    const { files, ctx } = fixture;
    await put(fixture, "a", Buffer.from("1"));
    await put(fixture, "a", Buffer.from("2"));
    await put(fixture, "b", Buffer.from("3"));
    const ends = await Promise.allSettled([
      files.rename({ name: "a" }, "b", ctx()),
      files.rename({ name: "b" }, "a", ctx()),
      files.rename({ name: "a" }, "c", ctx()),
      files.rename({ name: "b" }, "c", ctx()),
    ]);
    const done = ends.flatMap((end) => end.status === "fulfilled" ? [end.value.name] : []);
    for (const end of ends) {
      if (end.status === "rejected") assert.ok(["already_exists", "not_found"].includes(end.reason.code), end.reason);
    }
    assert.ok(done.includes("c"));
    const query: FileQuery = { prefix: "", delimiter: "", allVersions: true, pageSize: 10, pageToken: "" };
    const names = (await files.list(query, ctx())).files.map((file) => `${file.name} ${file.version}`);
    assert.equal(new Set(names).size, 3, names.join());
    const ofTwo = names.filter((one) => one.endsWith(" 2")).map((one) => one.slice(0, 1));
    assert.ok(names.includes(`${ofTwo[0]} 1`), names.join());
  });

  test(`${name}: a source that breaks leaves an upload, which goes on with the same bytes`, async (t) => {
    const fixture = await open(t);
    const { files, ctx } = fixture;
    const bytes = randomBytes(9_000_000);
    async function* breaking() {
      yield* pieces(bytes.subarray(0, 8_500_000));
      await new Promise((resolve) => setTimeout(resolve, 100));
      throw new NodeError("canceled", "The client went away");
    }
    await assert.rejects(files.put(breaking(), { name: "a", contentType: "" }, ctx()));
    const query: FileQuery = { prefix: "a", delimiter: "", allVersions: true, pageSize: 10, pageToken: "" };
    const [upload] = (await files.list(query, ctx())).files;
    assert.equal(upload?.state, "uploading");
    const done = await put(fixture, "a", bytes, { resume: upload!.id });
    assert.equal(done.id, upload!.id);
    assert.ok((await read(fixture, { id: done.id })).equals(bytes));
  });

  test(`${name}: health, audit, and events of one file`, async (t) => {
    const fixture = await open(t);
    const { files, ctx } = fixture;
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { type, record } of files.watch(undefined, ctx(stop.signal))) {
        seen.push(`${type} ${record?.state ?? ""}`);
      }
    })().catch(() => {});
    const { id } = await put(fixture, "a", randomBytes(3_000_000));
    assert.equal((await files.health({ id }, ctx())).margin >= 1, true);
    const audited = await files.audit({ id }, ctx());
    assert.ok(audited.shards.some(({ state }) => state === "proven"));
    assert.ok(audited.risk >= 0 && audited.risk <= 1);
    await files.remove({ id }, ctx());
    await new Promise((resolve) => setTimeout(resolve, 20));
    stop.abort();
    await watching;
    assert.ok(seen.some((event) => event.startsWith("progress")), seen.join());
    assert.ok(seen.includes("removed removed"), seen.join());
  });

  test(`${name}: what is read no more costs nothing more`, async (t) => {
    const fixture = await open(t);
    const { files, ctx } = fixture;
    const { id } = await put(fixture, "a", randomBytes(4_000_000));
    const file = await files.open({ id }, ctx());
    for await (const _ of file.read(undefined, ctx().signal)) break;
    const gone = new AbortController();
    await assert.rejects(async () => {
      for await (const _ of file.read(undefined, gone.signal)) gone.abort(new NodeError("canceled", "gone"));
    });
  });
}
