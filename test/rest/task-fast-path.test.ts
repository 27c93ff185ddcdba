import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { NodeError } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { serve, type Served, type ServeOptions, Wire } from "./harness.ts";

type Scope = Parameters<typeof serve>[0];

/** What comes back for some bytes, without what differs from one answer to the next. */
async function answer(t: Scope, { port }: Served, request: string): Promise<{ head: string[]; body: string }> {
  const wire = await Wire.open(t, port);
  // After an interim answer (100 Continue) the final head comes second, with a date of its own.
  const whole = (await wire.send(Buffer.from(request)).end()).replaceAll(/^Date: .*\r\n/gm, "");
  const split = whole.indexOf("\r\n\r\n");
  const [status, ...headers] = whole.slice(0, split).split("\r\n");
  const head = headers.map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase()));
  return { head: [status!, ...head.sort()], body: whole.slice(split + 4) };
}

interface Request {
  readonly body?: string;
  readonly path?: string;
  readonly headers?: readonly string[];
}

function post({ body = '{"id":"1","input":"hello"}', path = "/task", headers = [] }: Request): string {
  const lines = [
    `POST ${path} HTTP/1.1`,
    ...(headers.some((line) => line.startsWith("Host:")) ? [] : ["Host: 127.0.0.1"]),
    "X-Request-Id: r1",
    "Connection: close",
    ...headers,
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

/** Serves the same twice, with the fast path and without, and compares the answers. */
async function compare(
  t: Scope,
  request: string,
  change: ServeOptions = {},
): Promise<{ head: string[]; body: string }> {
  const [fast, plain] = [await serve(t, change), await serve(t, { ...change, fastPath: false })];
  const [one, other] = [await answer(t, fast, request), await answer(t, plain, request)];
  assert.deepEqual(one, other, request);
  assert.equal(fast.tasks.calls.length, plain.tasks.calls.length);
  assert.deepEqual(fast.tasks.calls[0]?.args[0], plain.tasks.calls[0]?.args[0]);
  return one;
}

test("the fast path of POST /task answers what the application answers, byte for byte", async (t) => {
  const requests: Request[] = [
    {},
    { body: '{"target":"node:8081","id":"1","input":"hello"}' },
    { body: '{"ID":"\u00fc<","input":"h\\u00e9llo"}', headers: ["Content-Type: application/x-www-form-urlencoded"] },
    { body: "" },
    { body: "[]" },
    { body: '{"id":"1",}' },
    { body: '{"id":1}' },
    { path: "/task?x=1" },
    { path: "/task/" },
    { headers: ["Expect: 100-continue"] },
    { headers: ["Origin: http://evil.example"] },
    { headers: ["Sec-Fetch-Site: cross-site"] },
    { body: `{"input":"${"x".repeat(70_000)}"}` },
  ];
  for (const request of requests) await compare(t, post(request));
});

test("the fast path keeps the listener's host check, token and body limit", async (t) => {
  const allowedHosts = ["127.0.0.1"];
  const refused = await compare(t, post({ headers: ["Host: rebound.example"] }), { allowedHosts });
  assert.match(refused.head[0]!, / 403 /);
  const token = "secret";
  assert.match((await compare(t, post({}), { token })).head[0]!, / 401 /);
  assert.match((await compare(t, post({ headers: ["Authorization: Bearer wrong"] }), { token })).head[0]!, / 401 /);
  assert.match((await compare(t, post({ headers: ["Authorization: Bearer secret"] }), { token })).head[0]!, / 200 /);
  const large = await compare(t, post({ body: `{"input":"${"x".repeat(200)}"}` }), { limits: { maxBodyBytes: 100 } });
  assert.match(large.head[0]!, / 413 /);
});

test("the fast path leaves origins that may read answers to the application", async (t) => {
  const allowed = await compare(t, post({ headers: ["Origin: https://page.example"] }), {
    allowedOrigins: ["https://page.example"],
  });
  assert.ok(allowed.head.includes("access-control-allow-origin: https://page.example"), allowed.head.join("\n"));
});

test("the fast path turns failures of a task into the same problems, and counts the request", async (t) => {
  for (const error of [new NodeError("overloaded", "Full", { retryAfterMs: 1500 }), new Error("a fault of ours")]) {
    const answers: Awaited<ReturnType<typeof answer>>[] = [];
    for (const fastPath of [true, false]) {
      const served = await serve(t, { fastPath });
      served.tasks.script.run = () => Promise.reject(error);
      answers.push(await answer(t, served, post({})));
      const status = answers[0]!.head[0]!.split(" ")[1]!;
      const labels = { method: "POST", route: "/task", status };
      assert.equal(served.options.metrics.read("velas_http_requests_total", labels), 1);
      assert.equal(served.log.lines?.length, error instanceof NodeError ? 0 : 1);
    }
    assert.deepEqual(answers[0], answers[1]);
  }
});

test("a body that comes too slowly ends its connection on the fast path too", async (t) => {
  const served = await serve(t, { limits: { requestTimeoutMs: 300, idleTimeoutMs: 100 } });
  const wire = await Wire.open(t, served.port);
  const whole = await wire.send("POST /task HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{").end();
  assert.match(whole, /^HTTP\/1\.1 408 /);
});

test("requests that follow each other on one connection are each answered", async (t) => {
  const { port } = await serve(t);
  const wire = await Wire.open(t, port);
  const one = 'POST /task HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 17\r\n\r\n{"input":"hello"}';
  wire.send(one + one + one.replace("Host:", "Connection: close\r\nHost:"));
  const whole = await wire.end();
  assert.equal(whole.match(/HTTP\/1\.1 200 OK/g)?.length, 3);
});
