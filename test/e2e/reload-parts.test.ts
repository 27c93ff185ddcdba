/** What a node that runs takes over at a reload beside values: certificates, prices, peers. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import tls from "node:tls";
import { startLocalChain } from "../../src/payments/local-chain.ts";
import { RENEWED_CERT, RENEWED_KEY, TEST_CERT, TEST_KEY } from "../rpc/tls-keys.ts";
import { test } from "../testing.ts";
import { get, type NodeProcess, scratch, startNode, until } from "./harness.ts";

interface Changes {
  readonly applied: readonly string[];
  readonly needRestart: readonly string[];
  readonly code?: string;
  readonly detail?: string;
}

/** Writes a node's configuration file and has it read anew. */
async function reload(node: NodeProcess, config: Record<string, unknown>): Promise<Changes> {
  writeFileSync(`${node.dataDir}.config.json`, JSON.stringify(config));
  return await (await fetch(`${node.rest}/v1/config/reload`, { method: "POST" })).json() as Changes;
}

/** Writes a certificate and its key. */
function write(folder: string, name: string, [cert, key]: readonly [string, string]) {
  const files = { tlsCertFile: join(folder, `${name}.crt`), tlsKeyFile: join(folder, `${name}.key`) };
  writeFileSync(files.tlsCertFile, cert);
  writeFileSync(files.tlsKeyFile, key);
  return files;
}

const FIRST = [TEST_CERT, TEST_KEY] as const;
const SECOND = [RENEWED_CERT, RENEWED_KEY] as const;

/** Whom the certificate of an address names. */
function servedBy(address: string): Promise<string> {
  const { hostname: host, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      resolve(String(CN));
    });
    socket.on("error", reject);
  });
}

/** Waits until an address serves a certificate: on Deno a connection that was being accepted still sees the old one. */
function serves(address: string, name: string): Promise<true> {
  return until(async () => await servedBy(address) === name || undefined);
}

test("renewed certificates are served after a reload, to new connections; files that do not fit change nothing", async (t) => {
  const folder = scratch(t);
  const files = write(folder, "now", FIRST);
  // REST stays in the clear, so that the test can ask it.
  const config = { rpc: files };
  const node = await startNode(t, { dataDir: join(folder, "data"), config });
  assert.equal(await servedBy(node.rpc), "localhost");
  const kept = tls.connect({ port: Number(new URL(node.rpc).port), host: "127.0.0.1", rejectUnauthorized: false });
  t.after(() => kept.destroy());
  await new Promise((resolve, reject) => {
    kept.once("secureConnect", resolve);
    kept.on("error", reject);
  });
  let isCut = false;
  kept.once("close", () => isCut = true);

  assert.deepEqual(await reload(node, config), { applied: [], needRestart: [] });
  writeFileSync(files.tlsCertFile, RENEWED_CERT);
  const unfit = await reload(node, config);
  assert.equal(unfit.code, "config_invalid", JSON.stringify(unfit));
  assert.match(unfit.detail!, /now\.key is not the key of the certificate .*now\.crt/);
  assert.equal(await servedBy(node.rpc), "localhost");
  writeFileSync(files.tlsCertFile, "no certificate");
  assert.equal((await reload(node, { ...config, log: { level: "error" } })).code, "config_invalid");

  write(folder, "now", SECOND);
  assert.deepEqual(await reload(node, config), { applied: ["rpc.tlsCertFile"], needRestart: [] });
  await serves(node.rpc, "renewed");
  assert.equal(isCut, false, "connections that are open stay");
  // Other names for the files count too; no TLS at all does not.
  const moved = { rpc: write(folder, "moved", FIRST) };
  assert.deepEqual((await reload(node, moved)).applied, ["rpc.tlsCertFile", "rpc.tlsKeyFile"]);
  await serves(node.rpc, "localhost");
  assert.deepEqual(await reload(node, {}), { applied: [], needRestart: ["rpc.tlsCertFile", "rpc.tlsKeyFile"] });
  assert.equal(await servedBy(node.rpc), "localhost");
});

test("REST serves a renewed certificate after SIGHUP", async (t) => {
  const folder = scratch(t);
  const node = await startNode(t, { dataDir: join(folder, "data"), config: { rest: write(folder, "now", FIRST) } });
  const address = node.rest;
  assert.equal(await servedBy(address), "localhost");
  write(folder, "now", SECOND);
  process.kill(node.child.pid!, "SIGHUP");
  await serves(address, "renewed");
});

test("prices change at a reload: the offer has the new ones, and the token stays", async (t) => {
  const chain = await startLocalChain();
  t.after(() => chain.close());
  const payments = {
    rpcUrls: [chain.url],
    chainId: chain.chainId,
    channels: chain.channels,
    confirmations: 0,
    maxHeadAgeMs: 0,
  };
  const dataDir = join(scratch(t), "data");
  const node = await startNode(t, { dataDir, config: { payments, prices: { cpuSecond: "10", gibHour: "1" } } });
  const offered = async () => {
    const answer = await fetch(`${node.rest}/.well-known/velas-sphere/offer`);
    const { offer } = await answer.json() as { offer?: { rates: Record<string, string> } };
    return [answer.status, offer?.rates["cpuSecond"], offer?.rates["gibHour"]];
  };
  assert.deepEqual(await offered(), [200, "10", "1"]);
  const prices = { cpuSecond: "25", token: `0x${"12".repeat(20)}` };
  assert.deepEqual(await reload(node, { payments, prices }), {
    applied: ["prices.gibHour", "prices.cpuSecond"],
    needRestart: ["prices.token"],
  });
  assert.deepEqual(await offered(), [200, "25", "0"]);
  assert.deepEqual((await reload(node, { payments })).applied, ["prices.cpuSecond"]);
  assert.deepEqual(await offered(), [404, undefined, undefined], "free of charge now");
});

test("providers that the configuration names come and go at a reload", async (t) => {
  const folder = scratch(t);
  const start = (name: string, config = {}) => startNode(t, { dataDir: join(folder, name), config });
  const providers = await Promise.all(["one", "two"].map((name) => start(name)));
  const [one, two] = providers.map(({ rpc }) => rpc) as [string, string];
  const node = await start("node", { requester: { providers: [one] } });
  const put = async (name: string) => {
    const answer = await fetch(`${node.rest}/v1/files/${name}?policy=1%2B1`, { method: "PUT", body: "x" });
    await answer.text();
    return answer.status;
  };
  const named = async () => {
    const { peers } = await get<{ peers: { target: string; sources: string[] }[] }>(`${node.rest}/v1/peers`);
    return peers.filter(({ sources }) => sources.includes("static")).map(({ target }) => target).sort();
  };
  assert.deepEqual(await named(), [one]);
  assert.equal(await put("early"), 503, "two shards want two providers");
  assert.deepEqual(await reload(node, { requester: { providers: [one, two] } }), {
    applied: ["requester.providers"],
    needRestart: [],
  });
  assert.deepEqual(await named(), [one, two].sort());
  assert.equal(await put("later"), 201);
  const bad = await reload(node, { requester: { providers: [one] }, peers: { static: ["no port"] } });
  assert.match(bad.code ?? "", /invalid/);
  assert.deepEqual(await named(), [one, two].sort());
  assert.deepEqual((await reload(node, { peers: { static: [two] } })).applied.toSorted(), [
    "peers.static",
    "requester.providers",
  ]);
  assert.deepEqual(await named(), [two]);
});
