import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { get, type NodeProcess, post, run, until } from "./harness.ts";
import { channelOf, equalBooks, startPaidSwarm } from "./paid-swarm.ts";

interface PeerList {
  readonly peers: readonly {
    readonly target: string;
    readonly reachability: string;
    readonly claims?: { region: string };
  }[];
}

const PRICES = { cpuSecond: "1000000", gibHour: "1000000", minimum: "1000" };
const SPEC = { plugin: "demo", function: "greet", input: "hello", limits: { timeoutMs: 1000, outputBytes: 1000 } };

async function register(node: NodeProcess, region: string): Promise<void> {
  const done = await run(["payments", "register", node.rpc, "--region", region, "--url", node.rest]);
  assert.equal(done.code, 0, done.stderr);
}

test("providers that only the registry names are found, chosen under a price, paid for tasks, and keep files in their regions", async (t) => {
  const { providers, requester } = await startPaidSwarm(t, {
    providers: 2,
    prices: PRICES,
    requester: {
      requester: { providers: [] },
      node: { allowNetworks: ["127.0.0.1"] },
      peers: { registryEveryMs: 200 },
    },
  });
  const [east, west] = providers as [NodeProcess, NodeProcess];
  await register(east, "east");
  await register(west, "west");
  const peers = await until(async () => {
    const list = (await get<PeerList>(`${requester.rest}/v1/peers`)).peers;
    return list.filter(({ reachability }) => reachability === "reachable").length === 2 ? list : undefined;
  });
  assert.deepEqual(peers.map(({ claims }) => claims!.region).sort(), ["east", "west"]);

  const dear = await post(`${requester.rest}/v1/tasks/run`, { ...SPEC, any: { maxPrice: "999999" } });
  assert.equal(dear.status, 503, dear.text);
  const problem = JSON.parse(dear.text) as { code: string; data: Record<string, unknown> };
  assert.equal(problem.code, "no_peer_fits");
  assert.deepEqual(problem.data, { known: 2, tooDear: 2, cheapest: "1000000" });
  const fair = await post(`${requester.rest}/v1/tasks/run`, { ...SPEC, any: { maxPrice: "1000000", region: "west" } });
  assert.equal(fair.status, 200, fair.text);
  assert.ok(BigInt((await channelOf(west)).charged) >= 1000n);

  const put = await fetch(`${requester.rest}/v1/files/a.txt?policy=1%2B1`, { method: "PUT", body: "hello" });
  assert.ok(put.ok, await put.text());
  for (const provider of providers) {
    await until(async () =>
      (await get<{ shards: number }>(`${provider.rest}/v1/shards/usage`)).shards === 1 || undefined
    );
  }
  await equalBooks(requester, providers);
});

test("addresses of this machine in the registry are not dialled unless they are allowed", async (t) => {
  const { providers, requester } = await startPaidSwarm(t, {
    prices: PRICES,
    requester: { requester: { providers: [] }, peers: { registryEveryMs: 200 } },
  });
  await register(providers[0]!, "");
  await until(async () => {
    const metrics = await (await fetch(`${requester.rest}/metrics`)).text();
    return /velas_registry_events_total\{result="forbidden"\} 1/.test(metrics) || undefined;
  });
  assert.deepEqual((await get<PeerList>(`${requester.rest}/v1/peers`)).peers, []);
});
