import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { progressText, showBytes } from "../../src/cli/progress.ts";
import { serve } from "../rest/harness.ts";
import { test } from "../testing.ts";
import { runHere, runProcess, start } from "./harness.ts";

interface Scope {
  after(f: () => unknown): void;
}

/** A folder, a node that keeps its files in memory, and the way to run commands on both. */
async function place(t: Scope) {
  const cwd = mkdtempSync(join(tmpdir(), "velas-cli-"));
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  const node = await serve(t);
  const env = { VELAS_SPHERE_URL: node.url };
  const run = (args: string[], more: Parameters<typeof runHere>[1] = {}) =>
    runHere(["file", ...args], { cwd, env, ...more });
  return { cwd, env, run, files: node.files, path: (name: string) => join(cwd, name) };
}

for (const size of [0, 1, 1_000_003]) {
  test(`a file of ${size} bytes is put and fetched`, async (t) => {
    const { run, path } = await place(t);
    const bytes = randomBytes(size);
    writeFileSync(path("in.bin"), bytes);
    const put = await run(["put", "in.bin", "folder/"]);
    assert.equal(put.code, 0, put.stderr);
    assert.match(put.stdout, /folder\/in\.bin/);
    const get = await run(["get", "folder/in.bin", "out.bin"]);
    assert.equal(get.code, 0, get.stderr);
    assert.ok(readFileSync(path("out.bin")).equals(bytes));
    assert.equal(existsSync(path("out.bin.part")), false);
    assert.equal((await run(["get", "folder/in.bin"])).code, 0);
    assert.ok(existsSync(path("in.bin")));
  });
}

test("standard input and output carry any bytes, in real processes", async (t) => {
  const { env, files } = await place(t);
  const bytes = randomBytes(300_000);
  const put = await runProcess(["file", "put", "-", "piped", "--json"], { env, input: bytes });
  assert.equal(put.code, 0, put.stderr);
  assert.equal(JSON.parse(put.stdout).sizeBytes, bytes.length);
  const child = start(["file", "get", "piped", "-"], { env });
  child.stdin.end();
  const pieces: Uint8Array[] = [];
  for await (const piece of child.stdout) pieces.push(piece as Uint8Array);
  assert.ok(Buffer.concat(pieces).equals(bytes));
  assert.equal(files.puts[0]?.sizeBytes, undefined);
});

test("put passes policy, providers and type on", async (t) => {
  const { run, files, path } = await place(t);
  writeFileSync(path("a.jpg"), "x");
  const flags = "--policy 1+2 --provider 127.0.0.1:1 127.0.0.1:2 --allow-fewer --content-type a/b --json";
  const { code, stdout, stderr } = await run(["put", "a.jpg", "b", ...flags.split(" ")]);
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout).name, "b");
  assert.deepEqual(files.puts[0], {
    name: "b",
    contentType: "a/b",
    policy: { dataShards: 1, parityShards: 2 },
    sizeBytes: 1,
    targets: ["127.0.0.1:1", "127.0.0.1:2"],
    allowFewer: true,
  });
});

test("what cannot be put is told before anything is sent", async (t) => {
  const { run, files, path } = await place(t);
  writeFileSync(path("a"), "x");
  assert.deepEqual(
    [
      (await run(["put", "missing"])).code,
      (await run(["put", "."])).code,
      (await run(["put", "-"])).code,
      (await run(["put", "a", "b", "--policy", "4"])).code,
    ],
    [4, 4, 2, 2],
  );
  assert.equal(files.puts.length, 0);
});

test("put --resume goes on with the newest interrupted upload of the name", async (t) => {
  const { run, files, path } = await place(t);
  writeFileSync(path("a"), "hello");
  const fresh = await run(["put", "a", "--resume"]);
  assert.equal(fresh.code, 0, fresh.stderr);
  assert.match(fresh.stderr, /new upload/);
  const begun = {
    ...files.files[0]!.record,
    id: "e".repeat(32),
    version: 2,
    state: "uploading" as const,
    isLatest: false,
  };
  files.files.push({ record: begun, bytes: new Uint8Array(0) });
  const resumed = await run(["put", "a", "--resume", "--json"]);
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.equal(JSON.parse(resumed.stdout).id, begun.id);
});

test("get --resume fetches only what is missing, and finds out when the beginning is another's", async (t) => {
  const { run, files, path } = await place(t);
  const bytes = randomBytes(500_000);
  writeFileSync(path("a"), bytes);
  await run(["put", "a"]);
  writeFileSync(path("b.part"), bytes.subarray(0, 300_000));
  const offsets: number[] = [];
  files.hold = (offset) => void offsets.push(offset);
  const got = await run(["get", "a", "b", "--resume"]);
  assert.equal(got.code, 0, got.stderr);
  assert.ok(readFileSync(path("b")).equals(bytes));
  assert.equal(offsets[0], 300_000);

  writeFileSync(path("c.part"), randomBytes(300_000));
  const wrong = await run(["get", "a", "c", "--resume"]);
  assert.equal(wrong.code, 11);
  assert.match(wrong.stderr, /SHA-256/);
  assert.equal(existsSync(path("c")), false);
  assert.equal(existsSync(path("c.part")), false);
});

test("get takes a broken connection up where it was", async (t) => {
  const { run, files, path } = await place(t);
  const bytes = randomBytes(2_000_000);
  writeFileSync(path("a"), bytes);
  await run(["put", "a"]);
  let failures = 1;
  files.hold = (offset) => {
    if (offset > 400_000 && failures-- > 0) throw new Error("broken");
  };
  const got = await run(["get", "a", "b"]);
  assert.equal(got.code, 0, got.stderr);
  assert.ok(readFileSync(path("b")).equals(bytes));
});

test("an interrupted get keeps what came, and says how to go on", async (t) => {
  const { run, files, path } = await place(t);
  writeFileSync(path("a"), randomBytes(5_000_000));
  await run(["put", "a"]);
  const interrupted = new AbortController();
  files.hold = async (offset) => {
    if (offset < 4_000_000) return;
    // What was sent before reaches the disk first.
    while (!existsSync(path("b.part")) || statSync(path("b.part")).size === 0) {
      await new Promise((r) => setTimeout(r, 5));
    }
    interrupted.abort();
    await new Promise((resolve) => setTimeout(resolve, 50));
  };
  const got = await run(["get", "a", "b"], { interrupted: interrupted.signal });
  assert.equal(got.code, 130, got.stderr);
  assert.match(got.stderr, /--resume/);
  assert.equal(existsSync(path("b")), false);
  files.hold = undefined;
  assert.equal((await run(["get", "a", "b", "--resume"])).code, 0);
  truncateSync(path("b"), 0);
});

test("cat prints a file, a range or a version", async (t) => {
  const { run, path } = await place(t);
  for (const text of ["first", "second"]) {
    writeFileSync(path("a.txt"), text);
    await run(["put", "a.txt"]);
  }
  assert.equal((await run(["cat", "a.txt"])).stdout, "second");
  assert.equal((await run(["cat", "a.txt", "--range", "1-2"])).stdout, "ec");
  assert.equal((await run(["cat", "a.txt", "--range", "-2"])).stdout, "nd");
  assert.equal((await run(["cat", "a.txt", "--version", "1"])).stdout, "first");
  assert.equal((await run(["cat", "a.txt", "--range", "nonsense"])).code, 2);
  assert.equal((await run(["cat", "a.txt", "--range", "900-"])).code, 2);
  assert.equal((await run(["cat", "missing"])).code, 4);
});

test("ls, stat, versions, mv and rm", async (t) => {
  const { run, files, path } = await place(t);
  assert.equal((await run(["ls"])).stderr, "No files.\n");
  writeFileSync(path("x"), "x");
  for (const name of ["a/1", "a/2", "b", "b"]) await run(["put", "x", name]);
  assert.match((await run(["ls"])).stdout, /NAME[^]*a\/1\n[^]*a\/2\n[^]*b\n$/);
  assert.match((await run(["ls", "--folders"])).stdout, /^a\/\n/);
  assert.deepEqual(JSON.parse((await run(["ls", "--folders", "--json"])).stdout).folders, ["a/"]);
  const short = await run(["ls", "--limit", "1"]);
  assert.match(short.stderr, /--page-token/);
  assert.equal(JSON.parse((await run(["ls", "--limit", "1", "--all", "--json"])).stdout).files.length, 3);
  const { id } = JSON.parse((await run(["stat", "b", "--json"])).stdout);
  assert.match((await run(["stat", id])).stdout, /version +2 \(the newest\)/);
  assert.match((await run(["versions", "b"])).stdout, /v2[^]*v1/);
  assert.equal((await run(["versions", "c"])).code, 4);
  assert.equal((await run(["mv", "b", "a/1"])).code, 6);
  assert.equal((await run(["mv", "b", "c"])).code, 0);
  assert.equal((await run(["rm", "c", "--version", "1"])).code, 0);
  assert.equal((await run(["rm", "c", "a/1", "a/2"])).code, 0);
  assert.equal(files.files.length, 0);
  assert.equal((await run(["rm", "c"])).code, 4);
});

test("names cannot take the terminal over, nor write outside the folder", async (t) => {
  const { run, path } = await place(t);
  writeFileSync(path("x"), "x");
  await run(["put", "x", "\x1b[2Jevil\u202e"]);
  const { stdout } = await run(["ls"]);
  assert.ok(!stdout.includes("\x1b") && !stdout.includes("\u202e"));
  assert.equal((await run(["get", "\x1b[2Jevil\u202e"])).code, 2);
  await run(["put", "x", "a/.."]);
  assert.equal((await run(["get", "a/.."])).code, 2);
  assert.equal((await run(["get", "a/..", "here"])).code, 0);
});

test("share, export and import move a file's manifest", async (t) => {
  const one = await place(t);
  const other = await place(t);
  writeFileSync(one.path("a"), "hello");
  await one.run(["put", "a"]);
  const key = (await other.run(["share-key"])).stdout.trim();
  assert.equal((await one.run(["share", "a", key, "--output-file", "a.velas"])).code, 0);
  const imported = await other.run(["import", one.path("a.velas")]);
  assert.equal(imported.code, 0, imported.stderr);
  assert.equal((await other.run(["cat", "a"])).stdout, "hello");
  assert.equal((await one.run(["export", "a", "b.velas"])).code, 0);
  assert.equal((await one.run(["export", "a"], { terminal: true })).code, 6);
  assert.equal((await other.run(["import", "missing"])).code, 4);
  assert.equal((await one.run(["unshare", "a"])).stdout, "1 provider refuses the shares of a\n");
});

test("health of one file and of all, audit, repair", async (t) => {
  const { run, path } = await place(t);
  assert.equal((await run(["health"])).stderr, "No files.\n");
  writeFileSync(path("a"), "hello");
  await run(["put", "a"]);
  assert.match((await run(["health", "a"])).stdout, /2 more shards may be lost[^]*SHARD[^]*127\.0\.0\.1:9005/);
  assert.match((await run(["health"])).stdout, /margin 2 +risk 1e-4 +a\n/);
  assert.match((await run(["audit", "a"])).stdout, /proven/);
  assert.equal(JSON.parse((await run(["repair", "a", "--json"])).stdout).margin, 2);
});

test("a terminal sees progress, anything else does not", async (t) => {
  const { run, path } = await place(t);
  writeFileSync(path("a"), randomBytes(2_000_000));
  const seen = await run(["put", "a"], { terminal: true });
  assert.match(seen.stderr, /100 % of 1\.9 MiB/);
  assert.equal((await run(["put", "a"])).stderr, "");
});

test("progress fits its line and tells rate and time", () => {
  const state = { label: "film.mkv", bytes: 50 << 20, totalBytes: 100 << 20, rate: 10 << 20, columns: 80 };
  assert.equal(progressText(state), "film.mkv [██████████──────────]  50 % of 100 MiB 10 MiB/s 0:05 left");
  assert.match(progressText({ ...state, totalBytes: undefined }), /^film\.mkv 50 MiB 10 MiB\/s$/);
  for (const columns of [20, 40, 80, 200]) {
    assert.ok(progressText({ ...state, label: "x".repeat(300), columns }).length < columns);
  }
  assert.equal(
    progressText({ ...state, bytes: 0, totalBytes: 0, rate: 0 }),
    "film.mkv [████████████████████] 100 % of 0 B",
  );
  assert.deepEqual([0, 1023, 1024, 10_240, 1 << 30].map(showBytes), ["0 B", "1023 B", "1.0 KiB", "10 KiB", "1.0 GiB"]);
});
