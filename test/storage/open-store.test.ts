import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Level } from "level";
import { isDeno, NodeError, type StoredFile } from "../../src/core/mod.ts";
import { type Migration, openStore, SCHEMA_VERSION } from "../../src/storage/mod.ts";
import { moved, storedTask } from "../contract-suites/task-store.ts";
import { withFolder } from "./temp-folder.ts";

function failure(code: string, message: RegExp) {
  return (error: unknown) => {
    assert(error instanceof NodeError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);

test("openStore() creates folders that are missing, and finds everything again", () =>
  withFolder(async (folder) => {
    const path = join(folder, "deep", "er", "db");
    const first = await openStore(path);
    await first.meta.put("plugins/demo", "on");
    await first.tasks.write([{ type: "add", task: storedTask({ inputBytes: 3 }), input: bytes("abc") }], {
      durable: true,
    });
    await first.close();
    const second = await openStore(path);
    assert.equal(await second.meta.get("plugins/demo"), "on");
    assert.deepEqual(await second.tasks.get(storedTask().record), storedTask({ inputBytes: 3 }));
    assert.deepEqual(second.tasks.totals(), { tasks: 1, inputBytes: 3, outputBytes: 0 });
    await second.close();
  }));

test("close() waits for what was handed in, and can be called twice", () =>
  withFolder(async (folder) => {
    const path = join(folder, "db");
    const store = await openStore(path);
    const writes = Array.from({ length: 50 }, (_, i) => store.meta.put(`k${i}`, "v"));
    await Promise.all([store.close(), store.close(), ...writes]);
    await assert.rejects(store.meta.put("late", "v"), failure("storage_failed", /closed/));
    await assert.rejects(store.meta.get("k1"), failure("storage_failed", /closed/));
    const again = await openStore(path);
    assert.equal((await again.meta.list("k", { limit: 100 })).length, 50);
    await again.close();
  }));

test("a data directory in use by this process is refused", () =>
  withFolder(async (folder) => {
    const store = await openStore(join(folder, "db"));
    await assert.rejects(
      openStore(join(folder, "db")),
      failure("storage_locked", new RegExp(`this process \\(${process.pid}\\)`)),
    );
    await store.meta.put("still", "works");
    await store.close();
    await (await openStore(join(folder, "db"))).close();
  }));

test("a data directory in use by another process is refused with its pid, and free once that was killed", () =>
  withFolder(async (folder) => {
    const path = join(folder, "db");
    const script = fileURLToPath(new URL("./hold-store.ts", import.meta.url));
    const args = isDeno ? ["run", "-A", "--no-check", script, path] : [script, path];
    const holder = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(holder.stdout, "data");
      await assert.rejects(openStore(path), (error) => {
        failure("storage_locked", new RegExp(`process ${holder.pid}: stop it`))(error);
        assert.equal((error as NodeError).data.pid, holder.pid);
        return true;
      });
    } finally {
      holder.kill("SIGKILL");
      await once(holder, "close");
    }
    await (await openStore(path)).close();
  }));

test("a file in the place of the data directory is refused", () =>
  withFolder(async (folder) => {
    await writeFile(join(folder, "db"), "not a folder");
    await assert.rejects(openStore(join(folder, "db")), failure("storage_failed", /db cannot be read or written/));
  }));

test("a store of a newer schema is refused", () =>
  withFolder(async (folder) => {
    const path = join(folder, "db");
    await (await openStore(path)).close();
    const db = new Level(path);
    await db.put("!system!schema", JSON.stringify({ version: SCHEMA_VERSION + 1 }));
    await db.close();
    await assert.rejects(openStore(path), failure("storage_failed", /has schema 4, and this program knows up to 3/));
    const damaged = new Level(path);
    await damaged.put("!system!schema", "{");
    await damaged.close();
    await assert.rejects(openStore(path), failure("storage_failed", /damaged schema record/));
  }));

test("the LevelDB of another program is refused and left alone", () =>
  withFolder(async (folder) => {
    const path = join(folder, "db");
    const foreign = new Level(path);
    await foreign.put("someone", "else");
    await foreign.close();
    await assert.rejects(openStore(path), failure("storage_failed", /another program/));
    const again = new Level(path);
    assert.deepEqual(await again.keys().all(), ["someone"]);
    await again.close();
  }));

test("migrations run in order, once, and go on after a crash in between", () =>
  withFolder(async (folder) => {
    const path = join(folder, "db");
    const store = await openStore(path);
    await store.meta.put("log", "");
    await store.close();
    let crash = true;
    const step = (to: number): Migration => ({
      to,
      async run(engine) {
        if (to === SCHEMA_VERSION + 2 && crash) throw new Error("power cut");
        const log = await engine.get("!meta!log");
        await engine.write([{ type: "put", key: "!meta!log", value: `${log}${to}` }], false);
      },
    });
    const migrations = [step(SCHEMA_VERSION + 1), step(SCHEMA_VERSION + 2)];
    await assert.rejects(openStore(path, { migrations }), failure("storage_failed", /./));
    crash = false;
    const migrated = await openStore(path, { migrations });
    assert.equal(await migrated.meta.get("log"), "45");
    await migrated.close();
    const again = await openStore(path, { migrations });
    assert.equal(await again.meta.get("log"), "45");
    await again.close();
    await assert.rejects(openStore(path), failure("storage_failed", /has schema 5/));
  }));

test("schema 2: files that were kept before are due for a look at their leases", () =>
  withFolder(async (folder) => {
    const path = join(folder, "db");
    const file = (id: string, phase: StoredFile["phase"]): StoredFile => ({
      id: id.repeat(32),
      name: id,
      version: 1,
      contentType: "x/y",
      sizeBytes: 1,
      sha256: "",
      policy: { dataShards: 1, parityShards: 0 },
      createdAt: 1,
      touchedAt: 1,
      warnings: [],
      phase,
      shards: [],
      leftovers: [],
      dueAt: 5,
    });
    const store = await openStore(path);
    const files = [file("a", "kept"), file("b", "removed"), file("c", "uploading")];
    await store.files.write(files.map((one) => ({ type: "save", file: one })), { durable: true });
    await store.close();
    const db = new Level(path);
    const indexed = await db.keys({ gt: "!file-renewal!", lt: "!file-renewal~" }).all();
    assert.equal(indexed.length, 1);
    await db.batch([
      { type: "del", key: indexed[0]! },
      { type: "put", key: "!system!schema", value: JSON.stringify({ version: 1 }) },
    ]);
    await db.close();
    const migrated = await openStore(path);
    assert.deepEqual((await migrated.files.renewals(0, 10)).map(({ name }) => name), ["a"]);
    await migrated.close();
  }));

test("schema 3: what tasks take that were kept before is counted for their requesters", () =>
  withFolder(async (folder) => {
    const path = join(folder, "db");
    const store = await openStore(path);
    const waits = storedTask({ id: "waits", inputBytes: 3 });
    const runs = storedTask({ id: "ends", seq: 2, state: "running" });
    const ended = moved(runs, "succeeded", { storedOutputBytes: 4, expiresAt: 5000 });
    await store.tasks.write([
      { type: "add", task: waits, input: bytes("abc") },
      { type: "add", task: runs, input: bytes("") },
      { type: "end", task: ended, output: bytes("four") },
    ], { durable: true });
    const { requester } = waits.record;
    const before = store.tasks.room(requester);
    await store.close();
    const db = new Level(path);
    const counted = await db.keys({ gt: "!account!task.owner", lt: "!account!task.owner~" }).all();
    assert.equal(counted.length, 1);
    await db.batch([
      { type: "del", key: counted[0]! },
      { type: "put", key: "!system!schema", value: JSON.stringify({ version: 2 }) },
    ]);
    await db.close();
    const migrated = await openStore(path);
    assert.deepEqual(migrated.tasks.room(requester), before);
    assert.equal(before.ofRequester, 2 * 1024 + 7);
    await migrated.close();
  }));

for (const damage of ["MANIFEST emptied", "MANIFEST scrambled", "CURRENT removed", "CURRENT scrambled"] as const) {
  test(`a damaged database (${damage}) is repaired, with its indexes and totals`, () =>
    withFolder(async (folder) => {
      const path = join(folder, "db");
      const store = await openStore(path);
      const open = storedTask({ id: "open", inputBytes: 3, seq: 1 });
      const done = moved(storedTask({ id: "done", seq: 2, createdAt: 2000 }), "succeeded", {
        storedOutputBytes: 4,
        expiresAt: 5000,
      });
      await store.tasks.write([{ type: "add", task: open, input: bytes("abc") }], { durable: true });
      await store.tasks.write([{ type: "add", task: moved(done, "running"), input: bytes("") }], { durable: true });
      await store.tasks.write([{ type: "end", task: done, output: bytes("four") }], { durable: true });
      await store.meta.put("k", "v");
      await store.close();
      const [manifest] = (await readdir(path)).filter((name) => name.startsWith("MANIFEST"));
      if (damage === "MANIFEST emptied") await truncate(join(path, manifest!), 0);
      if (damage === "MANIFEST scrambled") await scramble(join(path, manifest!));
      if (damage === "CURRENT removed") await rm(join(path, "CURRENT"));
      if (damage === "CURRENT scrambled") await writeFile(join(path, "CURRENT"), "nonsense");
      const repaired = await openStore(path);
      assert.equal(await repaired.meta.get("k"), "v");
      assert.deepEqual(await repaired.tasks.unfinished(undefined, 10), [open]);
      assert.deepEqual(await repaired.tasks.body(open, "input"), bytes("abc"));
      assert.deepEqual(await repaired.tasks.expired(5000, 10), [done]);
      assert.deepEqual(await repaired.tasks.body(done, "output"), bytes("four"));
      assert.deepEqual(repaired.tasks.totals(), { tasks: 2, inputBytes: 3, outputBytes: 4 });
      await repaired.close();
      await (await openStore(path)).close();
    }));
}

test("a database beyond repair is refused with the cure", () =>
  withFolder(async (folder) => {
    const path = join(folder, "db");
    await (await openStore(path)).close();
    const [manifest] = (await readdir(path)).filter((name) => name.startsWith("MANIFEST"));
    // A folder where LevelDB wants a file can be neither read nor moved away by its repair.
    await rm(join(path, manifest!));
    await rm(join(path, "CURRENT"));
    await mkdir(join(path, "CURRENT"));
    await assert.rejects(openStore(path), failure("storage_failed", /beyond repair|cannot be read/));
  }));

async function scramble(file: string): Promise<void> {
  const content = await readFile(file);
  await writeFile(file, content.map((byte) => byte ^ 0x5a));
}
