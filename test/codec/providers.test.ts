// What providers may do to a put, a get and a repair: fail, lie, stall, come late.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CELL_PLAINTEXT_BYTES,
  decodeRange,
  DEFAULT_POLICY,
  deriveMaskKey,
  encodeFile,
  rebuildShards,
} from "../../src/codec/mod.ts";
import type { ShardReader } from "../../src/codec/mod.ts";
import { NodeError } from "../../src/core/mod.ts";
import {
  decodeOptions,
  FILE_ID,
  FILE_KEY,
  getFile,
  inChunks,
  MemoryShard,
  pseudoRandom,
  putFile,
  sameBytes,
  testHeader,
} from "./memory-shards.ts";
import type { MemoryFile } from "./memory-shards.ts";

const WINDOW = 16 * CELL_PLAINTEXT_BYTES;
const bytes = pseudoRandom(2 * WINDOW + 777);
const never = new Promise<never>(() => {});

/** The file's readers, those of shards 0 and 1 (both hold data) made bad. */
function withBad(file: MemoryFile, bad: (shard: MemoryShard) => ShardReader): (ShardReader | undefined)[] {
  return file.shards.map((shard, i) => i < 2 ? bad(shard) : shard);
}

const lies: Readonly<Record<string, (shard: MemoryShard) => ShardReader>> = {
  "wrong bytes": (shard) => ({
    read: async (span) => {
      const piece = await shard.read(span);
      piece.bytes[0]! ^= 1;
      return piece;
    },
  }),
  "an old proof": (shard) => ({
    read: async (span) => ({ ...(await shard.read(span)), proof: (await shard.read({ start: 0, end: 1024 })).proof }),
  }),
  "another place": (shard) => ({ read: () => shard.read({ start: 65_536 * 7, end: 65_536 * 8 }) }),
  "half an answer": (shard) => ({ read: (span) => shard.read({ start: span.start, end: span.start + 1024 }) }),
  "nothing": () => ({ read: () => Promise.resolve({ bytes: new Uint8Array(0), proof: new Uint8Array(0) }) }),
  "an error": () => ({ read: () => Promise.reject(new Error("gone")) }),
  "an exception": () => ({
    read: () => {
      throw new TypeError("broken");
    },
  }),
};

for (const [name, lie] of Object.entries(lies)) {
  test(`a get survives two providers that answer with ${name}, and asks each once`, async () => {
    const file = await putFile(bytes, DEFAULT_POLICY);
    const failed: number[] = [];
    const readers = withBad(file, lie);
    assert.ok(sameBytes(await getFile(file, { readers, onShardFailed: (shard) => failed.push(shard) }), bytes));
    assert.deepEqual(failed.sort(), [0, 1]);
    const three = readers.map((reader, i) => i === 5 ? lie(file.shards[5]!) : reader);
    await assert.rejects(getFile(file, { readers: three }), { code: "shards_missing", message: /Only 3 shards/ });
  });
}

test("a get says how many shards are missing", async () => {
  const file = await putFile(bytes, DEFAULT_POLICY);
  const readers = file.shards.map((shard, i) => i > 0 && i < 4 ? shard : undefined);
  await assert.rejects(getFile(file, { readers }), {
    code: "shards_missing",
    data: { present: 3, needed: 4 },
    retryable: true,
  });
  await assert.rejects(getFile(file, { readers: [] }), { code: "invalid_argument", message: /got 0 readers/ });
});

test("a get reads from the needed data shards alone when no others are left", async () => {
  const file = await putFile(bytes, DEFAULT_POLICY);
  const readers = file.shards.map((shard, i) => i === 2 ? shard : undefined);
  const range = { start: 2 * CELL_PLAINTEXT_BYTES, end: 3 * CELL_PLAINTEXT_BYTES };
  assert.ok(sameBytes(await getFile(file, { readers, range }), bytes.subarray(range.start, range.end)));
});

test("a get passes by a provider that stalls, and asks it last from then on", async () => {
  const file = await putFile(bytes, DEFAULT_POLICY);
  let asked = 0;
  const aborted: boolean[] = [];
  const readers: ShardReader[] = [...file.shards];
  readers[1] = {
    read: (_span, signal) => {
      asked++;
      signal.addEventListener("abort", () => aborted.push(true));
      return never;
    },
  };
  // What the clock would do: time passes whenever nothing else happens.
  const hedge = () => new Promise<void>((resolve) => setImmediate(resolve));
  assert.ok(sameBytes(await getFile(file, { readers, hedge }), bytes));
  assert.equal(asked, 1);
  assert.equal(aborted.length, 1, "the read that lost is aborted");
});

test("a get stops when its reader goes away", async () => {
  const file = await putFile(bytes, DEFAULT_POLICY);
  const begun: number[] = [];
  const aborted: number[] = [];
  const readers = file.shards.map((shard, i): ShardReader => ({
    read: (span, signal) => {
      if (span.start === 0) return shard.read(span);
      begun.push(i);
      signal.addEventListener("abort", () => aborted.push(i));
      return never;
    },
  }));
  for await (const piece of decodeRange(decodeOptions(file, { readers }))) {
    assert.equal(piece.length, CELL_PLAINTEXT_BYTES);
    break;
  }
  assert.deepEqual([...new Set(aborted)].sort(), [0, 1, 2, 3]);
  assert.deepEqual(aborted.sort(), begun.sort(), "all that is under way is aborted");
});

test("a get is canceled by its signal, with the signal's reason when that is an error of ours", async () => {
  const file = await putFile(bytes, DEFAULT_POLICY);
  const stalled = file.shards.map((): ShardReader => ({ read: () => never }));
  const controller = new AbortController();
  const reading = getFile(file, { readers: stalled, signal: controller.signal });
  controller.abort();
  await assert.rejects(reading, { code: "canceled", message: /The get was canceled/ });
  await assert.rejects(getFile(file, { signal: controller.signal }), { code: "canceled" });
  const reason = new NodeError("deadline_exceeded", "too late");
  await assert.rejects(getFile(file, { signal: AbortSignal.abort(reason) }), reason);
});

test("a get reads four windows ahead and no more", async () => {
  const file = await putFile(pseudoRandom(8 * WINDOW), DEFAULT_POLICY);
  const reading = decodeRange(decodeOptions(file, { stripesPerRead: 1 }));
  await reading.next();
  assert.deepEqual(file.shards.map(({ reads }) => reads), [5, 5, 5, 5, 0, 0]);
  await reading.return();
});

test("a put waits for its writers: one window is made while one is written, and no more", async () => {
  const chunks = 64;
  let pulled = 0;
  async function* source() {
    while (pulled < chunks) {
      pulled++;
      yield await Promise.resolve(new Uint8Array(WINDOW / 4));
    }
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  let writes = 0;
  const slow = {
    async write() {
      // Four chunks a window, and one more to know that the window is not the last.
      const bound = Math.min(chunks, 4 * (++writes + 1) + 1);
      while (pulled < bound) await turn();
      for (let turns = 0; turns < 50; turns++) await turn();
      assert.equal(pulled, bound, `chunks pulled during write ${writes}`);
    },
  };
  const writers = [slow, ...Array.from({ length: 5 }, () => new MemoryShard())];
  const { sizeBytes } = await encodeFile(source(), { header: testHeader(), policy: DEFAULT_POLICY, writers });
  assert.equal(sizeBytes, 16 * WINDOW);
  assert.equal(writes, 16);
});

test("a put goes on without failed writers while enough last, and knows the roots of all", async () => {
  const whole = await putFile(bytes, DEFAULT_POLICY);
  let writes = 0;
  const failing = {
    write: () => ++writes < 2 ? Promise.resolve() : Promise.reject(new Error("disk full")),
  };
  const shards = whole.shards.map(() => new MemoryShard());
  const writers = shards.map((shard, i) => i === 4 ? failing : shard);
  const failures: number[] = [];
  const encoded = await encodeFile(inChunks(bytes), {
    header: testHeader(),
    policy: DEFAULT_POLICY,
    writers,
    minShards: 5,
    onShardFailed: (shard) => failures.push(shard),
  });
  assert.deepEqual(failures, [4]);
  assert.equal(writes, 2, "a failed writer is left alone");
  assert.deepEqual(encoded, { ...whole.encoded, failedShards: [4] });
});

test("a put fails with the writer's error when too few last", async () => {
  const bad = () => ({ write: () => Promise.reject(new NodeError("storage_full", "no room")) });
  const policy = DEFAULT_POLICY;
  const some = (count: number) => Array.from({ length: 6 }, (_, i) => i < count ? bad() : new MemoryShard());
  const put = (count: number, minShards?: number) =>
    encodeFile(inChunks(bytes), {
      header: testHeader(),
      policy,
      writers: some(count),
      ...(minShards && { minShards }),
    });
  await assert.rejects(put(1), { code: "storage_full" });
  await assert.rejects(put(2, 5), { code: "storage_full" });
  assert.deepEqual((await put(2, 4)).failedShards, [0, 1]);
  await assert.rejects(put(0, 7), { code: "invalid_argument" });
});

test("a put ends with its source's error and with its signal", async () => {
  const policy = DEFAULT_POLICY;
  const writers = () => Array.from({ length: 6 }, () => new MemoryShard());
  async function* broken() {
    yield await Promise.resolve(bytes.subarray(0, 100));
    throw new Error("the client went away");
  }
  await assert.rejects(encodeFile(broken(), { header: testHeader(), policy, writers: writers() }), /went away/);
  const controller = new AbortController();
  async function* canceling() {
    yield await Promise.resolve(bytes);
    controller.abort();
    yield bytes;
  }
  const options = { header: testHeader(), policy, writers: writers(), signal: controller.signal };
  await assert.rejects(encodeFile(canceling(), options), { code: "canceled", message: /The put was canceled/ });
});

const maskKeys = Array.from({ length: 6 }, (_, shard) => deriveMaskKey(FILE_KEY, FILE_ID, shard));

test("lost shards are rebuilt byte for byte without the file key, though a provider lies", async () => {
  const file = await putFile(bytes, DEFAULT_POLICY);
  const { layout, roots } = decodeOptions(file);
  for (const lost of [[0], [5], [1, 4]]) {
    const readers: (ShardReader | undefined)[] = [...file.shards];
    if (lost.length === 1) readers[2] = lies["wrong bytes"]!(file.shards[2]!);
    const targets = lost.map((shard) => ({ shard, writer: new MemoryShard() }));
    await rebuildShards({
      layout,
      roots,
      readers,
      maskKeys,
      wanted: targets,
      onNode: (shard, position, digest) =>
        targets.find((target) => target.shard === shard)!.writer.keep(position, digest),
    });
    for (const { shard, writer } of targets) {
      writer.close();
      assert.ok(sameBytes(writer.bytes, file.shards[shard]!.bytes), `shard ${shard}`);
      assert.deepEqual([...writer.nodes], [...file.shards[shard]!.nodes]);
    }
  }
});

test("a repair fails with too few shards, without a mask key, with a wrong root, and by its signal", async () => {
  const file = await putFile(bytes, DEFAULT_POLICY);
  const { layout, roots } = decodeOptions(file);
  const options = { layout, roots, readers: file.shards, maskKeys, wanted: [{ shard: 0, writer: new MemoryShard() }] };
  const few = file.shards.map((shard, i) => i < 4 ? shard : undefined);
  await assert.rejects(rebuildShards({ ...options, readers: few }), { code: "shards_missing" });
  await assert.rejects(rebuildShards({ ...options, maskKeys: [] }), {
    code: "invalid_argument",
    message: /without its mask key/,
  });
  const forged = roots.map((root, i) => i === 0 ? new Uint8Array(32) : root);
  await assert.rejects(rebuildShards({ ...options, roots: forged }), { code: "data_corrupt", message: /another root/ });
  await assert.rejects(rebuildShards({ ...options, signal: AbortSignal.abort() }), { code: "canceled" });
});
