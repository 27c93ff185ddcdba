import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { gate, serve, USAGE, Wire } from "./harness.ts";
import { bytes } from "./harness.ts";

const HELLO = '{"id":"1","input":"hello"}';

function task(body: string, extra = ""): string {
  return `POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n${extra}\r\n${body}`;
}

/** What the node of these tests has not: it takes no money and knows no peers. */
const ABSENT: ReadonlySet<string> = new Set(["/.well-known/velas-sphere/offer", "/v1/peers/{target}"]);

test("HEAD answers as GET without a body, on every GET route", async (t) => {
  const { url, app } = await serve(t);
  const { id } = await (await fetch(`${url}/v1/files/demo`, { method: "PUT", body: "hello" })).json() as { id: string };
  const document = app.getOpenAPI31Document({ openapi: "3.1.0", info: { title: "", version: "" } });
  for (const [path, methods] of Object.entries(document.paths ?? {})) {
    // GET /file names its file in a body, which HEAD does not have.
    if (!("get" in methods) || path === "/file") continue;
    const query = path.startsWith("/v1/file/") || path === "/v1/file" ? "?name=demo" : "";
    const ids = { "{ref}": "demo", "{file}": "app.js", "{id}": path.startsWith("/v1/files") ? id : "t1" };
    const place = url + path.replace(/\{\w+\}/, (name) => ids[name as keyof typeof ids]) + query;
    const answer = await fetch(place, { method: "HEAD" });
    assert.equal(answer.status, ABSENT.has(path) ? 404 : 200, path);
    assert.equal(await answer.text(), "");
  }
  const output = await fetch(`${url}/v1/tasks/t1/output`, { method: "HEAD" });
  assert.equal(output.headers.get("content-length"), "5");
});

test("OPTIONS tells the methods of a path, and that a path is unknown", async (t) => {
  const { url } = await serve(t);
  const cases = [
    ["/v1/tasks", "GET, HEAD, POST, OPTIONS"],
    ["/v1/plugins/demo", "GET, HEAD, PATCH, DELETE, OPTIONS"],
    ["/task", "POST, OPTIONS"],
  ] as const;
  for (const [path, allow] of cases) {
    const answer = await fetch(url + path, { method: "OPTIONS" });
    assert.deepEqual([answer.status, answer.headers.get("allow")], [204, allow], path);
  }
  const unknown = await fetch(`${url}/nowhere`, { method: "OPTIONS" });
  assert.equal(unknown.status, 404);
  await unknown.body?.cancel();
});

test("every other method is 405 with Allow and a problem", async (t) => {
  const { port } = await serve(t);
  for (const method of ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "QUERY"]) {
    const wire = await Wire.open(t, port);
    const answer = await wire.send(`${method} /v1/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`).end();
    assert.match(answer, /^HTTP\/1\.1 405/, method);
    assert.match(answer, /allow: GET, HEAD, POST, OPTIONS\r\n/i);
    assert.match(answer, /"code":"unimplemented"/);
  }
});

test("a good request id is kept and passed on, a strange one is replaced", async (t) => {
  const { url, tasks } = await serve(t);
  const run = async (id?: string) => {
    const headers = id === undefined ? {} : { "x-request-id": id };
    const answer = await fetch(`${url}/task`, { method: "POST", body: "{}", headers });
    await answer.body?.cancel();
    const shown = answer.headers.get("x-request-id");
    assert.equal(tasks.calls.at(-1)?.ctx.requestId, shown);
    return shown!;
  };
  assert.equal(await run("trace-1.a_b"), "trace-1.a_b");
  assert.equal(await run("x".repeat(64)), "x".repeat(64));
  for (const strange of [undefined, "x".repeat(65), "a b", "a/b", "é", "<script>"]) {
    assert.match(await run(strange), /^[0-9A-HJKMNP-TV-Z]{26}$/, strange);
  }
});

test("bodies around the limit: the largest passes, one byte more is 413", async (t) => {
  const { port } = await serve(t, { limits: { maxBodyBytes: HELLO.length } });
  const fits = await Wire.open(t, port);
  assert.match(await fits.send(task(HELLO)).until(/world/), /^HTTP\/1\.1 200/);
  const declared = await Wire.open(t, port);
  // Nothing of the body is sent: the declared length alone decides.
  declared.send(`POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: ${HELLO.length + 1}\r\n\r\n`);
  const answer = await declared.until(/input_too_large/);
  assert.match(answer, /^HTTP\/1\.1 413/);
  assert.match(answer, new RegExp(`"limitBytes":${HELLO.length}`));
  const chunked = await Wire.open(t, port);
  chunked.send(`POST /task HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n${"x".repeat(64)}\r\n`);
  assert.match(await chunked.until(/input_too_large/), /^HTTP\/1\.1 413/);
});

test("a huge upload is refused without being kept", async (t) => {
  const { port } = await serve(t, { limits: { maxBodyBytes: 1000 } });
  const wire = await Wire.open(t, port);
  wire.send(`POST /task HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
  const chunk = `10000\r\n${"x".repeat(65536)}\r\n`;
  const pump = () => {
    while (!wire.socket.destroyed && wire.socket.write(chunk));
  };
  wire.socket.on("drain", pump);
  pump();
  assert.match(await wire.until(/input_too_large/), /^HTTP\/1\.1 413/);
  await wire.end();
});

test("Expect: 100-continue is answered when the body is wanted, and a refusal comes instead of it", async (t) => {
  const { port } = await serve(t, { limits: { maxBodyBytes: 100 } });
  const good = await Wire.open(t, port);
  good.send(`POST /task HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ${HELLO.length}\r\n\r\n`);
  assert.match(await good.until(/\r\n\r\n/), /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  assert.match(await good.send(HELLO).until(/world/), /HTTP\/1\.1 200 OK/);
  for (
    const [path, length, status] of [["/task", 101, 413], ["/nowhere", 5, 404], ["/info", 5, 405]] as const
  ) {
    const refused = await Wire.open(t, port);
    refused.send(`POST ${path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`);
    assert.match(await refused.until(/"code"/), new RegExp(`^HTTP/1\\.1 ${status}`), path);
  }
});

test("a body that pauses too long is 408", async (t) => {
  const { port } = await serve(t, { limits: { idleTimeoutMs: 40 } });
  const wire = await Wire.open(t, port);
  const answer = await wire.send("POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").until(/"code"/);
  assert.match(answer, /^HTTP\/1\.1 408/);
  assert.match(answer, /deadline_exceeded/);
});

test("a body that trickles for ever is 408 at the total time", async (t) => {
  const { port } = await serve(t, { limits: { idleTimeoutMs: 40, requestTimeoutMs: 120 } });
  const wire = await Wire.open(t, port);
  wire.send("POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  const trickle = setInterval(() => wire.send(" "), 5);
  t.after(() => clearInterval(trickle));
  assert.match(await wire.until(/"code"/), /^HTTP\/1\.1 408/);
});

test("headers that trickle for ever are 408", async (t) => {
  const { port } = await serve(t, { limits: { requestTimeoutMs: 60 } });
  const wire = await Wire.open(t, port);
  const answer = await wire.send("GET /info HTTP/1.1\r\nHost:").end();
  assert.match(answer, /^HTTP\/1\.1 408 Request Timeout\r\nContent-Type: application\/problem\+json/);
  assert.match(answer, /deadline_exceeded/);
});

test("headers over the limit are 431", async (t) => {
  const { port } = await serve(t, { limits: { maxHeaderBytes: 4096 } });
  for (const size of [5000, 200_000]) {
    const wire = await Wire.open(t, port);
    const answer = await wire.send(`GET /info HTTP/1.1\r\nHost: x\r\nX-Big: ${"x".repeat(size)}\r\n\r\n`).end();
    assert.match(answer, /^HTTP\/1\.1 431 Request Header Fields Too Large\r\nContent-Type: application\/problem\+json/);
    assert.match(answer, /"limitBytes":4096/);
  }
  const fits = await Wire.open(t, port);
  assert.match(
    await fits.send(`GET /info HTTP/1.1\r\nHost: x\r\nX-Big: ${"x".repeat(3900)}\r\n\r\n`).until(/}/),
    /^HTTP\/1\.1 200/,
  );
});

test("what is no HTTP is 400, and the next connection is served", async (t) => {
  const { port, log } = await serve(t);
  const garbage = [
    "\x16\x03\x01\x02\x00\x01\x00\x01",
    "GARBAGE\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /task HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "GET /info HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
    "GET /info HTTP/1.1\r\nHost : x\r\n\r\n",
  ];
  for (const request of garbage) {
    const wire = await Wire.open(t, port);
    const answer = await wire.send(request).end();
    assert.match(answer, /^HTTP\/1\.1 400 /, JSON.stringify(request));
  }
  const next = await Wire.open(t, port);
  assert.match(await next.send(task(HELLO)).until(/world/), /^HTTP\/1\.1 200/);
  assert.deepEqual(log.lines, []);
});

test("hosts and targets that make no URL are 400, not a crash", async (t) => {
  const { port } = await serve(t);
  const requests = [
    "GET /info HTTP/1.1\r\nHost: a b\r\n",
    "GET /info HTTP/1.1\r\nHost: [::1\r\n",
    "GET /info HTTP/1.1\r\nHost: x:99999\r\n",
    "GET \\info HTTP/1.1\r\nHost: x\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n",
    "GET http://[/ HTTP/1.1\r\nHost: x\r\n",
  ];
  for (const request of requests) {
    const wire = await Wire.open(t, port);
    const answer = await wire.send(`${request}Connection: close\r\n\r\n`).end();
    assert.match(answer, /^HTTP\/1\.1 40[04] /, JSON.stringify(request));
    assert.match(answer, /application\/problem\+json/);
  }
});

test("pipelined requests are answered in order", async (t) => {
  const { port } = await serve(t);
  const wire = await Wire.open(t, port);
  const requests = ["a", "b", "c", "d"].map((id) => task(`{"id":"${id}","input":"hello"}`));
  const answer = await wire.send(requests.join("")).until(/"id":"d"/);
  assert.deepEqual([...answer.matchAll(/"id":"(.)"/g)].map(([, id]) => id), ["a", "b", "c", "d"]);
});

test("garbage behind a request that is being answered does not get into its answer", async (t) => {
  const { port, tasks } = await serve(t);
  const started = gate();
  const release = gate();
  tasks.script.run = async () => {
    started.resolve();
    await release.promise;
    return { id: "x", output: bytes("world"), contentType: "", usage: USAGE, replayed: false };
  };
  const wire = await Wire.open(t, port);
  wire.send(task(HELLO));
  await started.promise;
  wire.send(task(HELLO) + "\r\nGARBAGE\r\n\r\n");
  const answer = await wire.end();
  release.resolve();
  assert.doesNotMatch(answer, /HTTP\/1\.1.*HTTP\/1\.1/s);
});

test("a connection is kept for the next request also after an error", async (t) => {
  const { port } = await serve(t);
  const wire = await Wire.open(t, port);
  wire.send("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
  await wire.until(/not_found/);
  wire.send(task("{")).send(task(HELLO));
  const answer = await wire.until(/world/);
  assert.deepEqual([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status), ["404", "400", "200"]);
});

test("connections over the limit are closed, and served again when there is room", async (t) => {
  const { port } = await serve(t, { limits: { maxConnections: 2 } });
  const first = await Wire.open(t, port);
  const second = await Wire.open(t, port);
  await first.send(task(HELLO)).until(/world/);
  await second.send(task(HELLO)).until(/world/);
  const third = await Wire.open(t, port);
  assert.equal(await third.send(task(HELLO)).end(), "");
  first.socket.destroy();
  for (;;) {
    const wire = await Wire.open(t, port);
    if ((await wire.send(task(HELLO)).until(/world/)).includes("world")) break;
  }
});

test("HTTP/1.0 without a Host works and the connection is closed", async (t) => {
  const { port } = await serve(t);
  const wire = await Wire.open(t, port);
  const answer = await wire.send("GET /info HTTP/1.0\r\n\r\n").end();
  assert.match(answer, /^HTTP\/1\.1 200 OK/);
  assert.match(answer, /"version":"0\.1\.0"}$/);
});
