import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { NodeError, type StoredFile } from "../../src/core/mod.ts";
import { systemRandom } from "../../src/codec/mod.ts";
import { type BackupEntry, createBackup, readBackup } from "../../src/requester/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";

const PASSPHRASE = "correct horse battery";
const LOG_N = 10; // cheap, for tests

function stored(number: number, phase: StoredFile["phase"] = "kept"): StoredFile {
  return {
    id: number.toString(16).padStart(32, "0"),
    name: `file ${number} \n "ü"`,
    version: 1,
    contentType: "text/plain",
    sizeBytes: number,
    sha256: "ab".repeat(32),
    policy: { dataShards: 4, parityShards: 2 },
    createdAt: 1,
    touchedAt: 1,
    warnings: [],
    phase,
    shards: [],
    leftovers: [],
    dueAt: 5,
  };
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

async function backupOf(count: number): Promise<Buffer> {
  const { files } = openMemoryStore();
  for (let number = 1; number <= count; number++) {
    await files.write([{ type: "save", file: stored(number), manifest: new Uint8Array(1000).fill(number) }], {
      durable: true,
    });
  }
  await files.write([{ type: "save", file: stored(999_999, "uploading") }], { durable: true });
  const options = { store: files, secrets: { "a-key": "s3cret" }, passphrase: PASSPHRASE, random: systemRandom };
  return Buffer.concat(await collect(createBackup({ ...options, logN: LOG_N })));
}

const read = (bytes: Uint8Array, passphrase = PASSPHRASE, size = 50_000): Promise<BackupEntry[]> =>
  collect(readBackup(pieces(bytes, size), passphrase));

const fails = (code: string) => (error: unknown) => error instanceof NodeError && error.code === code;

for (const count of [0, 1, 500]) {
  test(`a backup of ${count} files gives secrets, files and manifests back, in pieces of any size`, async () => {
    const backup = await backupOf(count);
    assert.ok(!backup.includes("s3cret") && !backup.includes("file 1"), "nothing is readable");
    for (const size of [1 + (count === 500 ? 4000 : 0), 65_536, 10 ** 7]) {
      const entries = await read(backup, PASSPHRASE, size);
      assert.deepEqual(entries[0], { type: "secret", name: "a-key", text: "s3cret" });
      assert.deepEqual(entries.at(-1), { type: "end", files: count, custody: 0 });
      const files = entries.filter((entry) => entry.type === "file");
      assert.equal(files.length, count, "the upload is left out");
      for (const [i, { file, manifest }] of files.entries()) {
        assert.deepEqual(file, stored(i + 1));
        assert.ok(Buffer.from(manifest!, "base64").equals(Buffer.alloc(1000, i + 1)));
      }
    }
  });
}

test("backups of each version are read as the vectors have them", async () => {
  const path = new URL("../vectors/storage-files.json", import.meta.url);
  const { backups } = JSON.parse(await readFile(path, "utf8"));
  for (const { version, passphrase, bytes, entries } of backups) {
    assert.equal(Buffer.from(bytes, "hex")[7], version);
    assert.deepEqual(await read(Buffer.from(bytes, "hex"), passphrase), entries);
  }
  const { entries, bytes } = backups.at(-1);
  const { files } = openMemoryStore();
  const file = entries.find(({ type }: BackupEntry) => type === "file");
  await files.write([{ type: "save", file: file.file, manifest: Buffer.from(file.manifest, "base64") }], {
    durable: true,
  });
  const { id, text } = entries.find(({ type }: BackupEntry) => type === "custody");
  const made = createBackup({
    store: files,
    custody: () => Promise.resolve([[id, text]]),
    secrets: { "node-key": "s3cret" },
    passphrase: PASSPHRASE,
    random: (length) => new Uint8Array(length).fill(7),
    logN: LOG_N,
  });
  assert.equal(Buffer.concat(await collect(made)).toString("hex"), bytes);
});

test("a backup does not open with another passphrase", async () => {
  await assert.rejects(read(await backupOf(3), "correct horse batterz"), fails("permission_denied"));
});

test("a backup that was cut anywhere, changed anywhere or lengthened is refused", async () => {
  const backup = await backupOf(200);
  const damaged = (error: unknown) => fails("data_corrupt")(error) || fails("permission_denied")(error);
  for (const length of [backup.length - 1, backup.length - 65_536, 25 + 65_536, 25 + 65_535, 26, 25]) {
    await assert.rejects(read(backup.subarray(0, length)), damaged, `cut to ${length}`);
  }
  await assert.rejects(read(backup.subarray(0, 24)), fails("invalid_argument"));
  for (const at of [9, 20, 25, 1000, 70_000, backup.length - 1]) {
    const changed = Buffer.from(backup);
    changed[at]! ^= 1;
    await assert.rejects(read(changed), damaged, `byte ${at}`);
  }
  await assert.rejects(read(Buffer.concat([backup, Buffer.alloc(1)])), damaged);
});

test("what is no backup, or asks for too much, is refused by name", async () => {
  const backup = await backupOf(0);
  await assert.rejects(read(Buffer.from("hello")), fails("invalid_argument"));
  const newer = Buffer.from(backup);
  newer[7] = 3;
  await assert.rejects(read(newer), fails("unimplemented"));
  const costly = Buffer.from(backup);
  costly[8] = 31;
  await assert.rejects(read(costly), fails("invalid_argument"));
  const { files: store } = openMemoryStore();
  const short = createBackup({ store, secrets: {}, passphrase: "1234567", random: systemRandom });
  await assert.rejects(collect(short), fails("invalid_argument"));
});
