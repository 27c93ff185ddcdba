import assert from "node:assert/strict";
import { encodeFunctionData, stringToHex } from "viem";
import { type NodeId, silentLog, systemClock } from "../../src/core/mod.ts";
import { registryAbi } from "../../src/gen/contracts.ts";
import { Chain } from "../../src/payments/chain.ts";
import { RegistryLog } from "../../src/payments/mod.ts";
import type { LocalChain } from "../../src/payments/local-chain.ts";
import { chainFor } from "../payments/paid-nodes.ts";
import { test, type TestScope } from "../testing.ts";
import { fakeWorld, keyOf, until } from "./fakes.ts";

/** Sends a transaction of any account to the registry, and waits until it is mined. */
async function send(chain: LocalChain, from: NodeId, data: `0x${string}`): Promise<void> {
  await chain.fund(from, 10n ** 18n);
  await chain.rpc("anvil_impersonateAccount", [from]);
  const hash = await chain.rpc<string>("eth_sendTransaction", [{ from, to: chain.registry, data, gas: "0x100000" }]);
  for (let tries = 0; tries < 500; tries++) {
    const receipt = await chain.rpc<{ status: string } | null>("eth_getTransactionReceipt", [hash]);
    if (receipt !== null) return assert.equal(receipt.status, "0x1");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${hash} was not mined`);
}

function register(chain: LocalChain, n: number, url: string, region = "eu"): Promise<void> {
  const args = [url, `0x${"0".repeat(64)}`, stringToHex(region, { size: 32 })] as const;
  return send(chain, keyOf(n).nodeId, encodeFunctionData({ abi: registryAbi, functionName: "register", args }));
}

function deregister(chain: LocalChain, n: number): Promise<void> {
  return send(chain, keyOf(n).nodeId, encodeFunctionData({ abi: registryAbi, functionName: "deregister" }));
}

/** A reader of the chain's registry that believes blocks with `confirmations` on them. */
async function readerOf(
  t: TestScope,
  chain: LocalChain,
  options: { confirmations?: number; maxSpan?: number } = {},
): Promise<RegistryLog> {
  const { confirmations = 0, maxSpan = 10_000 } = options;
  const opened = await Chain.open({
    rpcUrls: [chain.url],
    chainId: chain.chainId,
    channels: chain.channels,
    registry: chain.registry,
    confirmations,
    maxHeadAgeMs: 0,
    pollMs: 60_000,
    clock: systemClock,
    log: silentLog,
  });
  t.after(() => opened.close());
  return new RegistryLog(opened, { registry: chain.registry, confirmations, fromBlock: 0, maxSpan });
}

test("read() gives what was registered, changed and taken back, in order, each once", async (t) => {
  const chain = await chainFor(t);
  const reader = await readerOf(t, chain);
  await register(chain, 1, "http://a.example:1");
  await register(chain, 2, "http://b.example:1", "us");
  const first = await reader.read(undefined);
  assert.deepEqual(first.events.map(({ node, url, region }) => [node, url, region]), [
    [keyOf(1).nodeId, "http://a.example:1", "eu"],
    [keyOf(2).nodeId, "http://b.example:1", "us"],
  ]);
  assert.equal(first.caughtUp, true);
  await deregister(chain, 1);
  const second = await reader.read(first.checkpoint);
  assert.deepEqual(second.events.map(({ node, url }) => [node, url]), [[keyOf(1).nodeId, ""]]);
  const third = await reader.read(second.checkpoint);
  assert.deepEqual([third.events.length, third.caughtUp, third.reorganised], [0, true, false]);
});

test("read() believes nothing above the confirmations, and goes in ranges", async (t) => {
  const chain = await chainFor(t);
  const reader = await readerOf(t, chain, { confirmations: 3, maxSpan: 10 });
  await register(chain, 1, "a.example:1");
  await chain.rpc("anvil_mine", ["0x2"]);
  assert.deepEqual((await reader.read(undefined)).events, []);
  await chain.rpc("anvil_mine", ["0x1"]);
  assert.equal((await reader.read(undefined)).events.length, 1);
  await chain.rpc("anvil_mine", ["0x19"]);
  let at = (await reader.read(undefined)).checkpoint;
  let pages = 1;
  for (let caughtUp = false; !caughtUp; pages++) {
    const page = await reader.read(at);
    ({ checkpoint: at, caughtUp } = page);
  }
  assert.equal(pages, 3, "some 30 blocks, 10 at once");
});

test("the book follows the registry, goes on from its checkpoint after a restart, and survives a reorganisation", async (t) => {
  const chain = await chainFor(t);
  const world = fakeWorld(t);
  const reader = await readerOf(t, chain);
  const ranges: (number | undefined)[] = [];
  const registry = {
    key: "31337/real",
    reader: {
      read: (after: Parameters<RegistryLog["read"]>[0]) => {
        ranges.push(after?.block);
        return reader.read(after);
      },
    },
  };
  await register(chain, 1, "a.example:1");
  await register(chain, 2, "b.example:1");
  const first = await world.open({ registry });
  first.start();
  const targets = (discovery: typeof first) => discovery.admin.list().map(({ target }) => target).sort().join(" ");
  await until(() => targets(first) === "a.example:1 b.example:1");
  first.shardOutcome({ target: "a.example:1", nodeId: keyOf(1).nodeId }, { weight: 3 });
  await first.close();

  await deregister(chain, 2);
  const snapshot = await chain.rpc<string>("evm_snapshot");
  await register(chain, 3, "c.example:1");
  await register(chain, 4, "d.example:1");
  ranges.length = 0;
  const second = await world.open({ registry });
  second.start();
  assert.equal(targets(second), "a.example:1 b.example:1", "what was read before the restart");
  await until(() => targets(second) === "a.example:1 c.example:1 d.example:1");
  assert.ok(ranges[0]! > 0, "it did not begin anew");

  // Another history: c moves, d never was.
  await chain.rpc("evm_revert", [snapshot]);
  await chain.rpc("anvil_mine", ["0x1"]);
  await register(chain, 3, "moved.example:1");
  await chain.rpc("anvil_mine", ["0x5"]);
  await until(() => targets(second) === "a.example:1 moved.example:1");
  assert.ok(ranges.includes(undefined), "all was read anew");
  await second.close();
  const third = await world.open({ registry });
  assert.equal(targets(third), "a.example:1 moved.example:1");
});

test("a chain that is down is asked again, and nothing is lost", async (t) => {
  const chain = await chainFor(t);
  const reader = await readerOf(t, chain);
  await register(chain, 1, "a.example:1");
  let down = true;
  const registry = {
    key: "31337/real",
    reader: {
      read: (after: Parameters<RegistryLog["read"]>[0]) =>
        down ? Promise.reject(new Error("down")) : reader.read(after),
    },
  };
  const discovery = await fakeWorld(t).open({ registry });
  discovery.start();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(discovery.admin.list().length, 0);
  down = false;
  await until(() => discovery.admin.list().length === 1);
});
