import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isTaskReceiptSigned, type TaskReceipt } from "../../src/core/mod.ts";
import { packPlugin } from "../../src/plugins/mod.ts";
import { test } from "../testing.ts";
import { equalBooks, startPaidSwarm } from "./paid-swarm.ts";
import { get, type NodeProcess, post, run, scratch, startNode } from "./harness.ts";

const DEMO = readFileSync(new URL("../../wasm-plugins/demo/demo.wasm", import.meta.url));

const SERVICES = readFileSync(new URL("../../wasm-plugins/testing/services.wasm", import.meta.url));

/** Puts the demo plugin under another name into a data directory, its bytes changed so that `greet` answers with `word` (5 characters). */
function plant(dataDir: string, word: string): void {
  const text = DEMO.toString("latin1");
  const changed = text.replaceAll('"name": "demo"', '"name": "tale"')
    .replace("worldprimes wants", `${word}primes wants`);
  assert.equal(changed.length, text.length);
  mkdirSync(join(dataDir, "plugins"), { recursive: true });
  writeFileSync(join(dataDir, "plugins", "tale.wasm"), Buffer.from(changed, "latin1"));
}

interface PeerJson {
  readonly target: string;
  readonly reachability: string;
  readonly score: number;
  readonly experience: { readonly bad: number; readonly lastError?: string };
}

interface ResultJson {
  readonly output: string;
  readonly verification: {
    readonly agreed: number;
    readonly receipts: readonly { readonly target: string; readonly receipt: TaskReceipt }[];
  };
}

test("of three nodes the one whose plugin of the same name and version answers otherwise is outvoted and scored down", async (t) => {
  const folder = scratch(t);
  const nodes = await Promise.all(["world", "world", "w0rld"].map((word, place) => {
    const dataDir = join(folder, String(place));
    plant(dataDir, word);
    return startNode(t, { dataDir });
  })) as [NodeProcess, NodeProcess, NodeProcess];
  const targets = nodes.map(({ rpc }) => rpc);
  const requester = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: { requester: { providers: targets } },
  });
  const liar = targets[2]!;
  const peer = async (target: string) =>
    (await get<{ peers: PeerJson[] }>(`${requester.rest}/v1/peers`)).peers.find((known) => known.target === target)!;
  // Whoever is known must have been asked before it can be chosen.
  for (const target of targets) {
    await post(`${requester.rest}/v1/peers/${encodeURIComponent(target)}/probe`, {});
    assert.equal((await peer(target)).reachability, "reachable");
  }

  const task = { plugin: "tale", function: "greet", input: "hello" };
  const verify = (more: object) => post(`${requester.rest}/v1/tasks/run`, { ...task, ...more });
  const { status, text } = await verify({ id: "t1", verify: { replicas: 3 } });
  assert.equal(status, 200, text);
  const { output, verification: { receipts, ...verification } } = JSON.parse(text) as ResultJson;
  assert.equal(output, "world");
  assert.deepEqual(verification, {
    agreed: 2,
    asked: 3,
    dissenters: [liar],
    failed: [],
    meterAgreed: true,
    pluginAgreed: true,
  });
  // Each has signed what it gave, the one that is outvoted too.
  assert.deepEqual(receipts.map(({ target }) => target).sort(), [...targets].sort());
  for (const [place, { target, receipt }] of receipts.entries()) {
    assert.ok(isTaskReceiptSigned(receipt));
    const { nodeId } = nodes.find(({ rpc }) => rpc === target)!;
    assert.deepEqual([receipt.provider, receipt.taskId], [nodeId, `t1~${place + 1}`]);
  }
  const said = (target: string) => receipts.find((each) => each.target === target)!.receipt.outputSha256;
  assert.equal(said(targets[0]!), said(targets[1]!));
  assert.notEqual(said(targets[0]!), said(liar));
  const [good, bad] = [await peer(targets[0]!), await peer(liar)];
  assert.ok(bad.score < good.score, `${bad.score} ${good.score}`);
  assert.ok(bad.experience.bad > 9);
  assert.match(bad.experience.lastError!, /gave [0-9a-f]{12}… where 2 of 3/);
  assert.ok(requester.log.some((line) => line.includes("gave another result than most") && line.includes(liar)));

  const tie = await verify({ verify: { replicas: 2, targets: [targets[0], liar] } });
  assert.equal(tie.status, 502, tie.text);
  const { code, detail } = JSON.parse(tie.text) as { code: string; detail: string };
  assert.equal(code, "target_misbehaved");
  for (const target of [targets[0]!, liar]) assert.match(detail, new RegExp(`${target} gave [0-9a-f]{12}…`));

  const alias = targets[0]!.replace("127.0.0.1", "localhost");
  const twice = await verify({ verify: { replicas: 2, targets: [targets[0], alias] } });
  assert.equal(twice.status, 409, twice.text);
  assert.match(twice.text, /is the same node as/);

  const cli = await run(
    ["task", "run", "tale", "greet", "hello", "--url", requester.rest, "--verify", "3", "--verify-targets", ...targets],
  );
  assert.equal(cli.code, 0, cli.stderr);
  assert.equal(cli.stdout, "world");
  assert.ok(cli.stderr.includes(`2 of 3 providers agree; ${liar} gave something else`), cli.stderr);
  assert.ok(cli.stderr.includes("3 signed receipts"), cli.stderr);
});

test("a task that used the clock is shown as non-deterministic by REST, the CLI and its receipt, and cannot be verified when runs differ", async (t) => {
  const folder = scratch(t);
  const manifest = JSON.stringify({
    name: "services",
    version: "1.0.0",
    functions: [{ name: "now" }],
    needs: ["clock"],
  });
  const packed = packPlugin(SERVICES, new TextEncoder().encode(manifest));
  const nodes = await Promise.all([0, 1].map((place) => {
    const dataDir = join(folder, String(place));
    mkdirSync(join(dataDir, "plugins"), { recursive: true });
    writeFileSync(join(dataDir, "plugins", "services.wasm"), packed);
    return startNode(t, { dataDir, config: { plugins: { grants: ["services:clock"] } } });
  })) as [NodeProcess, NodeProcess];
  const [node, other] = nodes;
  const task = { plugin: "services", function: "now", input: "" };
  const once = JSON.parse((await post(`${node.rest}/v1/tasks/run`, task)).text) as { nondeterministic?: string[] };
  assert.deepEqual(once.nondeterministic, ["clock"]);
  const away = await post(`${node.rest}/v1/tasks/run`, { ...task, id: "c1", target: other.rpc });
  const { nondeterministic, receipt } = JSON.parse(away.text) as { nondeterministic: string[]; receipt: TaskReceipt };
  assert.deepEqual([nondeterministic, receipt.version, receipt.nondeterministic], [["clock"], 3, ["clock"]]);
  assert.ok(isTaskReceiptSigned(receipt));
  const flags = ["--url", node.rest, "--target", other.rpc];
  for (const command of ["get", "receipt"]) {
    const cli = await run(["task", command, "c1", ...flags]);
    assert.equal(cli.code, 0, cli.stderr);
    assert.match(cli.stdout, /depends on +clock beside its input \(non-deterministic/);
  }
  const verify = { replicas: 2, targets: nodes.map(({ rpc }) => rpc) };
  const refused = await post(`${node.rest}/v1/tasks/run`, { ...task, verify });
  // Two clocks that show the same millisecond agree.
  if (refused.status === 200) {
    const { verification } = JSON.parse(refused.text) as { verification: { nondeterministic: string[] } };
    assert.deepEqual(verification.nondeterministic, ["clock"]);
  } else {
    assert.equal(refused.status, 409, refused.text);
    assert.match(refused.text, /Running it again cannot verify this task/);
  }
});

test("each provider that verifies a task is paid for its own run, and the books are equal", async (t) => {
  const { requester, providers } = await startPaidSwarm(t, {
    providers: 3,
    prices: { cpuSecond: "1000000", minimum: "1000" },
  });
  const targets = providers.map(({ rpc }) => rpc);
  const task = { plugin: "demo", function: "greet", input: "hello", verify: { replicas: 3, targets } };
  for (let i = 0; i < 2; i++) {
    const { status, text } = await post(`${requester.rest}/v1/tasks/run`, task);
    assert.equal(status, 200, text);
    assert.equal((JSON.parse(text) as ResultJson).verification.agreed, 3);
  }
  for (const { items, charged } of await equalBooks(requester, providers)) {
    assert.equal(items, 2);
    assert.ok(BigInt(charged) >= 2000n);
  }
});
