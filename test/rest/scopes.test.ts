import assert from "node:assert/strict";
import {
  ACCESS_SCOPES,
  type AccessScope,
  type AccessToken,
  AccessTokens,
  mainToken,
  NodeError,
  RateLimiter,
  tokenDigest,
  type UploadSpool,
} from "../../src/core/mod.ts";
import { createMetrics, type ModuleFace, type RestAppOptions } from "../../src/rest/mod.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { test } from "../testing.ts";
import { NOW, serve, Wire } from "./harness.ts";

const MAIN = "correct-horse-battery-staple";
const textOf = (name: string) => `the-text-of-${name}-token`;
const bearing = (name: string) => ({ authorization: `Bearer ${name === "rest.token" ? MAIN : textOf(name)}` });

function token(name: string, scopes: readonly AccessScope[], expiresAt?: number): AccessToken {
  const digest = tokenDigest(textOf(name));
  return { name, scopes: new Set(scopes), digest, ...(expiresAt === undefined ? {} : { expiresAt }) };
}

/** A token for each scope, named after it, and the one that may do everything. */
function onePerScope(): AccessTokens {
  return new AccessTokens([mainToken(MAIN), ...ACCESS_SCOPES.map((scope) => token(scope, [scope]))]);
}

interface Operation {
  readonly "x-scopes"?: readonly AccessScope[];
  readonly security?: unknown;
  readonly parameters?: readonly {
    readonly name: string;
    readonly schema: { readonly examples: readonly unknown[] };
  }[];
}

/** A part of which only the routes are wanted: whatever is asked of it fails. */
function failing<T>(): T {
  const fail = () => {
    throw new NodeError("failed_precondition", "Not in this test");
  };
  return new Proxy({}, { get: () => fail }) as T;
}

/** Every part that a node can have, so that no route is missing. */
function everything() {
  return {
    payments: failing<NonNullable<RestAppOptions["payments"]>>(),
    settings: () => [],
    reload: () => ({ applied: [], needRestart: [] }),
    backup: () => failing<AsyncIterable<Uint8Array>>(),
    modules: { service: failing<ModuleFace["service"]>(), kept: failing<ModuleFace["kept"]>() },
    files: { service: new MemoryFiles(() => NOW), maxFileBytes: 1 << 20, spool: failing<UploadSpool>() },
  };
}

test("each scope opens the routes that name it, and no other", async (t) => {
  const { url } = await serve(t, { tokens: onePerScope(), ...everything() });
  const answer = await fetch(`${url}/v1/openapi.json`, { headers: bearing("read") });
  const { paths } = await answer.json() as { paths: Record<string, Record<string, Operation>> };
  const seen = new Set<AccessScope>();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { "x-scopes": scopes, security, parameters = [] }] of Object.entries(methods)) {
      const where = `${method} ${path}`;
      assert.equal(scopes === undefined, Array.isArray(security) && security.length === 0, where);
      if (scopes === undefined) continue;
      assert.deepEqual(security, scopes.length === 0 ? undefined : scopes.map((scope) => ({ token: [scope] })), where);
      for (const scope of scopes) seen.add(scope);
      const exampleOf = (name: string) => String(parameters.find((each) => each.name === name)!.schema.examples[0]);
      const filled = path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(exampleOf(name)));
      for (const name of [...ACCESS_SCOPES, "rest.token"] as const) {
        const canceled = new AbortController();
        const { status, body }: Response = await fetch(url + filled, {
          method: method.toUpperCase(),
          headers: bearing(name),
          signal: canceled.signal,
        });
        const text = status === 403 ? await new Response(body).text() : "";
        canceled.abort();
        assert.notEqual(status, 401, `${where} with ${name}`);
        const isLacking = text.includes("lacks the scope");
        const may: boolean = name === "rest.token" || scopes.length === 0 || scopes.includes(name);
        assert.equal(isLacking, !may, `${where} with ${name}: ${status} ${text}`);
      }
    }
  }
  assert.deepEqual(seen, new Set(ACCESS_SCOPES));
});

test("a call without the scope is refused with the token's name and the scope, before its body is read", async (t) => {
  const { url, files } = await serve(t, { tokens: onePerScope() });
  const answer = await fetch(`${url}/v1/files/a.txt`, { method: "PUT", body: "hello", headers: bearing("tasks") });
  assert.equal(answer.status, 403);
  const problem = await answer.json();
  assert.equal(problem.code, "permission_denied");
  assert.match(problem.detail, /token "tasks" lacks the scope files/);
  assert.deepEqual(problem.data, { token: "tasks", missingScope: "files" });
  assert.doesNotMatch(JSON.stringify(problem), /the-text-of/);
  assert.equal(files.puts.length, 0);
  const missing = await (await fetch(`${url}/v1/tasks`, { headers: bearing("files") })).json();
  assert.equal(missing.data.missingScope, "read or tasks");
});

test("reading does not show what a name, an output or a manifest holds, nor make the node call others", async (t) => {
  const { url } = await serve(t, { tokens: onePerScope(), ...everything() });
  const status = async (path: string, name: string) => {
    const answer = await fetch(url + path, { headers: bearing(name) });
    await answer.body?.cancel();
    return answer.status;
  };
  for (const path of ["/v1/files/a.txt", "/v1/tasks/1/output", "/v1/tasks/1/events", "/v1/config", "/file?name=a"]) {
    assert.equal(await status(path, "read"), 403, path);
  }
  assert.equal(await status("/v1/node", "read"), 200);
  assert.equal(await status("/v1/node?target=", "read"), 200);
  assert.equal(await status("/v1/node?target=node:1", "read"), 403);
  assert.equal(await status("/v1/node?target=node:1", "files"), 200);
  assert.equal(await status("/v1/tasks?target=node:1", "read"), 403);
});

test("POST /task wants the scope tasks, on its fast path and without it", async (t) => {
  for (const fastPath of [true, false]) {
    const { url } = await serve(t, { tokens: onePerScope(), fastPath });
    const post = (name: string) =>
      fetch(`${url}/task`, { method: "POST", headers: bearing(name), body: '{"id":"1","input":"hello"}' });
    assert.equal(await (await post("tasks")).text(), '{"id":"1","output":"world"}');
    const refused = await post("files");
    assert.equal(refused.status, 403);
    assert.match((await refused.json()).detail, /"files" lacks the scope tasks/);
    assert.equal((await post("unknown")).status, 401);
  }
});

test("a token is good until the moment that it ends, and then refused by its name", async (t) => {
  const clock = { nowMs: NOW, now: () => clock.nowMs };
  const { url } = await serve(t, { tokens: new AccessTokens([token("ci", ["read"], NOW + 1000)]), clock });
  const get = () => fetch(`${url}/v1/tasks`, { headers: bearing("ci") });
  clock.nowMs = NOW + 999;
  assert.equal((await get()).status, 200);
  clock.nowMs = NOW + 1000;
  const over = await get();
  assert.equal(over.status, 401);
  const problem = await over.json();
  assert.equal(problem.code, "unauthenticated");
  assert.match(problem.detail, /token "ci" expired at 2026-11-23T20:38:17.000Z/);
});

test("a login has the scopes of its token, ends with it, and tells them", async (t) => {
  const tokens = onePerScope();
  const { url } = await serve(t, { tokens, ...everything() });
  const login = await fetch(`${url}/v1/session`, { method: "POST", headers: bearing("read") });
  const cookie = login.headers.get("set-cookie")!.split(";")[0]!;
  const status = async (path: string) => (await fetch(url + path, { headers: { cookie } })).status;
  assert.equal(await status("/v1/tasks"), 200);
  assert.equal(await status("/v1/config"), 403);
  const session = await (await fetch(`${url}/v1/session`, { headers: { cookie } })).json();
  assert.deepEqual(session, { token: "read", scopes: ["read"] });
  tokens.replace([token("read", ["read", "admin"], NOW + 1)]);
  assert.equal(await status("/v1/config"), 200);
  const later = await (await fetch(`${url}/v1/session`, { headers: { cookie } })).json();
  assert.deepEqual(later, { token: "read", scopes: ["read", "admin"], expiresAt: NOW + 1 });
  tokens.replace([]);
  assert.equal(await status("/v1/tasks"), 401);
});

test("without tokens everybody is the owner, until tokens come while the node runs", async (t) => {
  const tokens = new AccessTokens();
  const { url } = await serve(t, { tokens });
  assert.deepEqual((await (await fetch(`${url}/v1/session`)).json()).scopes, [...ACCESS_SCOPES]);
  const login = await fetch(`${url}/v1/session`, { method: "POST" });
  assert.equal(login.headers.get("set-cookie"), null);
  assert.equal((await (await fetch(`${url}/v1/openapi.json`)).json()).security, undefined);
  tokens.replace([token("ci", ["tasks"])]);
  assert.equal((await fetch(`${url}/v1/session`)).status, 401);
  const document = await (await fetch(`${url}/v1/openapi.json`, { headers: bearing("ci") })).json();
  assert.deepEqual(document.security, [{ token: [] }]);
});

test("event streams end soon after their token does", async (t) => {
  const clock = { nowMs: NOW, now: () => clock.nowMs };
  for (const path of ["/v1/events", "/v1/tasks/job/events"]) {
    clock.nowMs = NOW;
    const tokens = new AccessTokens([token("ci", ["read", "tasks"], NOW + 1000)]);
    const served = await serve(t, { tokens, clock, eventHeartbeatMs: 20 });
    served.tasks.script.watch = async function* (_id, { signal }) {
      yield { type: "progress", fraction: 0.5, message: "", at: NOW };
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const wire = await Wire.open(t, served.port);
    wire.send(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${textOf("ci")}\r\n\r\n`,
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(wire.socket.readableEnded, false, path);
    clock.nowMs = NOW + 1000;
    assert.match(await wire.end(), /^HTTP\/1\.1 200/, path);
  }
});

test("every token has its own rate, and metrics count by its name", async (t) => {
  const metrics = createMetrics({ processMetrics: false });
  const limiter = new RateLimiter({ perSecond: 1, burst: 2, setting: "rest.requestsPerSecond" });
  const { url } = await serve(t, { tokens: onePerScope(), limiter, metrics });
  const status = async (name: string) => (await fetch(`${url}/v1/tasks`, { headers: bearing(name) })).status;
  assert.deepEqual([await status("read"), await status("read"), await status("read")], [200, 200, 429]);
  assert.deepEqual([await status("tasks"), await status("files"), await status("wrong")], [200, 403, 401]);
  const count = (name: string, code: string) =>
    metrics.read("velas_http_token_requests_total", { token: name, status: code });
  assert.deepEqual([count("read", "200"), count("read", "429"), count("files", "403")], [2, 1, 1]);
  assert.doesNotMatch(await metrics.render(), /the-text-of|correct-horse/);
});
