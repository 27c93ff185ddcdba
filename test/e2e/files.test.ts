/** Files over real node processes: six providers and a requester. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { test } from "../testing.ts";
import { get, run, startNode, until } from "./harness.ts";
import { startSwarm } from "./swarm.ts";

interface FileJson {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly state: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly warnings: readonly string[];
}

interface HealthJson {
  readonly file: FileJson;
  readonly shards: readonly { readonly state: string; readonly provider: string; readonly lastError?: string }[];
  readonly margin: number;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function put(rest: string, name: string, bytes: Uint8Array, query = ""): Promise<FileJson> {
  const answer = await fetch(`${rest}/v1/files/${name}${query}`, { method: "PUT", body: bytes as BodyInit });
  const json = await answer.json();
  assert.equal(answer.status, 201, JSON.stringify(json));
  return json as FileJson;
}

async function read(rest: string, id: string, range?: string): Promise<Uint8Array> {
  const headers: Record<string, string> = range === undefined ? {} : { range };
  const answer = await fetch(`${rest}/v1/files/${id}/content`, { headers });
  assert.equal(answer.status, range === undefined ? 200 : 206, answer.status >= 400 ? await answer.clone().text() : "");
  return new Uint8Array(await answer.arrayBuffer());
}

/** Makes a call as curl does with `-X` and `-d`; fetch would refuse a body of a GET. */
function curl(url: string, { method, body }: { readonly method: string; readonly body: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(url, {
      method,
      headers: { "content-type": "application/x-www-form-urlencoded", "content-length": Buffer.byteLength(body) },
    });
    call.on("response", (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => text += piece).on("end", () => resolve(text));
    });
    call.on("error", reject);
    call.end(body);
  });
}

test("a file is put over six providers, read whole and in ranges, survives two of them, and is repaired", async (t) => {
  const { requester: { rest }, providers } = await startSwarm(t, 8);
  const bytes = randomBytes(10_000_000);
  const file = await put(rest, "film.mkv", bytes);
  assert.equal(file.sha256, sha256(bytes));
  assert.ok(["stored", "replicated"].includes(file.state), file.state);
  assert.equal(sha256(await read(rest, file.id)), file.sha256);
  for (const [start, end] of [[0, 0], [65_519, 65_521], [5_000_000, 5_999_999], [9_999_999, 9_999_999]] as const) {
    assert.ok(Buffer.from(await read(rest, file.id, `bytes=${start}-${end}`)).equals(bytes.subarray(start, end + 1)));
  }

  const before = await until(async () => {
    const health = await get<HealthJson>(`${rest}/v1/files/${file.id}/health`);
    return health.shards.every(({ state }) => state !== "pending") ? health : undefined;
  });
  assert.equal(before.margin, 2);
  const used = before.shards.map(({ provider }) => provider);
  assert.equal(new Set(used).size, 6);
  const killed = providers.filter(({ rpc }) => used.slice(0, 2).includes(rpc));
  await Promise.all(killed.map((provider) => provider.stop("SIGKILL")));
  assert.equal(sha256(await read(rest, file.id)), file.sha256, "read degraded");

  const repaired = await (await fetch(`${rest}/v1/files/${file.id}/repair`, { method: "POST" })).json() as HealthJson;
  assert.equal(repaired.margin, 2, JSON.stringify(repaired.shards));
  const alive = repaired.shards.map(({ provider }) => provider);
  for (const { rpc } of killed) assert.ok(!alive.includes(rpc));
  const audited = await (await fetch(`${rest}/v1/files/${file.id}/audit`, { method: "POST" })).json() as HealthJson;
  assert.ok(audited.shards.every(({ state }) => state === "proven"), JSON.stringify(audited.shards));

  // Two more may go now.
  const more = providers.filter(({ rpc }) => alive.slice(2, 4).includes(rpc));
  await Promise.all(more.map((provider) => provider.stop("SIGKILL")));
  assert.equal(sha256(await read(rest, file.id)), file.sha256, "read after the repair and another loss");
});

test("with fewer providers than shards a put says how many are missing, unless fewer are allowed", async (t) => {
  const { requester: { rest } } = await startSwarm(t, 3);
  const refused = await fetch(`${rest}/v1/files/a`, { method: "PUT", body: "hello" });
  assert.equal(refused.status, 503);
  const problem = await refused.json() as { code: string; detail: string; data: Record<string, unknown> };
  assert.equal(problem.code, "shards_missing");
  assert.deepEqual([problem.data["needed"], problem.data["found"], problem.data["missing"]], [6, 3, 3]);
  const taken = await put(rest, "a", Buffer.from("hello"), "?allowFewer");
  assert.match(taken.warnings.join(), /only 3 providers/);
  const small = await put(rest, "b", Buffer.from("hello"), "?policy=2%2B1");
  assert.deepEqual(small.warnings, []);
});

test("a requester that was killed and started anew reads what it put", async (t) => {
  const { requester, providers, folder } = await startSwarm(t);
  const bytes = randomBytes(3_000_000);
  const file = await put(requester.rest, "a/b", bytes);
  await requester.stop("SIGKILL");
  const again = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: { requester: { providers: providers.map(({ rpc }) => rpc) } },
  });
  assert.equal(sha256(await read(again.rest, file.id)), file.sha256);
  const next = await put(again.rest, "a/b", bytes);
  assert.equal(next.version, 2);
});

test("the command line carries files both ways, from pipes to pipes, and removes them at the providers", async (t) => {
  const { requester, providers, folder } = await startSwarm(t);
  const env = { VELAS_SPHERE_URL: requester.rest };
  const cwd = join(folder, "work");
  mkdirSync(cwd);
  const bytes = randomBytes(5_000_000);
  writeFileSync(join(cwd, "in.bin"), bytes);
  const file = async (...args: string[]) => {
    const ended = await run(["file", ...args], { env, cwd });
    assert.equal(ended.code, 0, ended.stderr);
    return ended.stdout;
  };
  const stored = JSON.parse(await file("put", "in.bin", "docs/", "--wait", "replicated", "--json")) as FileJson;
  assert.deepEqual([stored.name, stored.state], ["docs/in.bin", "replicated"]);
  await file("get", "docs/in.bin", "out.bin");
  assert.ok(readFileSync(join(cwd, "out.bin")).equals(bytes));

  const text = "to be or not to be\n".repeat(20_000);
  const piped = await run(["file", "put", "-", "piped.txt", "--wait", "replicated"], { env, cwd, input: text });
  assert.equal(piped.code, 0, piped.stderr);
  assert.equal(await file("get", "piped.txt", "-"), text);
  assert.equal(await file("cat", "piped.txt", "--range", "0-4"), "to be");
  assert.match(await file("ls"), /docs\/in\.bin\n[^]*piped\.txt\n/);
  assert.match(await file("health", "piped.txt"), /2 more shards may be lost/);
  assert.match(await file("audit", "piped.txt"), /proven/);

  const exported = join(cwd, "in.velas");
  await file("export", "docs/in.bin", exported);
  await file("mv", "piped.txt", "renamed.txt");
  await file("rm", "renamed.txt", "docs/in.bin");
  const empty = await until(async () => {
    const all = await Promise.all(providers.map(({ rest }) => get<{ bytes: number }>(`${rest}/v1/shards/usage`)));
    return all.every((usage) => usage.bytes === 0) ? true : undefined;
  });
  assert.ok(empty);
  const gone = await run(["file", "get", "renamed.txt"], { env, cwd });
  assert.equal(gone.code, 4);
});

test("the original's calls carry a file to one provider and back", async (t) => {
  const { requester: { rest }, providers } = await startSwarm(t, 1);
  const target = providers[0]!.rpc;
  const data = Buffer.from("hello").toString("base64");
  const body = JSON.stringify({ target, name: "my_awesome_file", data });
  assert.equal(await curl(`${rest}/file`, { method: "POST", body }), '{"id":"/my_awesome_file"}');
  assert.equal(
    await curl(`${rest}/file`, { method: "GET", body: JSON.stringify({ target, id: "/my_awesome_file" }) }),
    `{"id":"/my_awesome_file","invoiceID":"my_awesome_invoice_id","data":"${data}"}`,
  );
  const [file] = (await get<{ files: FileJson[] }>(`${rest}/v1/files`)).files;
  assert.match(file!.warnings.join(), /one provider/);
});

test("an empty file, a name of any kind, and versions", async (t) => {
  const { requester: { rest } } = await startSwarm(t);
  const name = "Käse/\u202e猫/😀 100%";
  const path = encodeURIComponent(name);
  const empty = await put(rest, path, new Uint8Array(0));
  assert.equal((await read(rest, empty.id)).length, 0);
  for (const size of [1, 65_520, 262_081]) {
    const bytes = randomBytes(size);
    const file = await put(rest, path, bytes);
    assert.ok(Buffer.from(await read(rest, file.id)).equals(bytes));
  }
  const page = await get<{ files: FileJson[] }>(`${rest}/v1/files?allVersions&pageSize=3`);
  assert.deepEqual(page.files.map((file) => [file.name, file.version]), [[name, 4], [name, 3], [name, 2]]);
});
