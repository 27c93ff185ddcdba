import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProblemSchema } from "../../src/rest/problem-schema.ts";
import { serve, Wire } from "./harness.ts";

/** Values that look like the members that the API knows, right and wrong. */
const member = fc.oneof(
  fc.constantFrom("id", "plugin", "function", "input", "inputBase64", "contentType", "limits", "priority", "target"),
  fc.constantFrom("ID", "url", "sha256", "enabled", "timeoutMs", "__proto__", "constructor", "toString"),
  fc.string(),
);
const jsonBody = fc.oneof(
  fc.dictionary(member, fc.jsonValue()).map((value) => JSON.stringify(value)),
  fc.json(),
  fc.string({ unit: "binary" }),
);
const body = fc.oneof(
  jsonBody.map((text) => new TextEncoder().encode(text)),
  fc.uint8Array({ maxLength: 200 }),
);
const mediaType = fc.constantFrom(
  "application/json",
  "application/json; charset=utf-8",
  "application/wasm",
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data",
  "nonsense",
);
const segment = fc.oneof(
  fc.constantFrom(
    "v1",
    "tasks",
    "run",
    "task",
    "info",
    "plugins",
    "node",
    "events",
    "output",
    "cancel",
    "demo",
    "docs",
    "a@1",
  ),
  fc.string({ unit: "binary", maxLength: 20 }).map((text) => encodeURIComponent(text.toWellFormed())),
  fc.stringMatching(/^[!-~]{0,12}$/).map((text) => text.replaceAll(/[#\\]/g, "")),
);
const query = fc.array(
  fc.tuple(
    fc.constantFrom("target", "timeoutMs", "state", "pageSize", "pageToken", "id", "priority", "sha256", "x"),
    fc.oneof(fc.string(), fc.integer().map(String), fc.constantFrom("queued", "1e999", "-0", "NaN", "0x10", "%")),
  ),
  { maxLength: 3 },
).map((pairs) => new URLSearchParams(pairs).toString());
const path = fc.oneof(
  fc.constantFrom(
    "/task",
    "/v1/tasks",
    "/v1/tasks/run",
    "/v1/run/demo/greet",
    "/v1/plugins",
    "/v1/plugins/demo",
    "/v1/tasks/t1",
    "/v1/tasks/t1/cancel",
    "/v1/tasks/t1/events",
    "/v1/node",
    "/",
  ),
  fc.array(segment, { maxLength: 5 }).map((segments) => `/${segments.join("/")}`),
);
const method = fc.constantFrom("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS");

test("no request makes a 5xx, and every failure is a problem", async (t) => {
  const { url, plugins, log } = await serve(t);
  await fc.assert(
    fc.asyncProperty(method, path, query, mediaType, body, async (method, path, query, type, body) => {
      plugins.plugins = plugins.plugins.length === 0 ? [...plugins.list()] : plugins.plugins;
      const hasBody = method !== "GET";
      const answer = await fetch(`${url}${path}${query === "" ? "" : `?${query}`}`, {
        method,
        headers: { "content-type": type },
        ...(hasBody ? { body: body as BodyInit } : {}),
      });
      const text = await answer.text();
      assert.ok(answer.status < 500, `${answer.status} ${text}`);
      if (answer.status >= 400) ProblemSchema.parse(JSON.parse(text));
    }),
    { numRuns: 300 },
  );
  assert.deepEqual(log.lines, []);
});

test("random bytes on a connection never hang or harm the listener", async (t) => {
  const { port, url, log } = await serve(t);
  const line = fc.oneof(
    fc.constantFrom(
      "GET / HTTP/1.1",
      "POST /task HTTP/1.1",
      "Host: x",
      "Content-Length: 5",
      "Transfer-Encoding: chunked",
      "Expect: 100-continue",
      "Connection: upgrade",
      "Upgrade: h2c",
      "0",
      "5",
      "",
      "",
    ),
    fc.string({ unit: "binary", maxLength: 30 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 12 }), async (lines) => {
      const wire = await Wire.open(t, port);
      wire.socket.end(lines.join("\r\n"));
      await wire.end();
    }),
    { numRuns: 150 },
  );
  const answer = await fetch(`${url}/healthz`);
  assert.equal(answer.status, 200);
  await answer.body?.cancel();
  assert.deepEqual(log.lines, []);
});
