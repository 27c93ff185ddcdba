import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskSpec } from "../../src/core/mod.ts";
import { bytes, serve, text, USAGE, Wire } from "./harness.ts";

/** Sends a request as curl does and returns the answer's head and body as they came. */
async function exchange(t: Parameters<typeof serve>[0], port: number, request: string): Promise<[string, string]> {
  const wire = await Wire.open(t, port);
  const answer = await wire.send(request).end();
  const split = answer.indexOf("\r\n\r\n");
  return [answer.slice(0, split), answer.slice(split + 4)];
}

function post(path: string, body: string, type = "application/x-www-form-urlencoded"): string {
  return `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n` +
    `Content-Length: ${
      new TextEncoder().encode(body).length
    }\r\nContent-Type: ${type}\r\nConnection: close\r\n\r\n${body}`;
}

test("POST /task answers the recorded bytes to the recorded request", async (t) => {
  const { port, tasks } = await serve(t);
  const [head, body] = await exchange(t, port, post("/task", '{"target":"node:8081","id":"1","input":"hello"}'));
  const [status, ...headers] = head.split("\r\n");
  assert.equal(status, "HTTP/1.1 200 OK");
  assert.ok(headers.includes("Content-Type: application/json"), head);
  assert.ok(headers.includes("Content-Length: 27"), head);
  assert.deepEqual(headers.map((line) => line.split(":")[0]!.toLowerCase()).sort(), [
    "connection",
    "content-length",
    "content-type",
    "date",
    "x-request-id",
  ]);
  assert.equal(body, '{"id":"1","output":"world"}');
  const [call] = tasks.calls;
  assert.equal(call?.target, "node:8081");
  const spec = call?.args[0] as TaskSpec;
  assert.equal(text(spec.input), "hello");
  assert.deepEqual([spec.id, spec.plugin, spec.function], ["", "", ""]);
});

test("POST /task leaves an empty id out and takes no target as the node itself", async (t) => {
  const { port, tasks } = await serve(t);
  const [, body] = await exchange(t, port, post("/task", '{"input":"hello"}'));
  assert.equal(body, '{"output":"world"}');
  assert.equal(tasks.calls[0]?.target, "");
});

test("POST /task reads keys in any case, the last duplicate, and skips unknown ones", async (t) => {
  const { port } = await serve(t);
  const request = '{"ID":"a","Id":"2","INPUT":"no","input":"hello","extra":{"id":["x"]},"id":null}';
  const [, body] = await exchange(t, port, post("/task", request, "text/plain"));
  assert.equal(body, '{"id":"2","output":"world"}');
});

test("POST /task escapes its strings as Go does", async (t) => {
  const { port, tasks } = await serve(t);
  const output = '<b>&"\\\u2028\b\f\n\t\u0001é';
  tasks.script.run = () =>
    Promise.resolve({ id: "x", output: bytes(output), contentType: "", usage: USAGE, replayed: false });
  const [, body] = await exchange(t, port, post("/task", '{"id":"<1>"}'));
  const expected =
    '{"id":"\\u003c1\\u003e","output":"\\u003cb\\u003e\\u0026\\"\\\\\\u2028\\u0008\\u000c\\n\\t\\u0001é"}';
  assert.equal(body, Buffer.from(expected).toString("latin1"));
  assert.equal(JSON.parse(Buffer.from(body, "latin1").toString()).output, output);
});

test("POST /task refuses output that is not text, with the way to get it", async (t) => {
  const { url, tasks } = await serve(t);
  tasks.script.run = () =>
    Promise.resolve({ id: "x", output: new Uint8Array([255]), contentType: "", usage: USAGE, replayed: false });
  const answer = await fetch(`${url}/task`, { method: "POST", body: "{}" });
  const problem = await answer.json();
  assert.equal(answer.status, 409);
  assert.equal(problem.code, "failed_precondition");
  assert.match(problem.detail, /not UTF-8.*\/v1\/tasks\/run/);
});

test("POST /task refuses bodies that the original could not read, by position or by field", async (t) => {
  const { url } = await serve(t);
  const cases: [body: string | Uint8Array, detail: RegExp][] = [
    ["", /empty/],
    ["{", /line 1, column 2 the text ends/],
    ['{"id":"1",}', /line 1, column 11 found "}", expected a name/],
    ['{"id":"1"}}', /column 11.*the end of the text/],
    ["[]", /must be a JSON object, not an array/],
    ["7", /not a number/],
    ['{"id":1}', /"id" must be a string, not a number/],
    ['{"input":{"a":1}}', /"input" must be a string, not an object/],
    [new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /not valid UTF-8/],
  ];
  for (const [body, detail] of cases) {
    const answer = await fetch(`${url}/task`, { method: "POST", body: body as BodyInit });
    const problem = await answer.json();
    assert.equal(answer.status, 400, String(body));
    assert.equal(problem.code, "invalid_argument");
    assert.match(problem.detail, detail);
  }
});

test("POST /task takes null for an empty request, as Go does", async (t) => {
  const { url } = await serve(t);
  const answer = await fetch(`${url}/task`, { method: "POST", body: " null\n" });
  assert.equal(await answer.text(), '{"output":"hello, "}');
});

test("GET /info answers name and version and nothing else", async (t) => {
  const { port } = await serve(t);
  const [head, body] = await exchange(t, port, "GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  assert.ok(head.includes("\r\nContent-Type: application/json\r\n"), head);
  assert.equal(body, '{"name":"Test \\u003cnode\\u003e \\u0026 \\"friends\\"","version":"0.1.0"}');
});

test("a wrong method is 405 with Allow, an unknown path is 404, both as problems", async (t) => {
  const { url } = await serve(t);
  const wrong = await fetch(`${url}/task`);
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get("allow"), "POST, OPTIONS");
  assert.equal(wrong.headers.get("content-type"), "application/problem+json");
  assert.equal((await wrong.json()).code, "unimplemented");
  const info = await fetch(`${url}/info`, { method: "DELETE" });
  assert.equal(info.headers.get("allow"), "GET, HEAD, OPTIONS");
  await info.body?.cancel();
  const unknown = await fetch(`${url}/tusk`);
  assert.equal(unknown.status, 404);
  assert.equal(unknown.headers.get("content-type"), "application/problem+json");
  assert.match((await unknown.json()).detail, /\/tusk/);
});
