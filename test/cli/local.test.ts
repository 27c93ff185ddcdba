import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataPaths, EXAMPLE, SETTINGS } from "../../src/config/mod.ts";
import { BODY_TUNING, openLevel } from "../../src/storage/level-engine.ts";
import { openShardStore, openStore } from "../../src/storage/mod.ts";
import { loadOrCreateNodeKey } from "../../src/storage/node-key.ts";
import { storedTask } from "../contract-suites/task-store.ts";
import { putShard, shardBytes, shardId } from "../contract-suites/shard-store.ts";
import { once, settled, swarm } from "../requester/file-swarm.ts";
import { runHere } from "./harness.ts";
import { test } from "../testing.ts";

function scratch(t: { after(f: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), "velas-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("config print shows every key, where it comes from, and no secret", async (t) => {
  const cwd = scratch(t);
  writeFileSync(join(cwd, "config.json"), JSON.stringify(EXAMPLE));
  const env = { VELAS_SPHERE_REST_TOKEN: "0123456789abcdef", VELAS_SPHERE_TASKS_MAX_QUEUED: "7" };
  const options = { cwd, homeDir: cwd, env };
  const { code, stdout, stderr } = await runHere(["config", "print", "--sources", "--storage-sync", "false"], options);
  assert.equal(code, 0, stderr);
  for (const { key } of SETTINGS) assert.ok(stdout.includes(`${key} `), key);
  assert.match(stdout, /^rest\.token +\(secret\) +environment VELAS_SPHERE_REST_TOKEN$/m);
  assert.match(stdout, /^tasks\.maxQueued +7 +environment VELAS_SPHERE_TASKS_MAX_QUEUED$/m);
  assert.match(stdout, /^storage\.sync +false +flag --storage-sync$/m);
  assert.match(stdout, /^tasks\.maxTimeoutMs +5m +file .*config\.json$/m);
  assert.match(stdout, /^rpc\.listen +127\.0\.0\.1:8081, 127\.0\.0\.1:8083 +default$/m);
  const json = JSON.parse((await runHere(["config", "print", "--json", "--sources"], options)).stdout);
  assert.equal(json.config.rest.token, "(secret)");
  assert.equal(json.config.tasks.maxTimeoutMs, 300_000);
  assert.equal(json.sources["tasks.maxQueued"], "environment VELAS_SPHERE_TASKS_MAX_QUEUED");
});

test("flags of lists may be repeated or hold commas, and short and long names are the same flag", async (t) => {
  const options = { cwd: scratch(t), homeDir: "/" };
  const print = async (...args: string[]) =>
    JSON.parse((await runHere(["config", "print", "--json", ...args], options)).stdout);
  const lists = await print("--rpc-listen", "127.0.0.1:1,127.0.0.1:2", "--rpc-listen", "127.0.0.1:3");
  assert.deepEqual(lists.rpc.listen, ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
  assert.equal((await print("--data-dir", "/a")).node.dataDir, "/a");
  assert.equal((await print("--node-data-dir", "/b")).node.dataDir, "/b");
  assert.equal((await print("--open")).node.open, true);
  assert.equal((await print("--node-open=false")).node.open, false);
});

test("config check tells every fault and ends with 3, and says so when all is right", async (t) => {
  const cwd = scratch(t);
  const options = { cwd, homeDir: cwd };
  assert.deepEqual(await runHere(["config", "check"], options), {
    code: 0,
    stdout: "The configuration is right (no file, so defaults)\n",
    stderr: "",
  });
  const file = join(cwd, "config.json");
  writeFileSync(file, JSON.stringify({ tasks: { maxQeued: 1, maxRunning: "two" } }));
  const { code, stderr } = await runHere(["config", "check"], options);
  assert.equal(code, 3);
  assert.match(
    stderr,
    /2 faults:\n.*"tasks\.maxQeued": did you mean "tasks\.maxQueued"\?\n.*tasks\.maxRunning .* is "two": it must be/,
  );
  writeFileSync(file, '{"node":{"plugin_target":"127.0.0.1:8082"}}');
  const legacy = await runHere(["config", "check", "--json"], options);
  assert.equal(legacy.code, 0);
  assert.equal(JSON.parse(legacy.stdout).notices.length, 1);
  assert.match(legacy.stderr, /^note: .*plugin_target of the original node/);
});

test("config schema prints a JSON Schema", async () => {
  const schema = JSON.parse((await runHere(["config", "schema"])).stdout);
  assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
});

const FREE_PORTS = ["--rpc-listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"];

interface Report {
  readonly ok: boolean;
  readonly checks: { name: string; verdict: string; detail: string; cure?: string }[];
}

async function doctor(dataDir: string, ...args: string[]) {
  const options = { cwd: tmpdir(), homeDir: tmpdir() };
  const ended = await runHere(["doctor", "--json", "--data-dir", dataDir, ...FREE_PORTS, ...args], options);
  const report = JSON.parse(ended.stdout) as Report;
  const check = (name: string) => report.checks.find((each) => each.name === name) ?? assert.fail(`no check ${name}`);
  return { code: ended.code, report, check };
}

test("doctor is content where nothing is wrong yet, and leaves nothing behind", async (t) => {
  const dataDir = join(scratch(t), "data");
  const { code, report, check } = await doctor(dataDir);
  assert.equal(code, 0);
  assert.equal(report.ok, true);
  assert.match(check("data directory").detail, /will be made at the first start/);
  assert.equal(check("database").verdict, "ok");
  const words = await runHere(["doctor", "--data-dir", dataDir, ...FREE_PORTS], { homeDir: tmpdir() });
  assert.match(words.stdout, /^ok +runtime +/);
  assert.match(words.stdout, /\nA node can run here.*\.\n$/);
});

test("doctor reads the file of tokens, and names those that are over", async (t) => {
  const folder = scratch(t);
  const [dataDir, file] = [join(folder, "data"), join(folder, "tokens.json")];
  const check = async () => (await doctor(dataDir, "--rest-scoped-tokens-file", file)).check("rest tokens");
  assert.equal((await check()).verdict, "fail");
  const entry = { name: "ci", sha256: "0".repeat(64), scopes: ["read"] };
  writeFileSync(file, JSON.stringify({ tokens: [entry] }));
  assert.equal((await check()).verdict, "ok");
  writeFileSync(file, JSON.stringify({ tokens: [{ ...entry, expiresAt: "2020-01-01T00:00:00Z" }] }));
  const { verdict, detail } = await check();
  assert.deepEqual([verdict, detail], ["warn", "expired: ci"]);
});

test("doctor looks at key, database and plugins of a node that has run", async (t) => {
  const dataDir = scratch(t);
  const { key } = await loadOrCreateNodeKey({ dataDir });
  await (await openStore(join(dataDir, "db"))).close();
  mkdirSync(join(dataDir, "plugins"));
  writeFileSync(join(dataDir, "plugins", "a.wasm"), "");
  const { code, check } = await doctor(dataDir);
  assert.equal(code, 0);
  assert.equal(check("node key").detail, key.nodeId);
  assert.equal(check("database").detail, "0 tasks, 0 sent elsewhere, 0 files; the books are right");
  assert.match(check("plugins").detail, /^1 installed/);
});

test("doctor proves the books of the shards, says what is wrong, and mends it", async (t) => {
  const dataDir = scratch(t);
  const { shards } = dataPaths(dataDir);
  const store = await openShardStore(shards, { minFreeBytes: 0 });
  const owner = "0x00000000000000000000000000000000000000A1";
  await putShard(store.shards, { owner, id: shardId(1), bytes: shardBytes(200_704) });
  await store.close();
  const right = await doctor(dataDir, "--read-shards");
  assert.equal(right.code, 0);
  assert.match(right.check("shards").detail, /^1 of 196KiB; all blocks/);

  const db = await openLevel(shards, BODY_TUNING);
  await db.put("!shard-total!bytes", "5");
  await db.close();
  const wrong = await doctor(dataDir);
  assert.equal(wrong.code, 12);
  assert.match(wrong.check("shards").detail, /bytes says 5, and the shards make 200704/);
  const mended = await doctor(dataDir, "--repair");
  assert.deepEqual([mended.code, mended.check("shards").verdict], [0, "warn"]);
  assert.equal((await doctor(dataDir)).check("shards").verdict, "ok");
});

test("doctor proves the books of the database, tells keys of others, and mends what follows from records", async (t) => {
  const dataDir = scratch(t);
  const path = join(dataDir, "db");
  const store = await openStore(path);
  const tasks = [storedTask({ id: "waits", inputBytes: 3 }), storedTask({ id: "too", seq: 2 })];
  for (const task of tasks) {
    await store.tasks.write([{ type: "add", task, input: new Uint8Array(task.inputBytes) }], { durable: true });
  }
  await store.close();
  const right = await doctor(dataDir);
  assert.deepEqual([right.code, right.check("database").detail], [
    0,
    "2 tasks, 0 sent elsewhere, 0 files; the books are right",
  ]);

  const write = async (entries: Readonly<Record<string, string>>) => {
    const db = await openLevel(path);
    for (const [key, value] of Object.entries(entries)) await db.put(key, value);
    await db.close();
  };
  await write({ "!account!task.count": "5" });
  const wrong = await doctor(dataDir);
  assert.deepEqual([wrong.code, wrong.check("database").cure], [12, "velas-sphere doctor --repair"]);
  assert.match(wrong.check("database").detail, /task\.count says 5, and the records make 2/);
  const mended = await doctor(dataDir, "--repair");
  assert.deepEqual([mended.code, mended.check("database").verdict], [0, "warn"]);
  assert.equal((await doctor(dataDir)).check("database").verdict, "ok");

  await write({ "!tasks!x": "", "zzz": "" });
  const strange = await doctor(dataDir, "--repair");
  assert.equal(strange.code, 12);
  assert.match(strange.check("database").detail, /^2 keys belong to no part .* "!tasks!x"$/);
});

test("doctor checks the manifests of the node's own files, and tells a deleted one and a flipped one", async (t) => {
  const dataDir = scratch(t);
  const fixture = await swarm(t, { count: 3 });
  const policy = { dataShards: 2, parityShards: 1 };
  const ids: string[] = [];
  const copy = async (name: string, change: (manifest: Uint8Array) => Uint8Array | undefined) => {
    const { id } = await fixture.files.put(once(randomBytes(3000)), { name, contentType: "", policy }, fixture.ctx());
    await settled(fixture, id);
    const [file] = await fixture.store.getMany([id]);
    const manifest = change((await fixture.store.manifest(id))!);
    const store = await openStore(join(dataDir, "db"));
    await store.files.write([{ type: "save", file: file!, ...(manifest && { manifest }) }], { durable: true });
    await store.close();
    ids.push(id);
  };
  await copy("right", (manifest) => manifest);
  const keyless = await doctor(dataDir);
  assert.match(keyless.check("files").detail, /records of 1 files, and the master key that opens them is gone/);
  writeFileSync(join(dataDir, "master-key"), fixture.masterKey.toString("hex"), { mode: 0o600 });
  const right = await doctor(dataDir);
  assert.deepEqual([right.code, right.check("files").detail], [0, "1, each with its manifest"]);

  await copy("deleted", () => undefined);
  await copy("flipped", (manifest) => {
    const flipped = manifest.slice();
    flipped[100]! ^= 1;
    return flipped;
  });
  const wrong = await doctor(dataDir);
  assert.equal(wrong.code, 12);
  const found = wrong.report.checks.filter(({ name }) => name === "files");
  assert.deepEqual(found.map(({ verdict }) => verdict), ["fail", "fail"]);
  const faultOf = (id: string) => found.find(({ detail }) => detail.includes(id));
  assert.equal(faultOf(ids[0]!), undefined);
  assert.match(faultOf(ids[1]!)!.detail, /\("deleted"\) has no manifest/);
  assert.match(faultOf(ids[2]!)!.detail, /\("flipped"\) has a manifest that cannot be used: The manifest's checksum/);
  assert.match(faultOf(ids[2]!)!.cure!, /file import/);
});

test("doctor drops digests of uploads that are no more, when told to mend", async (t) => {
  const dataDir = scratch(t);
  const store = await openStore(join(dataDir, "db"));
  await store.files.write([{ type: "piece", fileId: "ab".repeat(16), index: 0, digest: "d" }], { durable: true });
  await store.close();
  const wrong = await doctor(dataDir);
  assert.deepEqual([wrong.code, wrong.check("files").cure], [12, "velas-sphere doctor --repair"]);
  const mended = await doctor(dataDir, "--repair");
  assert.deepEqual([mended.code, mended.check("files").verdict], [0, "warn"]);
  assert.equal((await doctor(dataDir)).check("files").verdict, "ok");
});

test("doctor knows a running node by its lock, and then leaves the ports alone", async (t) => {
  const dataDir = scratch(t);
  const store = await openStore(join(dataDir, "db"));
  t.after(() => store.close());
  const { code, check } = await doctor(dataDir);
  assert.equal(code, 0);
  assert.match(check("database").detail, /in use: a node runs/);
  assert.match(check("ports").detail, /not tried/);
});

test("doctor names what fails, with the cure, and ends with 12", async (t) => {
  const dataDir = scratch(t);
  const { path } = await loadOrCreateNodeKey({ dataDir });
  chmodSync(path, 0o644);
  chmodSync(dataDir, 0o755);
  writeFileSync(join(dataDir, "plugins"), "");
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => taken.close(resolve)));
  const { port } = taken.address() as { port: number };
  const { code, report, check } = await doctor(
    dataDir,
    "--rest-listen",
    `127.0.0.1:${port}`,
    "--plugins-external",
    "far=127.0.0.1:1",
  );
  assert.equal(code, 12);
  assert.equal(report.ok, false);
  assert.match(check("node key").detail, /mode 644\): run chmod 600/);
  assert.equal(check("data directory").cure, `chmod 700 ${dataDir}`);
  assert.equal(check("rest port").verdict, "fail");
  assert.match(check("rest port").cure!, /another port/);
  assert.equal(check("plugins").verdict, "fail");
  assert.equal(check("plugin far").verdict, "warn");
});

test("doctor reports a wrong configuration as a failed check", async (t) => {
  const { code, check } = await doctor(scratch(t), "--tasks-max-queued", "none");
  assert.equal(code, 12);
  assert.match(check("configuration").detail, /tasks\.maxQueued/);
});

test("doctor reports a data directory that is a file, and one that cannot be made", async (t) => {
  const file = join(scratch(t), "file");
  writeFileSync(file, "");
  assert.match((await doctor(file)).check("data directory").detail, /is no folder/);
  const below = await doctor(join(file, "data"));
  assert.equal(below.code, 12);
});
