import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { createRpcServer } from "../../src/rpc/mod.ts";
import { serveStreams } from "../plugins/external-servers.ts";
import { answer, caller, failing, openPeers, runFrame, spec, text } from "./client-harness.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";
import { collect, COMMON, node } from "./client-nodes.ts";

test("connections are bounded: the longest unused goes, one with a call stays", async (t) => {
  const servers = await Promise.all([1, 2, 3].map(() =>
    serveStreams((stream) => {
      sessions.add(stream.session);
      if (!hanging) answer(stream, [runFrame()]);
    })
  ));
  const sessions = new Set<unknown>();
  let hanging = false;
  const peers = openPeers({ maxSessions: 2 });
  t.after(async () => {
    await peers.close();
    await Promise.all(servers.map((server) => server.kill()));
  });
  const [a, b, c] = servers.map((server) => peers.dial(server.address));
  for (const tasks of [a, b, c, b, c]) await tasks!.run(spec(), caller());
  assert.equal(sessions.size, 3);
  await a!.run(spec(), caller());
  assert.equal(sessions.size, 4);
  hanging = true;
  const controller = new AbortController();
  const open = [a!, c!].map((tasks) => tasks.run(spec(), caller({ signal: controller.signal })));
  await assert.rejects(b!.run(spec(), caller()), failing("overloaded", /2 peers/));
  controller.abort();
  for (const result of open) await assert.rejects(result, failing("canceled"));
  hanging = false;
  // A canceled call's stream is gone a moment after the call.
  while (await b!.run(spec(), caller()).then(() => false, () => true)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test("an unused connection is closed, and opened again when it is needed", async (t) => {
  const closed = Promise.withResolvers<void>();
  const server = await serveStreams((stream) => {
    stream.session!.once("close", () => closed.resolve());
    answer(stream, [runFrame()]);
  });
  const peers = openPeers({ idleTimeoutMs: 20 });
  t.after(async () => {
    await peers.close();
    await server.kill();
  });
  const tasks = peers.dial(server.address);
  await tasks.run(spec(), caller());
  await closed.promise;
  await tasks.run(spec(), caller());
});

test("close() ends open calls and refuses new ones", async () => {
  const server = await serveStreams(() => {});
  const peers = openPeers();
  const tasks = peers.dial(server.address);
  const open = [tasks.run(spec(), caller()), collect(tasks.watch("x", caller()))];
  const ended = open.map((result) => assert.rejects(result, failing("shutting_down")));
  await peers.close();
  await Promise.all(ended);
  await assert.rejects(tasks.run(spec(), caller()), failing("shutting_down"));
  await server.kill();
});

test("many calls at once share one connection, and large ones too", async (t) => {
  const { tasks, remote } = await node(t);
  const inputs = Array.from({ length: 300 }, (_, i) => `${i}`.repeat(1 + i % 50));
  const results = await Promise.all(inputs.map((input) => remote.run(spec(input, { function: "echo" }), caller())));
  assert.deepEqual(results.map((result) => text(result.output)), inputs);
  assert.equal(tasks.specs.length, 300);
  const large = new Uint8Array(8 << 20).fill(9);
  const [one, two] = await Promise.all([1, 2].map(() => remote.run(spec(large, { function: "echo" }), caller())));
  assert.equal(Buffer.compare(one!.output, large), 0);
  assert.equal(Buffer.compare(two!.output, large), 0);
});

test("a server that drains lets its calls end, and the client comes back to the next one on the port", async () => {
  const first = createRpcServer({ ...COMMON, tasks: new FakeTasks(), node: fakeNode });
  const { port } = await first.listen({ host: "127.0.0.1", port: 0 });
  const peers = openPeers();
  const tasks = peers.dial(`127.0.0.1:${port}`);
  await tasks.run(spec(), caller());
  await first.close({ graceMs: 1000 });
  const second = createRpcServer({ ...COMMON, tasks: new FakeTasks(), node: fakeNode });
  await second.listen({ host: "127.0.0.1", port });
  assert.equal(text((await tasks.run(spec(), caller())).output), "world");
  await peers.close();
  await second.close({ graceMs: 0 });
});
