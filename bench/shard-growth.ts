/**
 * What a provider's shards cost its requesters as they become many: put (fsynced), get, prove and list over signed RPC, against nodes with few
 * and many shards of 1 KiB. All nodes run at once and take turns, so that other load on the machine falls on each; medians.
 *
 *     node bench/shard-growth.ts [--shards 1000,100000,1000000] [--samples 300] [--folder DIR]
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MerkleBuilder } from "../src/codec/mod.ts";
import { dataPaths } from "../src/config/mod.ts";
import { type CallContext, newSecretKey, nodeKeyOf } from "../src/core/mod.ts";
import { createPeers } from "../src/rpc/client/mod.ts";
import { type LevelShardStore, openShardStore } from "../src/storage/mod.ts";
import { startNode } from "../test/e2e/harness.ts";

const { values: args } = parseArgs({
  options: {
    shards: { type: "string", default: "1000,100000,1000000" },
    samples: { type: "string", default: "300" },
    folder: { type: "string", default: tmpdir() },
  },
});
const counts = args.shards.split(",").map(Number);
const samples = Number(args.samples);
const SIZE_BYTES = 1024;
const LANES = 64;
const HOUR_MS = 3_600_000;
const owner = nodeKeyOf(newSecretKey());
const folder = mkdtempSync(join(args.folder, "velas-bench-"));
const cleanups: (() => unknown)[] = [];
const idOf = (number: number) => number.toString(16).padStart(32, "0");
const bytes = randomBytes(SIZE_BYTES);

async function put(store: LevelShardStore, number: number): Promise<void> {
  const upload = await store.begin({
    owner: owner.nodeId,
    id: idOf(number),
    maxBytes: SIZE_BYTES,
    expiresAt: Date.now() + 1000 * HOUR_MS,
    graceMs: 0,
  });
  const tree = new MerkleBuilder(({ level, index }, digest) => upload.keepNode(level, index, digest));
  tree.append(bytes);
  await upload.write(bytes);
  await upload.finish(Buffer.from(tree.finish().root).toString("hex"));
}

/** Puts shards into a data directory as a node would have. */
async function fill(dataDir: string, count: number): Promise<void> {
  const { shards, close } = await openShardStore(dataPaths(dataDir).shards, { minFreeBytes: 0, sync: false });
  let next = 0;
  await Promise.all(Array.from({ length: LANES }, async () => {
    while (next < count) await put(shards, next++);
  }));
  await close();
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const WHAT = ["put", "get", "prove", "list 100"] as const;
type Times = Record<(typeof WHAT)[number], number[]>;
const noTimes = (): Times => ({ "put": [], "get": [], "prove": [], "list 100": [] });

interface Candidate {
  readonly count: number;
  readonly target: string;
  readonly served: Times;
}

async function sample({ count, target, served }: Candidate, turn: number): Promise<void> {
  const shards = peers.dialShards(target);
  const ctx = (): CallContext => ({
    requester: owner.nodeId,
    signal: AbortSignal.timeout(60_000),
    requestId: "bench",
  });
  const time = async (what: keyof Times, work: () => Promise<unknown>) => {
    const at = performance.now();
    await work();
    served[what].push(performance.now() - at);
  };
  const any = () => idOf(Math.floor(Math.random() * count));
  const order = { id: idOf(count + turn), maxBytes: SIZE_BYTES, leaseMs: HOUR_MS };
  await time("put", () => shards.put(once(bytes), order, ctx()));
  await time("get", () => shards.get(any(), { start: 0, end: SIZE_BYTES }, ctx()));
  await time("prove", () => shards.prove(any(), [0], ctx()));
  await time("list 100", () => shards.list({ pageSize: 100, pageToken: "" }, ctx()));
}

/** A copy of the piece, which is the put's. */
async function* once(piece: Uint8Array): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(piece);
}

const peers = createPeers({ requester: owner.nodeId, key: owner, limits: { requestTimeoutMs: 60_000 } });
try {
  const candidates: Candidate[] = [];
  for (const count of counts) {
    const dataDir = join(folder, String(count));
    const node = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
    const first = await startNode(node, { dataDir, config: { storage: { minFreeBytes: 0 } } });
    await first.stop();
    const at = performance.now();
    await fill(dataDir, count);
    console.error(`${count} shards put in ${((performance.now() - at) / 1000).toFixed(0)} s`);
    const { rpc } = await startNode(node, { dataDir, config: { storage: { minFreeBytes: 0 } } });
    candidates.push({ count, target: rpc, served: noTimes() });
  }
  for (let turn = -20; turn < samples; turn++) {
    for (const candidate of candidates) {
      await sample(candidate, turn + 20);
      if (turn < 0) { for (const what of WHAT) candidate.served[what].length = 0; }
    }
  }
  console.log(`microseconds an operation on shards of ${SIZE_BYTES} bytes over signed RPC, medians of ${samples}`);
  for (const { count, served } of candidates) {
    const figures = WHAT.map((what) => {
      const here = median(served[what]) * 1000;
      const least = median(candidates[0]!.served[what]) * 1000;
      return `${what} ${here.toFixed(0)} (${(here / least).toFixed(2)} x)`;
    });
    console.log(`  ${String(count).padStart(9)} shards   ${figures.join("   ")}`);
  }
} finally {
  await peers.close();
  for (const cleanup of cleanups.reverse()) await cleanup();
  rmSync(folder, { recursive: true, force: true });
}
