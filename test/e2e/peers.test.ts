import assert from "node:assert/strict";
import { createServer as createHttp2Server } from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { join } from "node:path";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { get, type NodeProcess, post, run, scratch, startNode, taskThat, until } from "./harness.ts";

interface PeerJson {
  readonly target: string;
  readonly reachability: string;
  readonly score: number;
  readonly nodeId?: string;
  readonly problem?: string;
  readonly experience: { readonly good: number; readonly bad: number };
  readonly claims?: {
    readonly region: string;
    readonly plugins: { readonly name: string }[];
    readonly keepsShards: boolean;
  };
}

async function peersOf({ rest }: NodeProcess): Promise<PeerJson[]> {
  return (await get<{ peers: PeerJson[] }>(`${rest}/v1/peers`)).peers;
}

async function peerAt(node: NodeProcess, target: string): Promise<PeerJson> {
  return (await peersOf(node)).find((peer) => peer.target === target)!;
}

function reachable(node: NodeProcess, count: number): Promise<true> {
  return until(async () => {
    const peers = await peersOf(node);
    return peers.filter(({ reachability }) => reachability === "reachable").length === count || undefined;
  });
}

const SPEC = { plugin: "demo", function: "greet", input: "hello" };

test("a task for any provider goes to one that fits; one that was killed is avoided; scores survive a restart", async (t) => {
  const folder = scratch(t);
  const [first, second] = await Promise.all(
    ["first", "second"].map((name) =>
      startNode(t, { dataDir: join(folder, name), config: { node: { region: name } } })
    ),
  ) as [NodeProcess, NodeProcess];
  const config = { peers: { static: [first.rpc] }, requester: { providers: [second.rpc] } };
  const requester = await startNode(t, { dataDir: join(folder, "requester"), config });
  await reachable(requester, 2);
  assert.equal((await peerAt(requester, first.rpc)).nodeId, first.nodeId);
  assert.deepEqual((await peerAt(requester, second.rpc)).claims!.region, "second");

  const where = async (wish: object = {}) => {
    const { status, text } = await post(`${requester.rest}/v1/tasks`, { ...SPEC, any: wish });
    assert.equal(status, 202, text);
    const { id } = JSON.parse(text) as { id: string };
    return (await taskThat((task) => task.state === "succeeded", { rest: requester.rest, id })).target;
  };
  assert.equal(await where({ region: "second" }), second.rpc);
  for (let i = 0; i < 10; i++) {
    const { status, text } = await post(`${requester.rest}/v1/tasks/run`, { ...SPEC, any: { region: "first" } });
    assert.equal(status, 200, text);
  }
  assert.equal(await where(), first.rpc, "the one that served more is preferred");
  const before = (await peerAt(requester, first.rpc)).score;
  assert.ok(before > 0.7, `${before}`);

  await first.stop("SIGKILL");
  const ids = Array.from({ length: 5 }, (_, i) => `after-${i}`);
  for (const id of ids) {
    const { status, text } = await post(`${requester.rest}/v1/tasks/run`, { ...SPEC, id, any: {} });
    assert.equal(status, 200, text);
  }
  const killed = await peerAt(requester, first.rpc);
  assert.equal(killed.reachability, "unreachable");
  assert.ok(killed.score < before);
  assert.equal(await where(), second.rpc);
  const none = await run(
    ["task", "run", "demo", "greet", "hello", "--any", "--region", "first", "--url", requester.rest],
  );
  assert.equal(none.code, 10, none.stderr);
  assert.match(none.stderr, /Of 2 known peers 1 are out of reach, 1 are in another region/);

  await requester.stop();
  const again = await startNode(t, { dataDir: join(folder, "requester"), config });
  const kept = await peerAt(again, first.rpc);
  assert.ok(Math.abs(kept.score - killed.score) < 0.05, `${kept.score} ${killed.score}`);
  assert.ok(kept.experience.good > 9);
  const answer = await run(["task", "run", "demo", "greet", "hello", "--any", "--url", again.rest]);
  assert.equal(answer.stdout, "world", answer.stderr);
});

test("peers are added, shown, probed and removed from the command line, and files go to them", async (t) => {
  const folder = scratch(t);
  const [node, other] = await Promise.all(
    ["node", "other"].map((name) => startNode(t, { dataDir: join(folder, name) })),
  ) as [NodeProcess, NodeProcess];
  const cli = async (...args: string[]) => {
    const done = await run([...args, "--url", node.rest]);
    assert.equal(done.code, 0, done.stderr);
    return done.stdout;
  };
  assert.match(await cli("peers", "add", other.rpc), new RegExp(other.nodeId));
  const table = await cli("peers", "list");
  assert.match(table, new RegExp(`${other.rpc} +reachable +0\\.\\d\\d`));
  const listed = JSON.parse(await cli("peers", "list", "--json", "--plugin", "demo")) as { total: number };
  assert.equal(listed.total, 1);
  assert.match(await cli("peers", "show", other.rpc), /says: plugins +demo@/);
  assert.equal((JSON.parse(await cli("peers", "probe", other.rpc, "--json")) as PeerJson).reachability, "reachable");

  const put = await fetch(`${node.rest}/v1/files/a.txt?policy=1%2B1&allowFewer=true`, { method: "PUT", body: "hello" });
  assert.ok(put.ok, await put.text());
  assert.equal(await (await fetch(`${node.rest}/v1/files/a.txt`)).text(), "hello");
  const shards = await get<{ shards: number }>(`${other.rest}/v1/shards/usage`);
  assert.equal(shards.shards, 2);
  await until(async () => (await peerAt(node, other.rpc)).experience.good > 0.9 || undefined);

  assert.match(await cli("peers", "remove", other.rpc), /Removed/);
  const gone = await run(["peers", "show", other.rpc, "--url", node.rest]);
  assert.equal(gone.code, 4, gone.stderr);
  const refused = await run(["task", "run", "demo", "greet", "x", "--max-price", "5", "--url", node.rest]);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /add --any/);
});

async function listening(t: TestScope, server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("peers that stay silent, send garbage, or answer without end are told from nodes, and the node serves on", async (t) => {
  const silent = createServer();
  const garbage = createServer((socket) => void socket.write("x".repeat(100_000)));
  const endless = createHttp2Server();
  endless.on("sessionError", () => {});
  endless.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
    const head = Buffer.alloc(5);
    head.writeUInt32BE(1 << 30, 1);
    stream.write(head);
    const more = () => {
      if (!stream.destroyed) stream.write(Buffer.alloc(1 << 16), more);
    };
    more();
  });
  const targets = [
    await listening(t, silent),
    await listening(t, garbage),
    await listening(t, endless as never as Server),
  ];
  const folder = scratch(t);
  const good = await startNode(t, { dataDir: join(folder, "good") });
  const node = await startNode(t, {
    dataDir: join(folder, "node"),
    config: { peers: { static: [...targets, good.rpc], probeTimeoutMs: 5000 } },
  });
  await until(async () => (await peersOf(node)).every(({ reachability }) => reachability !== "unknown") || undefined);
  await reachable(node, 1);
  for (const target of targets) {
    const { reachability, problem, nodeId } = await peerAt(node, target);
    assert.deepEqual([reachability, nodeId], ["unreachable", undefined], target);
    assert.ok(problem!.length > 0 && problem!.length <= 300);
  }
  const { status, text } = await post(`${node.rest}/v1/tasks/run`, { ...SPEC, any: {} });
  assert.equal(status, 200, text);
  const lines = async () =>
    (await (await fetch(`${node.rest}/metrics`)).text()).split("\n").filter((line) => line.startsWith("velas_peer"));
  await until(async () => (await lines()).includes('velas_peers{state="reachable"} 1') || undefined);
  assert.ok(!(await lines()).some((line) => line.includes("127.0.0.1")));
});

test("a node that lists whom it serves takes tasks and shards from those only", async (t) => {
  const folder = scratch(t);
  const [friend, stranger] = await Promise.all(
    ["friend", "stranger"].map((name) => startNode(t, { dataDir: join(folder, name) })),
  ) as [NodeProcess, NodeProcess];
  const provider = await startNode(t, {
    dataDir: join(folder, "provider"),
    config: { rpc: { allow: [friend.nodeId] } },
  });
  const { rpc } = provider;
  const task = await run(["task", "run", "demo", "greet", "hello", "--target", rpc, "--url", friend.rest]);
  assert.equal(task.stdout, "world", task.stderr);
  const answer = await post(`${friend.rest}/v1/tasks`, { ...SPEC, target: rpc, id: "a1" });
  assert.equal(answer.status, 202, answer.text);
  const legacy = await post(`${friend.rest}/task`, { target: rpc, id: "1", input: "hello" });
  assert.equal(legacy.text, '{"id":"1","output":"world"}');
  const refused = await post(`${stranger.rest}/v1/tasks/run`, { ...SPEC, target: rpc });
  assert.equal(refused.status, 403, refused.text);
  const put = (node: NodeProcess) =>
    fetch(`${node.rest}/v1/files/a.txt?policy=1%2B1&allowFewer=true&providers=${rpc}`, {
      method: "PUT",
      body: "hello",
    });
  const kept = await put(friend);
  assert.ok(kept.ok, await kept.text());
  const lost = await put(stranger);
  assert.ok(!lost.ok, await lost.text());

  // Among peers it is passed over by whom it does not serve, and chosen by whom it does.
  for (const node of [friend, stranger]) {
    const added = await post(`${node.rest}/v1/peers`, { target: rpc });
    assert.equal(added.status, 201, added.text);
    assert.equal((await peerAt(node, rpc)).claims!.keepsShards, node === friend);
  }
  const any = await post(`${stranger.rest}/v1/tasks/run`, { ...SPEC, any: {} });
  assert.equal(any.status, 403, any.text);
  assert.ok((await peerAt(stranger, rpc)).experience.bad > 0.9);
});
