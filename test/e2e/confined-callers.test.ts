/** Where tokens with few scopes can make a node connect to: only to public addresses, and to what the operator named. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { FileService } from "../../src/gen/velas/sphere/v1/file_pb.ts";
import { test, type TestScope } from "../testing.ts";
import { type NodeProcess, run, scratch, startNode, until } from "./harness.ts";

const MAIN = "the-token-of-this-test";

/** Something of the node's own network that is no node. */
async function startService(t: TestScope) {
  const service = { port: 0, connections: 0 };
  const server = createServer((socket) => {
    service.connections++;
    socket.on("error", () => {}).destroy();
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1" }, resolve));
  t.after(() => server.close());
  service.port = (server.address() as AddressInfo).port;
  return service;
}

async function start(t: TestScope, config: Record<string, unknown> = {}) {
  const folder = scratch(t);
  const file = join(folder, "tokens.json");
  const draw = async (name: string, ...scopes: string[]) => {
    const args = scopes.flatMap((scope) => ["--scope", scope]);
    const { code, stdout, stderr } = await run(["token", "new", "--name", name, "--file", file, ...args]);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  };
  const tokens = {
    program: await draw("program", "tasks", "files"),
    chief: await draw("chief", "tasks", "files", "admin"),
  };
  const node = await startNode(t, {
    dataDir: join(folder, "data"),
    config: { rest: { token: MAIN, scopedTokensFile: file }, ...config },
  });
  return { node, tokens, folder };
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Calls REST with a token. */
async function ask(node: NodeProcess, token: string, [path, init = {}]: [string, RequestInit?]): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(node.rest + path, { ...init, headers });
  return { status: answer.status, text: await answer.text() };
}

const json = (value: unknown): RequestInit => ({ method: "POST", body: JSON.stringify(value) });

/** Every call of REST that tokens for tasks and files may make, and that names a target. */
function callsTo(target: string): [string, RequestInit?][] {
  const query = encodeURIComponent(target);
  return [
    ["/task", json({ target, id: "1", input: "hello" })],
    // The path of calls that are not ordinary.
    ["/task?", json({ target, id: "1", input: "hello" })],
    ["/v1/tasks", json({ target, plugin: "demo", function: "greet", input: "hello" })],
    ["/v1/tasks/run", json({ target, plugin: "demo", function: "greet", input: "hello" })],
    [`/v1/run/demo/greet?target=${query}`, { method: "POST", body: "hello" }],
    [`/v1/node?target=${query}`],
    [`/v1/files/a?policy=1%2B0&providers=${query}`, { method: "PUT", body: "hello" }],
    ["/file", json({ target, name: "a", data: "aGVsbG8=" })],
  ];
}

/** One address in every way in which a target may spell it. */
const SPELLINGS = [
  "127.0.0.1",
  "localhost",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "2130706433",
  "0x7f000001",
  "0177.0.0.1",
  "127.1",
];

test("a token without the scope admin reaches nothing on the node's own network, however it spells the target", async (t) => {
  const service = await startService(t);
  const { node, tokens } = await start(t);
  for (const host of SPELLINGS) {
    const target = `${host}:${service.port}`;
    for (const call of callsTo(target)) {
      const { status, text } = await ask(node, tokens.program, call);
      assert.ok(status >= 400, `${call[0]} to ${target}: ${text}`);
      assert.match(
        text,
        /not a public address .*node\.allowNetworks, or take .* in with/,
        `${call[0]} to ${target}: ${text}`,
      );
    }
  }
  const target = `127.0.0.1:${service.port}`;
  const files = createClient(FileService, createGrpcTransport({ baseUrl: `http://${node.rpc}` }));
  const order = { name: "b", sizeBytes: 5n, policy: { dataShards: 1, parityShards: 0 }, providers: [target] };
  const put = files.put(
    (async function* () {
      yield await Promise.resolve({ message: { case: "order" as const, value: order } });
      yield { message: { case: "chunk" as const, value: new TextEncoder().encode("hello") } };
      yield { message: { case: "end" as const, value: {} } };
    })(),
    { headers: { authorization: `Bearer ${tokens.program}` } },
  );
  await assert.rejects(async () => {
    for await (const _ of put);
  }, /not a public address/);
  assert.equal(service.connections, 0, "nothing was connected to");

  // Each by a name of its own: one that just failed is left alone for a moment.
  for (const [token, host] of [[tokens.chief, "127.0.0.1"], [MAIN, "localhost"]] as const) {
    const before = service.connections;
    await ask(node, token, ["/task", json({ target: `${host}:${service.port}`, id: "2", input: "hello" })]);
    // Who may everything may this too.
    await until(() => Promise.resolve(service.connections > before || undefined));
  }
  const connected = service.connections;
  for (const call of callsTo(target)) await ask(node, tokens.program, call);
  assert.equal(service.connections, connected);
});

test("what the operator named is reached: peers that were taken in, providers of the configuration, allowed networks", async (t) => {
  const folder = scratch(t);
  const provider = await startNode(t, { dataDir: join(folder, "provider") });
  const task: [string, RequestInit] = ["/task", json({ target: provider.rpc, id: "1", input: "hello" })];
  const added = await start(t);
  // The owner's connection is open, and is no way in for others.
  assert.equal((await ask(added.node, MAIN, task)).status, 200);
  assert.match((await ask(added.node, added.tokens.program, task)).text, /not a public address/);
  const path = `/v1/files/a?policy=1%2B0&providers=${provider.rpc}`;
  const placed = await ask(added.node, MAIN, [path, { method: "PUT", body: "hello" }]);
  assert.equal(placed.status, 201, placed.text);
  assert.match(
    (await ask(added.node, added.tokens.program, ["/v1/files/a"])).text,
    /Only 0 shards of the file can be read/,
  );
  assert.equal((await ask(added.node, MAIN, ["/v1/peers", json({ target: provider.rpc })])).status, 201);
  assert.equal((await ask(added.node, added.tokens.program, task)).text, '{"id":"1","output":"world"}');
  assert.equal((await ask(added.node, added.tokens.program, ["/v1/files/a"])).text, "hello");
  for (const config of [{ requester: { providers: [provider.rpc] } }, { node: { allowNetworks: ["127.0.0.1"] } }]) {
    const { node, tokens } = await start(t, config);
    assert.equal((await ask(node, tokens.program, task)).text, '{"id":"1","output":"world"}');
    const put = await ask(node, tokens.program, [path, { method: "PUT", body: "hello" }]);
    assert.equal(put.status, 201, put.text);
    assert.equal((await ask(node, tokens.program, ["/v1/files/a"])).text, "hello");
  }
});
