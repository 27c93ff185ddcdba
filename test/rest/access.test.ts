import assert from "node:assert/strict";
import { test } from "node:test";
import { serve, Wire } from "./harness.ts";

const TOKEN = "correct-horse-battery-staple";
const HOSTS = ["localhost", "127.0.0.1", "[::1]", "node.example:3000"];

/** The status line and body of a GET with these headers. */
async function get(t: Parameters<typeof serve>[0], port: number, headers: string, path = "/info"): Promise<string> {
  const wire = await Wire.open(t, port);
  return await wire.send(`GET ${path} HTTP/1.1\r\nConnection: close\r\n${headers}\r\n\r\n`).end();
}

test("with a token every route but /healthz, the offer and the web page's files wants it", async (t) => {
  const { url, app } = await serve(t, { token: TOKEN });
  const document = app.getOpenAPI31Document({ openapi: "3.1.0", info: { title: "", version: "" } });
  for (const [path, methods] of Object.entries(document.paths ?? {})) {
    for (const method of Object.keys(methods)) {
      const answer = await fetch(url + path.replaceAll(/\{\w+\}/g, "x"), { method: method.toUpperCase() });
      const open = { "/healthz": 200, "/ui/{file}": 404, "/.well-known/velas-sphere/offer": 404 }[path];
      assert.equal(answer.status, open ?? 401, `${method} ${path}`);
      if (open === undefined) assert.match(answer.headers.get("www-authenticate") ?? "", /^Bearer/);
      await answer.body?.cancel();
    }
  }
  const unknown = await fetch(`${url}/nothing`);
  assert.equal(unknown.status, 401);
  await unknown.body?.cancel();
  const sneaky = await fetch(`${url}/info?/healthz`);
  assert.equal(sneaky.status, 401);
  await sneaky.body?.cancel();
});

test("the right token passes, a wrong or malformed one does not", async (t) => {
  const { url } = await serve(t, { token: TOKEN });
  const status = async (authorization: string) => {
    const answer = await fetch(`${url}/info`, { headers: { authorization } });
    await answer.body?.cancel();
    return answer.status;
  };
  assert.equal(await status(`Bearer ${TOKEN}`), 200);
  assert.equal(await status(`bearer  ${TOKEN} `), 200);
  for (
    const wrong of [
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(1)}`,
      `Bearer ${TOKEN.toUpperCase()}`,
      "Bearer",
      "Bearer ",
      TOKEN,
      `Basic ${TOKEN}`,
      `Bearer x ${TOKEN}`,
      `Bearer ${"x".repeat(10_000)}`,
    ]
  ) {
    assert.equal(await status(wrong), 401, wrong);
  }
});

test("a refusal does not repeat the token that was sent", async (t) => {
  const { url } = await serve(t, { token: TOKEN });
  const answer = await fetch(`${url}/info`, { headers: { authorization: "Bearer my-other-secret" } });
  assert.doesNotMatch(await answer.text(), /my-other-secret|correct-horse/);
});

test("with allowed hosts a foreign Host is 403 with the cure", async (t) => {
  const { port } = await serve(t, { allowedHosts: HOSTS });
  for (const host of ["localhost:3000", "LOCALHOST", "127.0.0.1:1", "[::1]:3000", "[::1]", "node.example:3000"]) {
    assert.match(await get(t, port, `Host: ${host}`), /^HTTP\/1\.1 200/, host);
  }
  for (
    const host of ["evil.example", "evil.example:3000", "node.example", "node.example:3001", "localhost.evil.example"]
  ) {
    const answer = await get(t, port, `Host: ${host}`);
    assert.match(answer, /^HTTP\/1\.1 403/, host);
    assert.match(answer, /permission_denied/);
    assert.ok(answer.includes(host), answer);
    assert.match(answer, /allowed hosts/);
  }
});

test("a page of another site may not call, the node's own pages and programs may", async (t) => {
  const { port } = await serve(t);
  for (const headers of ["Host: localhost:3000", "Host: localhost:3000\r\nOrigin: http://localhost:3000"]) {
    assert.match(await get(t, port, headers), /^HTTP\/1\.1 200/, headers);
  }
  for (
    const origin of [
      "http://evil.example",
      "https://evil.example",
      "null",
      "http://localhost:3001",
      "http://localhost",
      "http://localhost:3000.evil.example",
      "file://",
    ]
  ) {
    const answer = await get(t, port, `Host: localhost:3000\r\nOrigin: ${origin}`);
    assert.match(answer, /^HTTP\/1\.1 403/, origin);
    assert.ok(answer.includes(origin), answer);
    assert.doesNotMatch(answer, /access-control/i);
  }
  const image = await get(t, port, "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors");
  assert.match(image, /^HTTP\/1\.1 403/);
  const link = await get(t, port, "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate");
  assert.match(link, /^HTTP\/1\.1 200/);
});

test("there is no CORS unless an origin is allowed", async (t) => {
  const closed = await serve(t);
  const preflight = "Origin: http://ui.example\r\nAccess-Control-Request-Method: POST";
  const refused = await Wire.open(t, closed.port);
  const answer = await refused.send(
    `OPTIONS /v1/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${preflight}\r\n\r\n`,
  )
    .end();
  assert.match(answer, /^HTTP\/1\.1 403/);
  assert.doesNotMatch(answer, /access-control/i);
});

test("an allowed origin gets CORS headers, its preflight without the token too", async (t) => {
  const { port } = await serve(t, { allowedOrigins: ["http://ui.example"], token: TOKEN });
  const wire = await Wire.open(t, port);
  const preflight = "Origin: http://ui.example\r\nAccess-Control-Request-Method: POST";
  const first = await wire.send(`OPTIONS /v1/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${preflight}\r\n\r\n`)
    .end();
  assert.match(first, /^HTTP\/1\.1 204/);
  assert.match(first, /access-control-allow-origin: http:\/\/ui\.example\r\n/i);
  assert.match(first, /access-control-allow-methods: .*POST/i);
  assert.match(first, /access-control-allow-headers: .*authorization/i);
  const call = await get(t, port, `Host: x\r\nOrigin: http://ui.example\r\nAuthorization: Bearer ${TOKEN}`);
  assert.match(call, /^HTTP\/1\.1 200/);
  assert.match(call, /access-control-allow-origin: http:\/\/ui\.example\r\n/i);
  const tokenless = await get(t, port, "Host: x\r\nOrigin: http://ui.example");
  assert.match(tokenless, /^HTTP\/1\.1 401/);
  const other = await get(t, port, `Host: x\r\nOrigin: http://other.example\r\nAuthorization: Bearer ${TOKEN}`);
  assert.match(other, /^HTTP\/1\.1 403/);
  assert.doesNotMatch(other, /access-control/i);
});

test("a host or origin of any length and kind is shown shortened and harmless", async (t) => {
  const { port } = await serve(t, { allowedHosts: HOSTS });
  const long = await get(t, port, `Host: localhost\r\nOrigin: http://${"e".repeat(5000)}.example`);
  assert.match(long, /^HTTP\/1\.1 403/);
  assert.ok(long.length < 1500, long);
  const script = await get(t, port, "Host: localhost\r\nOrigin: <script>alert(1)</script>");
  assert.match(script, /Content-Type: application\/problem\+json/);
});
