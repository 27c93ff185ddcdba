/**
 * Makes `data-dirs.tar.br` beside it: data directories as an earlier commit of this repository wrote them, for `test/e2e/upgrade.test.ts`.
 *
 * ```sh
 * git worktree add --detach /tmp/earlier b5523392d4^   # the last commit with schema 1
 * cp -al node_modules /tmp/earlier/
 * node test/vectors/data-dir-v1/make.ts /tmp/earlier
 * ```
 *
 * One thing is changed in that worktree first: leases and results may be kept for 100 years there, so that the
 * directories do not run out of what they hold.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { brotliCompressSync, constants } from "node:zlib";

const HUNDRED_YEARS_MS = 3_155_760_000_000;
const PRICES = {
  cpuSecond: "1000000",
  gibHour: "1000000000",
  gibWritten: "1000000000000",
  gibRead: "3000000000000",
  minimum: "7",
};

const checkout = resolve(process.argv[2] ?? "");
const schemaFile = join(checkout, "src/config/schema.ts");
writeFileSync(
  schemaFile,
  readFileSync(schemaFile, "utf8").replace(/max: (31_536_000_000|366 \* 86_400_000),/g, `max: ${HUNDRED_YEARS_MS},`),
);
const { startLocalChain } = await import(join(checkout, "src/payments/local-chain.ts"));
const { equalBooks, channelsOf } = await import(join(checkout, "test/e2e/paid-swarm.ts"));
const { post, taskThat, get, startNode, scratch } = await import(join(checkout, "test/e2e/harness.ts"));

const cleanups: (() => unknown)[] = [];
const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
const kept = {
  storage: { maxLeaseMs: HUNDRED_YEARS_MS },
  tasks: { retentionMs: HUNDRED_YEARS_MS },
  files: { leaseMs: HUNDRED_YEARS_MS, auditIntervalMs: "1d" },
};
try {
  const chain = await startLocalChain();
  cleanups.push(() => chain.close());
  const folder = scratch(scope);
  const payments = {
    rpcUrls: [chain.url],
    chainId: chain.chainId,
    channels: chain.channels,
    registry: chain.registry,
    confirmations: 0,
    maxHeadAgeMs: 0,
    claimEveryMs: 1000,
  };
  const providers = [];
  for (const place of [0, 1, 2]) {
    const dataDir = join(folder, `provider-${place}`);
    providers.push(await startNode(scope, { dataDir, config: { ...kept, payments, prices: PRICES } }));
  }
  const requester = await startNode(scope, {
    dataDir: join(folder, "requester"),
    config: {
      ...kept,
      requester: { providers: providers.map(({ rpc }: { rpc: string }) => rpc) },
      payments: { ...payments, deposit: String(10n ** 18n) },
    },
  });
  for (const { nodeId } of [requester, ...providers]) await chain.fund(nodeId, 10n * 10n ** 18n);
  const [first] = providers;
  const tasks = [];
  for (const target of [first.rpc, undefined]) {
    const id = target === undefined ? "kept-here" : "kept-there";
    const answer = await post(`${requester.rest}/v1/tasks`, { id, input: "hello", ...(target && { target }) });
    if (answer.status !== 202) throw new Error(answer.text);
    await taskThat((task: { state: string }) => task.state === "succeeded", { rest: requester.rest, id });
    const output = await (await fetch(`${requester.rest}/v1/tasks/${id}/output`)).text();
    tasks.push({ id, output, isLocal: target === undefined });
  }
  const files = [];
  for (const [name, sizeBytes] of [["plain.bin", 40_000], ["a folder/name ü", 1], ["empty", 0]] as const) {
    const bytes = Buffer.alloc(sizeBytes, `what ${name} holds, `);
    const url = `${requester.rest}/v1/files/${encodeURIComponent(name)}?policy=2%2B1`;
    const answer = await fetch(url, { method: "PUT", body: bytes });
    const { id, ...said } = await answer.json() as { id: string };
    if (answer.status !== 201) throw new Error(`${name}: ${answer.status} ${JSON.stringify(said)}`);
    const until = performance.now() + 60_000;
    for (;;) {
      const { shards } = await get(`${requester.rest}/v1/files/${id}/health`);
      if (shards.every(({ state }: { state: string }) => state === "stored")) break;
      if (performance.now() > until) throw new Error(`${name} has not all its shards: ${JSON.stringify(shards)}`);
      await new Promise((go) => setTimeout(go, 100));
    }
    files.push({ id, name, sizeBytes, sha256: createHash("sha256").update(bytes).digest("hex") });
  }
  await equalBooks(requester, providers);
  const channels = (await channelsOf(requester)).map((
    { channelId, peer, charged, paid, items }: Record<string, unknown>,
  ) => ({ channelId, peer, charged, paid, items }));
  for (const node of [requester, ...providers]) await node.stop();
  writeFileSync(join(folder, "chain.txt"), await chain.rpc("anvil_dumpState"));
  const commit = execFileSync("git", ["rev-parse", "HEAD"], { cwd: checkout, encoding: "utf8" }).trim();
  const facts = {
    commit,
    requester: { nodeId: requester.nodeId },
    providers: providers.map(({ nodeId, rpc }: { nodeId: string; rpc: string }) => ({ nodeId, rpc })),
    tasks,
    files,
    channels,
  };
  writeFileSync(join(folder, "facts.json"), JSON.stringify(facts, null, 2));
  const names = ["requester", ...providers.map((_: unknown, place: number) => `provider-${place}`)];
  const tar = execFileSync("tar", [
    "--create",
    "--sort=name",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--exclude=*.config.json",
    "--directory",
    folder,
    "facts.json",
    "chain.txt",
    ...names,
  ], { maxBuffer: 1 << 28 });
  const packed = brotliCompressSync(tar, { params: { [constants.BROTLI_PARAM_LGWIN]: 24 } });
  writeFileSync(new URL("data-dirs.tar.br", import.meta.url), packed);
  console.log(`${tar.length} bytes, ${packed.length} packed`);
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
