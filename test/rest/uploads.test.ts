import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FolderSpool } from "../../src/storage/mod.ts";
import { scratch as tempFolder } from "../e2e/harness.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { NOW, serve, type Served, Wire } from "./harness.ts";

const TTL_MS = 60_000;
const PARTIAL = { "content-type": "application/partial-upload" };

interface Rig extends Served {
  readonly folder: string;
  readonly spool: FolderSpool;
  readonly clock: { at: number };
}

async function serveUploads(t: TestScope, maxBytes = 1 << 20, folder = tempFolder(t)): Promise<Rig> {
  const clock = { at: NOW };
  const files = new MemoryFiles(() => clock.at);
  const spool = await FolderSpool.open({ folder, maxBytes, ttlMs: TTL_MS, clock: { now: () => clock.at } });
  t.after(() => spool.close());
  const served = await serve(t, {
    files: { service: files, maxFileBytes: 1 << 22, spool },
    limits: { idleTimeoutMs: 1000 },
  });
  return { ...served, files, folder, spool, clock };
}

async function begin({ url }: Served, query: string, headers: Record<string, string> = {}): Promise<Response> {
  return await fetch(`${url}/v1/uploads?${query}`, { method: "POST", headers });
}

async function locationOf(response: Response): Promise<string> {
  assert.equal(response.status, 201, await response.text());
  return response.headers.get("location")!;
}

function send({ url }: Served, place: string, body: string, offset: number, complete: boolean): Promise<Response> {
  return fetch(`${url}${place}`, {
    method: "PATCH",
    headers: { ...PARTIAL, "upload-offset": String(offset), "upload-complete": complete ? "?1" : "?0" },
    body,
  });
}

async function problem(response: Response): Promise<{ code: string; detail: string; data: Record<string, unknown> }> {
  return await response.json() as never;
}

test("an upload comes in pieces, tells its offset, and becomes a file", async (t) => {
  const rig = await serveUploads(t);
  const place = await locationOf(
    await begin(rig, "name=notes.txt&source=me", { "upload-length": "11", "content-type": "text/plain" }),
  );
  const first = await send(rig, place, "hello ", 0, false);
  assert.equal(first.status, 204);
  assert.equal(first.headers.get("upload-offset"), "6");
  const head = await fetch(`${rig.url}${place}`, { method: "HEAD" });
  assert.equal(head.headers.get("upload-offset"), "6");
  assert.equal(head.headers.get("upload-complete"), "?0");
  assert.equal(head.headers.get("upload-length"), "11");
  assert.equal(head.headers.get("upload-limit"), `max-size=${1 << 20}, max-age=60`);
  const last = await send(rig, place, "world", 6, true);
  assert.equal(last.status, 200);
  const file = await last.json() as { id: string; sizeBytes: number; contentType: string };
  assert.equal(file.sizeBytes, 11);
  assert.equal(file.contentType, "text/plain");
  assert.equal(last.headers.get("location"), `/v1/files/${file.id}`);
  assert.equal(await (await fetch(`${rig.url}/v1/files/notes.txt`)).text(), "hello world");
  assert.deepEqual(readdirSync(rig.folder).filter((name) => name.endsWith(".part")), [], "the bytes are gone");

  // An answer that was lost can be had again.
  const again = await send(rig, place, "", 11, true);
  assert.equal((await again.json() as { id: string }).id, file.id);
  assert.equal((await send(rig, place, "more", 11, false)).status, 409);
  const state = await (await fetch(`${rig.url}${place}`)).json() as { state: string; fileId: string };
  assert.deepEqual([state.state, state.fileId], ["stored", file.id]);
});

test("an empty file is an upload like any other", async (t) => {
  const rig = await serveUploads(t);
  const place = await locationOf(await begin(rig, "name=empty", { "upload-length": "0" }));
  assert.equal((await send(rig, place, "", 0, true)).status, 200);
  assert.equal(await (await fetch(`${rig.url}/v1/files/empty`)).text(), "");
});

test("a wrong offset is refused with the right one, and nothing is written", async (t) => {
  const rig = await serveUploads(t);
  const place = await locationOf(await begin(rig, "name=a"));
  await send(rig, place, "12345", 0, false);
  for (const offset of [0, 4, 6]) {
    const answer = await send(rig, place, "x", offset, false);
    assert.equal(answer.status, 409);
    const { data } = await problem(answer);
    assert.deepEqual([data["expectedOffset"], data["providedOffset"]], [5, offset]);
  }
  assert.equal(rig.spool.list()[0]!.offset, 5);
});

test("headers, media types, lengths and names that are wrong are refused by name", async (t) => {
  const rig = await serveUploads(t);
  assert.equal((await begin(rig, "name=")).status, 400);
  assert.equal((await begin(rig, `name=a&source=${"x".repeat(257)}`)).status, 400);
  assert.match((await problem(await begin(rig, "name=a", { "upload-length": "-1" }))).detail, /Upload-Length "-1"/);
  assert.equal((await begin(rig, "name=a", { "upload-length": String((1 << 20) + 1) })).status, 413);
  assert.match((await problem(await begin(rig, "name=a", { "upload-length": "99999999" }))).detail, /maxFileBytes/);
  const withBody = await fetch(`${rig.url}/v1/uploads?name=a`, { method: "POST", body: "x" });
  assert.equal(withBody.status, 400);
  await withBody.text();
  const place = await locationOf(await begin(rig, "name=a", { "upload-length": "3" }));
  const patch = (headers: Record<string, string>, body = "abc") =>
    fetch(`${rig.url}${place}`, { method: "PATCH", headers, body });
  assert.equal((await patch({ "content-type": "text/plain" })).status, 415);
  assert.match((await problem(await patch(PARTIAL))).detail, /Upload-Offset is missing/);
  assert.match((await problem(await patch({ ...PARTIAL, "upload-offset": "0" }))).detail, /Upload-Complete is missing/);
  assert.match(
    (await problem(await patch({ ...PARTIAL, "upload-offset": "0", "upload-complete": "true" }))).detail,
    /Upload-Complete "true"/,
  );
  assert.match((await problem(await send(rig, place, "abcd", 0, true))).detail, /announced with 3 bytes/);
  assert.match((await problem(await send(rig, place, "ab", 0, true))).detail, /has 2; send the rest/);
  assert.equal((await send(rig, place, "c", 2, true)).status, 200);
  assert.equal((await send(rig, `/v1/uploads/${"0".repeat(32)}`, "", 0, true)).status, 404);
  assert.equal((await fetch(`${rig.url}/v1/uploads/..%2f..%2fetc`)).status, 400);
});

test("room is kept for what was announced, and freed by giving up", async (t) => {
  const rig = await serveUploads(t, 1000);
  const place = await locationOf(await begin(rig, "name=a", { "upload-length": "900" }));
  const full = await begin(rig, "name=b", { "upload-length": "101" });
  assert.match((await problem(full)).detail, /1000 bytes together/);
  const open = await locationOf(await begin(rig, "name=c"));
  assert.equal((await send(rig, open, "x".repeat(100), 0, false)).status, 204);
  assert.equal((await problem(await send(rig, open, "x", 100, false))).code, "storage_full");
  assert.equal((await fetch(`${rig.url}${place}`, { method: "DELETE" })).status, 204);
  assert.equal((await fetch(`${rig.url}${place}`, { method: "DELETE" })).status, 404);
  assert.equal((await send(rig, open, "x", 100, false)).status, 204);
});

test("what came before a connection broke is kept, and another request takes over from one that hangs", async (t) => {
  const rig = await serveUploads(t);
  const place = await locationOf(await begin(rig, "name=a"));
  const head = `PATCH ${place} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/partial-upload\r\n` +
    "Upload-Complete: ?1\r\nUpload-Offset: 0\r\nContent-Length: 10\r\n\r\n";
  const hanging = await Wire.open(t, rig.port);
  hanging.socket.write(`${head}hello`);
  while (rig.spool.list()[0]!.offset < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  const offset = (await fetch(`${rig.url}${place}`, { method: "HEAD" })).headers.get("upload-offset");
  assert.equal(offset, "5");
  assert.equal(rig.spool.list()[0]!.active, false);
  assert.equal((await send(rig, place, "world", 5, true)).status, 200);
  assert.equal(await (await fetch(`${rig.url}/v1/files/a`)).text(), "helloworld");
});

test("uploads outlive a restart; broken notes, strangers and cut-off bytes do not", async (t) => {
  const folder = tempFolder(t);
  const first = await serveUploads(t, 1 << 20, folder);
  const place = await locationOf(await begin(first, "name=a&source=s"));
  await send(first, place, "12345", 0, false);
  const short = await locationOf(await begin(first, "name=short"));
  await send(first, short, "12345", 0, false);
  await first.spool.close();
  const id = place.split("/").at(-1)!;
  // A crash can leave bytes that nobody was told of, and cut notes off.
  writeFileSync(join(folder, `${id}.part`), "12345 and more that was not synced");
  writeFileSync(join(folder, `${short.split("/").at(-1)}.part`), "123");
  writeFileSync(join(folder, `${"a".repeat(32)}.json`), '{"version":1,"ord');
  writeFileSync(join(folder, `${"b".repeat(32)}.part`), "x");
  writeFileSync(join(folder, "stranger"), "x");
  const second = await serveUploads(t, 1 << 20, folder);
  assert.deepEqual(second.spool.list().map(({ id, offset, order }) => [id, offset, order.source]), [[id, 5, "s"]]);
  assert.deepEqual(readdirSync(folder).sort(), [`${id}.json`, `${id}.part`]);
  assert.equal(readFileSync(join(folder, `${id}.part`), "utf8"), "12345");
  assert.equal((await send(second, place, "6", 5, true)).status, 200);
});

test("an upload that waited too long is forgotten", async (t) => {
  const rig = await serveUploads(t);
  const place = await locationOf(await begin(rig, "name=a"));
  rig.clock.at += TTL_MS - 1;
  assert.equal((await send(rig, place, "x", 0, false)).status, 204);
  rig.clock.at += TTL_MS;
  assert.equal((await send(rig, place, "y", 1, false)).status, 404);
  await rig.spool.sweep();
  assert.deepEqual(readdirSync(rig.folder), []);
});

test("a put that fails is tried again by an empty request at the end", async (t) => {
  const rig = await serveUploads(t);
  const place = await locationOf(await begin(rig, "name=a&providers=127.0.0.1:1"));
  const put = rig.files.put.bind(rig.files);
  let calls = 0;
  rig.files.put = async (source, options, ctx) => {
    if (calls++ > 0) return await put(source, options, ctx);
    for await (const _ of source);
    throw new TypeError("a provider fell over");
  };
  assert.equal((await send(rig, place, "hello", 0, true)).status, 500);
  assert.equal((await fetch(`${rig.url}${place}`, { method: "HEAD" })).headers.get("upload-offset"), "5");
  assert.equal((await send(rig, place, "", 5, true)).status, 200);
  assert.equal(calls, 2);
});
