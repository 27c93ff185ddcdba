import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cutPieces, PIECE_BYTES, UploadJournal } from "../../src/requester/upload-journal.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";

const ID = "ab".repeat(16);

async function* source(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1_000_003) yield bytes.subarray(at, at + 1_000_003);
}

/** Passes bytes through a journal; tells how many were let on. */
async function pass(
  { store, bytes, resumes }: {
    store: ReturnType<typeof openMemoryStore>["files"];
    bytes: Uint8Array;
    resumes: boolean;
  },
): Promise<{ passed: number; error: unknown }> {
  const journal = new UploadJournal({ fileId: ID, store, resumes, signal: new AbortController().signal });
  let passed = 0;
  try {
    for await (const chunk of journal.pass(cutPieces(source(bytes)))) passed += chunk.length;
  } catch (error) {
    return { passed, error };
  }
  return { passed, error: undefined };
}

const whole = randomBytes(3 * PIECE_BYTES);

test("the memory of a chunk is given back when the next is asked for, and of one that lies in two pieces it is not", async () => {
  const chunks = [PIECE_BYTES - 100_000, 200_000, 100_000].map((length) => new Uint8Array(length).fill(length));
  const store = openMemoryStore().files;
  const journal = new UploadJournal({ fileId: ID, store, resumes: false, signal: new AbortController().signal });
  const held = [];
  const lengths = () => chunks.map(({ length }) => length);
  async function* given() {
    yield* chunks;
  }
  for await (const _chunk of journal.pass(cutPieces(given()))) held.push(lengths());
  assert.deepEqual(held, [
    [PIECE_BYTES - 100_000, 200_000, 100_000],
    [0, 200_000, 100_000],
    [0, 200_000, 100_000],
    [0, 200_000, 100_000],
  ]);
  assert.deepEqual(lengths(), [0, 200_000, 0]);
});

for (
  const { what, first, then, lets } of [
    { what: "the same bytes", first: 2 * PIECE_BYTES, then: whole.subarray(0, 2 * PIECE_BYTES), lets: undefined },
    {
      what: "fewer bytes, ending where a piece does",
      first: 3 * PIECE_BYTES,
      then: whole.subarray(0, PIECE_BYTES),
      lets: 0,
    },
    {
      what: "fewer bytes, ending where the second piece does",
      first: 3 * PIECE_BYTES,
      then: whole.subarray(0, 2 * PIECE_BYTES),
      lets: PIECE_BYTES,
    },
    {
      what: "fewer bytes by one",
      first: 2 * PIECE_BYTES,
      then: whole.subarray(0, 2 * PIECE_BYTES - 1),
      lets: PIECE_BYTES,
    },
    { what: "no bytes", first: 5, then: whole.subarray(0, 0), lets: 0 },
    {
      what: "more bytes, from where a piece ends on",
      first: PIECE_BYTES,
      then: whole.subarray(0, PIECE_BYTES + 1),
      lets: 0,
    },
    { what: "a piece more", first: 2 * PIECE_BYTES, then: whole, lets: PIECE_BYTES },
    { what: "more bytes by one", first: PIECE_BYTES + 7, then: whole.subarray(0, PIECE_BYTES + 8), lets: PIECE_BYTES },
    { what: "bytes where there were none", first: 0, then: whole.subarray(0, 1), lets: 0 },
    {
      what: "another byte",
      first: 2 * PIECE_BYTES,
      then: Buffer.from(whole.subarray(0, 2 * PIECE_BYTES)).fill(whole[PIECE_BYTES]! ^ 1, PIECE_BYTES, PIECE_BYTES + 1),
      lets: PIECE_BYTES,
    },
  ]
) {
  test(`an upload ${lets === undefined ? "goes" : "does not go"} on with ${what}`, async (t) => {
    const store = openMemoryStore();
    t.after(() => store.close());
    const before = await pass({ store: store.files, bytes: whole.subarray(0, first), resumes: false });
    assert.deepEqual(before, { passed: first, error: undefined });
    const { passed, error } = await pass({ store: store.files, bytes: then, resumes: true });
    if (lets === undefined) {
      assert.deepEqual([passed, error], [then.length, undefined]);
    } else {
      assert.equal((error as { code?: string } | undefined)?.code, "failed_precondition");
      assert.ok(passed <= lets, `${passed} bytes were let on`);
    }
  });
}

test("an upload that stopped early goes on with more than it had, but not with an end where there was none", async (t) => {
  const store = openMemoryStore();
  t.after(() => store.close());
  await pass({ store: store.files, bytes: whole, resumes: false });
  const [first] = await store.files.pieces(ID, 0, 10);
  await store.files.write([
    { type: "dropPieces", fileId: ID, count: 3 },
    { type: "piece", fileId: ID, index: 0, digest: first! },
  ], { durable: true });
  const ended = await pass({ store: store.files, bytes: whole.subarray(0, PIECE_BYTES), resumes: true });
  assert.deepEqual([ended.passed, (ended.error as { code?: string }).code], [0, "failed_precondition"]);
  assert.deepEqual(await pass({ store: store.files, bytes: whole, resumes: true }), {
    passed: whole.length,
    error: undefined,
  });
});
