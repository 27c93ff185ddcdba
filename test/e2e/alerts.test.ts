/** Each alert on nodes that run, from the cause to the cure: in webhook, REST, metric, events and log. */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { selfSigned } from "../../src/node/self-signed.ts";
import { startLocalChain } from "../../src/payments/local-chain.ts";
import { test } from "../testing.ts";
import { watchAlerts } from "./alert-watch.ts";
import { get, type NodeProcess, post, run, scratch, startNode, until } from "./harness.ts";
import { channelOf, startPaidSwarm } from "./paid-swarm.ts";

const DAY_MS = 86_400_000;

async function isAnyRaised({ rest }: NodeProcess): Promise<boolean> {
  return (await get<{ alerts: unknown[] }>(`${rest}/v1/alerts`)).alerts.length > 0;
}

interface ShardsJson {
  readonly shards: readonly { readonly provider: string; readonly state: string }[];
}

test("low_disk is raised where too little is free, the node serves all the same, and a lower bound clears it", async (t) => {
  const watch = await watchAlerts(t, { minFreeBytes: "8000TiB" });
  const node = await startNode(t, { dataDir: join(scratch(t), "data"), config: watch.config });
  await watch.raised(node, {
    name: "low_disk",
    message: /^\d+ MiB are free where .*, less than \d+ MiB \(alerts\.minFreeBytes\): free some/,
  });
  assert.match(await (await fetch(`${node.rest}/metrics`)).text(), /velas_alert\{name="chain_stale"\} 0/);
  assert.equal((await fetch(`${node.rest}/readyz`)).status, 200);
  const config = { ...watch.config, alerts: { ...watch.config.alerts, minFreeBytes: 0 } };
  writeFileSync(`${node.dataDir}.config.json`, JSON.stringify(config));
  process.kill(node.child.pid!, "SIGHUP");
  await watch.cleared(node, { name: "low_disk" });
});

test("failing_audits is raised when a provider lost its shards, and cleared when the audits after a repair succeed", async (t) => {
  // Of the audits one in three fails, until none does any more: no share between both rings twice.
  const watch = await watchAlerts(t, { auditFailPercent: 5 });
  const folder = scratch(t);
  const start = (place: number, args: readonly string[] = []) =>
    startNode(t, { dataDir: join(folder, `provider-${place}`), args });
  const providers = await Promise.all([0, 1, 2, 3].map((place) => start(place)));
  const requester = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: { ...watch.config, requester: { providers: providers.map(({ rpc }) => rpc) } },
  });
  const answer = await fetch(`${requester.rest}/v1/files/a?policy=2%2B1`, { method: "PUT", body: "x".repeat(100_000) });
  assert.equal(answer.status, 201);
  const { id } = await answer.json() as { id: string };
  const now = async (what: "audit" | "repair") =>
    await (await fetch(`${requester.rest}/v1/files/${id}/${what}`, { method: "POST" })).json() as ShardsJson;
  assert.ok((await now("audit")).shards.every(({ state }) => state === "proven"));
  assert.equal(await isAnyRaised(requester), false);

  const { shards: [first] } = await get<ShardsJson>(`${requester.rest}/v1/files/${id}/health`);
  const place = providers.findIndex(({ rpc }) => rpc === first!.provider);
  const { rpc, dataDir } = providers[place]!;
  await providers[place]!.stop();
  rmSync(join(dataDir, "shards"), { recursive: true });
  await start(place, ["--rpc-listen", rpc]);
  await until(async () => {
    assert.equal((await now("audit")).shards[0]!.state, "lost");
    return await isAnyRaised(requester) || undefined;
  });
  await watch.raised(requester, {
    name: "failing_audits",
    message:
      /^[1-9]\d* of [1-9]\d* audits of this node's files failed lately \(alerts\.auditFailPercent is 5\): velas-sphere file health/,
  });

  await now("repair");
  await until(async () => {
    assert.ok((await now("audit")).shards.every(({ state }) => state === "proven"));
    return !await isAnyRaised(requester) || undefined;
  });
  await watch.cleared(requester, { name: "failing_audits" });
});

test("channel_low is raised when a deposit is nearly used up, and cleared by the top-up that it names", async (t) => {
  const watch = await watchAlerts(t, { channelLeftPercent: 50 });
  const deposit = 1_000_000n;
  const { requester, providers: [provider] } = await startPaidSwarm(t, {
    prices: { minimum: "100000" },
    requester: { ...watch.config, payments: { deposit: String(deposit) } },
  });
  for (let i = 0; i < 4; i++) {
    const task = await post(`${requester.rest}/task`, { target: provider!.rpc, id: `t${i}`, input: "hello" });
    assert.equal(task.status, 200, task.text);
  }
  assert.equal(await isAnyRaised(requester), false, "60 % are left");
  for (let i = 4; i < 6; i++) {
    const task = await post(`${requester.rest}/task`, { target: provider!.rpc, id: `t${i}`, input: "hello" });
    assert.equal(task.status, 200, task.text);
  }
  const message = await watch.raised(requester, {
    name: "channel_low",
    message: /has 4\d{5} of 1000000 left, below 50 % \(alerts\.channelLeftPercent\): velas-sphere payments topup 0x/,
  });
  const { channelId } = await channelOf(requester);
  assert.ok(message.includes(provider!.rpc), message);
  assert.ok(message.endsWith(`velas-sphere payments topup ${channelId}`), message);
  const topUp = await run(["payments", "topup", channelId, "1000000", "--url", requester.rest]);
  assert.equal(topUp.code, 0, topUp.stderr);
  await watch.cleared(requester, { name: "channel_low" });
});

test("chain_stale is raised when the chain makes no blocks any more, and cleared when it does again", async (t) => {
  const watch = await watchAlerts(t);
  const chain = await startLocalChain();
  t.after(() => chain.close());
  const makeBlocks = () => chain.rpc("evm_setIntervalMining", [1]);
  await makeBlocks();
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: {
      ...watch.config,
      payments: {
        rpcUrls: [chain.url],
        chainId: chain.chainId,
        channels: chain.channels,
        confirmations: 0,
        maxHeadAgeMs: 10_000,
        claimEveryMs: 1000,
      },
    },
  });
  assert.equal(await isAnyRaised(node), false);
  await chain.rpc("evm_setIntervalMining", [0]);
  await watch.raised(node, {
    name: "chain_stale",
    message: /^The chain cannot be used \(newest known block \d+\): .* until an endpoint of payments\.rpcUrls answers/,
  });
  await makeBlocks();
  await watch.cleared(node, { name: "chain_stale" });
});

test("certificate_expiring is raised for a certificate near its end, and cleared when a renewed one is read", async (t) => {
  const watch = await watchAlerts(t);
  const folder = scratch(t);
  const files = { tlsCertFile: join(folder, "rpc.crt"), tlsKeyFile: join(folder, "rpc.key") };
  const certify = (days: number) => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    const now = Date.now();
    writeFileSync(files.tlsKeyFile, pem);
    writeFileSync(
      files.tlsCertFile,
      selfSigned({
        key: createPrivateKey(pem),
        commonName: "watched.example",
        names: ["watched.example"],
        notBefore: now - DAY_MS,
        notAfter: now + days * DAY_MS,
      }),
    );
  };
  certify(3.5);
  const node = await startNode(t, { dataDir: join(folder, "data"), config: { ...watch.config, rpc: files } });
  await watch.raised(node, {
    name: "certificate_expiring",
    message: /^The certificate of rpc\.tlsCertFile ends at .*Z, in 3 days: renew it and reload the node \(SIGHUP\)$/,
  });
  certify(90);
  process.kill(node.child.pid!, "SIGHUP");
  await watch.cleared(node, { name: "certificate_expiring" });
});
