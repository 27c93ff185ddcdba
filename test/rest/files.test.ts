import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import * as fileSchemas from "../../src/rest/file-schemas.ts";
import { bytes, gate, serve, Wire } from "./harness.ts";

// deno-lint-ignore no-explicit-any -- JSON of many shapes
type Json = any;

async function put(url: string, path: string, body: BodyInit, headers: Record<string, string> = {}): Promise<Json> {
  const answer = await fetch(url + path, { method: "PUT", body, headers });
  const json = await answer.json();
  assert.equal(answer.status, 201, JSON.stringify(json));
  return fileSchemas.File.parse(json);
}

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const repeated = (size: number) => Buffer.alloc(size, "0123456789abcdef");

for (const size of [0, 1, 65_519, 65_520, 65_521, 1 << 20]) {
  test(`a file of ${size} bytes is put and read back, whole and by its id and name`, async (t) => {
    const { url } = await serve(t);
    const data = randomBytes(size);
    const file = await put(url, "/v1/files/folder/data.bin", data);
    assert.equal(file.sizeBytes, size);
    assert.equal(file.sha256, sha256(data));
    for (
      const path of [
        `/v1/files/${file.id}/content`,
        "/v1/files/folder/data.bin",
        "/v1/file/content?name=folder/data.bin",
      ]
    ) {
      const answer = await fetch(url + path);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("content-length"), String(size));
      assert.equal(answer.headers.get("accept-ranges"), "bytes");
      assert.equal(answer.headers.get("etag"), `"${file.sha256}"`);
      assert.equal(sha256(new Uint8Array(await answer.arrayBuffer())), file.sha256);
      const head = await fetch(url + path, { method: "HEAD" });
      assert.equal(head.headers.get("content-length"), String(size));
      assert.equal(head.headers.get("x-velas-file-id"), file.id);
    }
  });
}

test("PUT answers 201 with the record and where it is, a second PUT makes a version", async (t) => {
  const { url } = await serve(t);
  const first = await fetch(`${url}/v1/files/a.txt`, { method: "PUT", body: bytes("one") as BodyInit });
  assert.equal(first.status, 201);
  const record = await first.json() as Json;
  assert.equal(first.headers.get("location"), `/v1/files/${record.id}`);
  assert.equal(record.contentType, "text/plain; charset=utf-8");
  const second = await put(url, "/v1/files/a.txt", "two");
  assert.deepEqual([record.version, second.version], [1, 2]);
  assert.equal(await (await fetch(`${url}/v1/files/a.txt`)).text(), "two");
  assert.equal(await (await fetch(`${url}/v1/files/a.txt?version=1`)).text(), "one");
  assert.equal((await (await fetch(`${url}/v1/files/${record.id}`)).json() as Json).isLatest, false);
});

test("policy, providers, allowFewer and resume reach the service", async (t) => {
  const { url, files } = await serve(t);
  const id = "0".repeat(32);
  const query = `policy=2%2B1&providers=127.0.0.1:1,127.0.0.1:2&allowFewer&resume=${id}`;
  const answer = await fetch(`${url}/v1/files/a?${query}`, { method: "PUT", body: "x" });
  assert.equal(answer.status, 404);
  assert.deepEqual(files.puts, [{
    name: "a",
    contentType: "text/plain;charset=UTF-8",
    policy: { dataShards: 2, parityShards: 1 },
    sizeBytes: 1,
    targets: ["127.0.0.1:1", "127.0.0.1:2"],
    allowFewer: true,
    resume: id,
  }]);
  for (const wrong of ["policy=4", "policy=99+1", "resume=x", "nothing=1", "allowFewer=maybe"]) {
    assert.equal((await fetch(`${url}/v1/files/a?${wrong}`, { method: "PUT", body: "x" })).status, 400, wrong);
  }
});

const NAMES = [
  "a",
  "/leading/and/trailing/",
  "two//slashes",
  "Käse/猫/😀",
  "100% + ?#&=;",
  "gpj.\u202eexe",
  "tab\tnewline\n",
  "é".repeat(2048),
  "content",
  "import",
  `x/${"0".repeat(32)}/content`,
  "0".repeat(31),
  "0".repeat(33),
];

for (const name of NAMES) {
  test(`the name ${JSON.stringify(name.slice(0, 40))} goes through path and query`, async (t) => {
    const { url } = await serve(t);
    const path = name.split("/").map(encodeURIComponent).join("/");
    const file = await put(url, `/v1/files/${path}`, "by path");
    assert.equal(file.name, name);
    assert.equal(await (await fetch(`${url}/v1/files/${path}`)).text(), "by path");
    assert.equal(await (await fetch(`${url}/v1/files/${encodeURIComponent(name)}`)).text(), "by path");
    const query = `name=${encodeURIComponent(name)}`;
    const posted = await fetch(`${url}/v1/files?${query}`, { method: "POST", body: "by query" });
    assert.equal((await posted.json() as Json).version, 2);
    assert.equal(await (await fetch(`${url}/v1/file/content?${query}`)).text(), "by query");
    assert.equal((await (await fetch(`${url}/v1/file?${query}`)).json() as Json).name, name);
    assert.equal((await fetch(`${url}/v1/file?${query}`, { method: "DELETE" })).status, 204);
    assert.equal((await fetch(`${url}/v1/file?${query}`)).status, 404);
  });
}

test("names that a path cannot hold are refused there and go through the query", async (t) => {
  const { url, port, files } = await serve(t);
  for (const name of ["..", "a/../b", "./a", "0".repeat(32), `${"f".repeat(32)}/x`]) {
    const wire = await Wire.open(t, port);
    const answer = await wire.send(
      `PUT /v1/files/${name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx`,
    ).end();
    assert.match(answer, /^HTTP\/1\.1 40[045] /, name);
    const posted = await fetch(`${url}/v1/files?name=${encodeURIComponent(name)}`, { method: "POST", body: "x" });
    assert.equal(posted.status, 201, name);
  }
  assert.equal(files.files.length, 5);
});

test("names that are empty, too long or not UTF-8 are refused", async (t) => {
  const { url } = await serve(t);
  const refused = async (path: string, method: string) => {
    const answer = await fetch(url + path, { method, body: "x" });
    assert.equal(answer.status, 400, `${method} ${path.slice(0, 60)}`);
    assert.equal((await answer.json() as Json).code, "invalid_argument");
  };
  await refused("/v1/files", "POST");
  await refused("/v1/files?name=", "POST");
  await refused(`/v1/files?name=${"a".repeat(4097)}`, "POST");
  await refused(`/v1/files/${"a".repeat(4097)}`, "PUT");
  await refused("/v1/files?name=%ff", "POST");
  await refused("/v1/files/%ff", "PUT");
  await refused("/v1/files/%c0%af", "PUT");
});

test("a range, several ranges and a range behind the end", async (t) => {
  const { url } = await serve(t);
  const data = repeated(200_000);
  const { id } = await put(url, "/v1/files/a.txt", data, { "content-type": "text/plain" });
  const get = (headers: Record<string, string>) => fetch(`${url}/v1/files/${id}/content`, { headers });

  const one = await get({ range: "bytes=65519-65521" });
  assert.equal(one.status, 206);
  assert.equal(one.headers.get("content-range"), "bytes 65519-65521/200000");
  assert.equal(one.headers.get("content-length"), "3");
  assert.equal(await one.text(), data.toString("utf8", 65_519, 65_522));

  const two = await get({ range: "bytes=0-4,-3" });
  assert.equal(two.status, 206);
  const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(two.headers.get("content-type")!)![1];
  const body = await two.text();
  assert.equal(two.headers.get("content-length"), String(body.length));
  assert.equal(
    body,
    `--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-4/200000\r\n\r\n01234\r\n` +
      `--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 199997-199999/200000\r\n\r\n${
        data.toString("utf8", 199_997)
      }\r\n--${boundary}--\r\n`,
  );

  for (const range of ["bytes=200000-", "bytes=-0", `bytes=${"0-0,".repeat(65)}`]) {
    const none = await get({ range });
    assert.equal(none.status, 416);
    assert.equal(none.headers.get("content-range"), "bytes */200000");
    assert.equal((await none.json() as Json).code, "invalid_argument");
  }
  const head = await fetch(`${url}/v1/files/${id}/content`, { method: "HEAD", headers: { range: "bytes=0-9" } });
  assert.equal(head.status, 206);
  assert.equal(head.headers.get("content-length"), "10");
});

test("conditions: If-None-Match, If-Match, If-Range", async (t) => {
  const { url } = await serve(t);
  const { id, sha256 } = await put(url, "/v1/files/a.txt", "hello");
  const get = (headers: Record<string, string>) => fetch(`${url}/v1/files/${id}/content`, { headers });
  const etag = `"${sha256}"`;
  const unchanged = await get({ "if-none-match": etag });
  assert.equal(unchanged.status, 304);
  assert.equal(unchanged.headers.get("etag"), etag);
  assert.equal(await unchanged.text(), "");
  assert.equal((await get({ "if-match": '"other"' })).status, 412);
  assert.equal((await get({ "if-range": etag, range: "bytes=1-2" })).status, 206);
  assert.equal((await get({ "if-range": '"other"', range: "bytes=1-2" })).status, 200);
});

test("content cannot run as a page of the node", async (t) => {
  const { url } = await serve(t);
  await put(url, "/v1/files/evil.html", "<script>", { "content-type": "text/html" });
  await put(url, "/v1/files/evil.svg", "<svg/>", { "content-type": "image/svg+xml" });
  await put(url, "/v1/files/cat.jpg", "jpeg", { "content-type": "image/jpeg" });
  for (
    const [path, shown] of [["evil.html", false], ["evil.svg", false], ["cat.jpg", true], [
      "cat.jpg?download",
      false,
    ]] as const
  ) {
    const { headers } = await fetch(`${url}/v1/files/${path}`);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.match(headers.get("content-security-policy")!, /sandbox/);
    assert.match(headers.get("content-disposition")!, shown ? /^inline; / : /^attachment; /, path);
  }
});

test("an upload of unknown length streams through, and is cut where the node's limit is", async (t) => {
  const { url, files } = await serve(t, { limits: { maxBodyBytes: 1024 } });
  const limit = 1 << 26;
  const upload = (size: number) => {
    let left = size;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const piece = new Uint8Array(Math.min(left, 1 << 20));
        left -= piece.length;
        if (piece.length > 0) controller.enqueue(piece);
        if (left === 0) controller.close();
      },
    });
    return fetch(`${url}/v1/files/big`, { method: "PUT", body, duplex: "half" } as RequestInit);
  };
  const fits = await upload(limit);
  assert.equal(fits.status, 201);
  assert.equal((await fits.json() as Json).sizeBytes, limit);
  assert.equal(files.puts[0]!.sizeBytes, undefined);
  await upload(limit + 1).then(async (answer) => {
    assert.equal(answer.status, 413);
    await answer.body?.cancel();
  }, () => {}); // a client may see the connection end before it has read the answer
  assert.equal(files.files.filter(({ record }) => record.state !== "uploading").length, 1);
});

test("a declared length over the limit is refused before a byte is sent", async (t) => {
  const { port, files } = await serve(t);
  const wire = await Wire.open(t, port);
  const answer = await wire.send(
    `PUT /v1/files/big HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: ${
      (1 << 26) + 1
    }\r\nConnection: close\r\n\r\n`,
  ).end();
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.equal(files.puts.length, 0);
});

test("a client that goes away stops its upload, which resume goes on with", async (t) => {
  const { url, port, files } = await serve(t);
  const wire = await Wire.open(t, port);
  wire.send("PUT /v1/files/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello");
  while ((files.files[0]?.record.sizeBytes ?? 0) < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  wire.socket.destroy();
  const page = await (await fetch(`${url}/v1/files?prefix=half&allVersions`)).json() as Json;
  assert.equal(page.files[0].state, "uploading");
  const done = await put(url, `/v1/files/half?resume=${page.files[0].id}`, "helloworld");
  assert.equal(done.id, page.files[0].id);
  assert.equal(done.state, "replicated");
});

test("a client that goes away stops its download", async (t) => {
  const { url, port, files } = await serve(t);
  await put(url, "/v1/files/a", repeated(10_000_000));
  const reached = gate();
  const more = gate();
  files.hold = async (offset) => {
    if (offset < 5_000_000) return;
    reached.resolve();
    await more.promise;
  };
  const wire = await Wire.open(t, port);
  wire.send("GET /v1/files/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await reached.promise;
  assert.equal(files.openReads, 1);
  wire.socket.destroy();
  await wire.end();
  more.resolve();
  while (files.openReads > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("a reader that stalls holds the source back, and is cut off", async (t) => {
  const { url, port, files } = await serve(t, { limits: { idleTimeoutMs: 2000 } });
  await put(url, "/v1/files/a", repeated(60_000_000));
  let furthest = 0;
  files.hold = (offset) => void (furthest = offset);
  const wire = await Wire.open(t, port);
  wire.socket.pause();
  wire.send("GET /v1/files/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  while (files.openReads === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  while (files.openReads > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(furthest < 30_000_000, `read ${furthest} bytes for a reader that took none`);
});

test("too few shards are a problem with a status, before the first byte", async (t) => {
  const { url, files } = await serve(t);
  const { id } = await put(url, "/v1/files/a", "hello");
  const kept = files.files[0]!;
  kept.record = { ...kept.record, state: "lost" };
  const answer = await fetch(`${url}/v1/files/${id}/content`);
  assert.equal(answer.status, 503);
  assert.equal((await answer.json() as Json).code, "shards_missing");
});

test("a failure on the way cuts the connection", async (t) => {
  const { url, files } = await serve(t);
  const { id } = await put(url, "/v1/files/a", repeated(1_000_000));
  files.hold = (offset) => {
    if (offset > 500_000) throw new Error("the disk burns");
  };
  await assert.rejects(async () => await (await fetch(`${url}/v1/files/${id}/content`)).arrayBuffer());
});

test("lists by prefix, delimiter and page", async (t) => {
  const { url } = await serve(t);
  for (const name of ["a/1", "a/2", "a/b/3", "c", "d"]) await put(url, `/v1/files/${name}`, name);
  const list = async (query: string) => {
    const answer = await fetch(`${url}/v1/files?${query}`);
    assert.equal(answer.status, 200);
    return fileSchemas.FilePage.parse(await answer.json());
  };
  assert.deepEqual((await list("")).files.map(({ name }) => name), ["a/1", "a/2", "a/b/3", "c", "d"]);
  const folders = await list("delimiter=/");
  assert.deepEqual([folders.folders, folders.files.map(({ name }) => name)], [["a/"], ["c", "d"]]);
  const inner = await list("prefix=a/&delimiter=/");
  assert.deepEqual([inner.folders, inner.files.map(({ name }) => name)], [["a/b/"], ["a/1", "a/2"]]);
  const page = await list("pageSize=2");
  assert.deepEqual(page.files.map(({ name }) => name), ["a/1", "a/2"]);
  assert.deepEqual(
    (await list(`pageSize=2&pageToken=${page.nextPageToken}`)).files.map(({ name }) => name),
    ["a/b/3", "c"],
  );
  assert.equal((await fetch(`${url}/v1/files?pageSize=0`)).status, 400);
});

test("renames all versions, to a name that is free", async (t) => {
  const { url } = await serve(t);
  const { id } = await put(url, "/v1/files/a", "1");
  await put(url, "/v1/files/b", "2");
  const patch = (path: string, name: string) =>
    fetch(url + path, {
      method: "PATCH",
      body: JSON.stringify({ name }),
      headers: { "content-type": "application/json" },
    });
  assert.equal((await patch(`/v1/files/${id}`, "b")).status, 409);
  assert.equal((await patch(`/v1/files/${id}`, "c/d")).status, 200);
  assert.equal((await patch("/v1/file?name=c%2Fd", "e")).status, 200);
  assert.equal((await patch("/v1/files/e", "x".repeat(4097))).status, 400);
  assert.equal(await (await fetch(`${url}/v1/files/e`)).text(), "1");
});

test("DELETE removes a version by its id and all by the name", async (t) => {
  const { url, files } = await serve(t);
  await put(url, "/v1/files/a", "1");
  const { id } = await put(url, "/v1/files/a", "2");
  await put(url, "/v1/files/a", "3");
  assert.equal((await fetch(`${url}/v1/files/${id}`, { method: "DELETE" })).status, 204);
  assert.deepEqual(files.files.map(({ record }) => record.version), [1, 3]);
  assert.equal((await fetch(`${url}/v1/files/a`, { method: "DELETE" })).status, 204);
  assert.equal(files.files.length, 0);
  assert.equal((await fetch(`${url}/v1/files/a`, { method: "DELETE" })).status, 404);
});

test("health, audit and repair tell of every shard", async (t) => {
  const { url } = await serve(t);
  const { id } = await put(url, "/v1/files/a", "1");
  for (const [method, what] of [["GET", "health"], ["POST", "audit"], ["POST", "repair"]] as const) {
    const answer = await fetch(`${url}/v1/files/${id}/${what}`, { method });
    assert.equal(answer.status, 200, what);
    const health = fileSchemas.FileHealth.parse(await answer.json());
    assert.equal(health.shards.length, 6);
    assert.equal(health.margin, 2);
    const wrong = await fetch(`${url}/v1/files/${id}/${what}`, { method: method === "GET" ? "POST" : "PUT" });
    assert.notEqual(wrong.status, 200);
  }
});

test("a manifest is exported, shared and imported", async (t) => {
  const { url } = await serve(t);
  const { url: other } = await serve(t);
  const { id } = await put(url, "/v1/files/cat.jpg", "meow");
  const { shareKey } = await (await fetch(`${other}/v1/share-key`)).json() as Json;
  const share = (recipient: string) =>
    fetch(`${url}/v1/files/${id}/share`, {
      method: "POST",
      body: JSON.stringify({ recipient }),
      headers: { "content-type": "application/json" },
    });
  assert.equal((await share("short")).status, 400);
  const shared = await share(shareKey);
  assert.equal(shared.status, 200);
  assert.equal(shared.headers.get("content-disposition"), 'attachment; filename="cat.jpg.velas"');
  const manifest = await shared.arrayBuffer();
  const imported = await fetch(`${other}/v1/files/import`, { method: "POST", body: manifest });
  assert.equal(imported.status, 201);
  assert.equal(await (await fetch(`${other}/v1/files/cat.jpg`)).text(), "meow");
  assert.equal((await fetch(`${other}/v1/files/import`, { method: "POST", body: manifest })).status, 409);
  assert.equal((await fetch(`${other}/v1/files/import`, { method: "POST", body: "junk" })).status, 500);
  assert.equal((await fetch(`${url}/v1/files/${id}/manifest`)).status, 200);
  const unshared = await fetch(`${url}/v1/files/${id}/share`, { method: "DELETE" });
  assert.deepEqual(await unshared.json(), { told: ["127.0.0.1:8083"], pending: [] });
  assert.equal((await fetch(`${url}/v1/files/${"0".repeat(32)}/share`, { method: "DELETE" })).status, 404);
});

test("the events of a file begin with its state and end with its removal", async (t) => {
  const { url, files } = await serve(t);
  const { id } = await put(url, "/v1/files/a", "1");
  const events = await fetch(`${url}/v1/files/${id}/events`);
  assert.equal(events.headers.get("content-type"), "text/event-stream");
  while (files.watcherCount === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await fetch(`${url}/v1/files/${id}`, { method: "DELETE" });
  const text = await events.text();
  assert.deepEqual([...text.matchAll(/^(id|event): (.*)$/gm)].map(([, , value]) => value), [
    "1",
    "state",
    "end",
    "removed",
  ]);
  assert.equal((await fetch(`${url}/v1/files/${id}/events`)).status, 404);
  const again = await fetch(`${url}/v1/files/${id}/events`, { headers: { "last-event-id": "end" } });
  assert.equal(again.status, 204);
});

test("the events of all files open at once, and end when the client goes or the node stops", async (t) => {
  const { url, files, stopping } = await serve(t);
  const reader = (await fetch(`${url}/v1/file-events`)).body!.getReader();
  let text = "";
  const until = async (pattern: RegExp) => {
    while (!pattern.test(text)) {
      const { value, done } = await reader.read();
      if (done) break;
      text += new TextDecoder().decode(value);
    }
  };
  await until(/^retry: \d+/);
  while (files.watcherCount === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await put(url, "/v1/files/a", "hello");
  await until(/event: progress[^]*event: state/);
  assert.match(text, /"progress":\{"bytes":5,"totalBytes":5,"shards":6,"shardCount":6\}/);
  stopping.abort();
  await until(/never/);
  while (files.watcherCount > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("a wrong method on a file says which there are", async (t) => {
  const { url } = await serve(t);
  const answer = await fetch(`${url}/v1/files/some/name`, { method: "POST", body: bytes("x") as BodyInit });
  assert.equal(answer.status, 405);
  assert.equal(answer.headers.get("allow"), "GET, HEAD, PUT, PATCH, DELETE, OPTIONS");
});
