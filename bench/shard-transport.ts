/**
 * Which transport moves shards fastest: PutShard over our RPC (gRPC in HTTP/2, signed), a plain POST over HTTP/2 and one over HTTP/1.1, of the same
 * bytes to the same process on this machine; into nothing, and into a shard provider on LevelDB that hashes, flushes and signs a receipt.
 *
 *     node bench/shard-transport.ts [--mib 256] [--rounds 5] [--only nothing|provider] [--folder DIR]
 *
 * Shards of 16 MiB, four at a time. The rounds take turns, so that what else the machine does meets all; the median counts. The CPU time of both
 * processes is told beside the rate, since it does not depend on what else the machine does.
 */
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, createServer, type IncomingMessage, request } from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Duplex } from "node:stream";
import { parseArgs } from "node:util";
import { type CallContext, newSecretKey, nodeKeyOf, noMetrics, receiptText } from "../src/core/mod.ts";
import { type PutShardOrder, type ShardService, silentLog, systemClock } from "../src/core/mod.ts";
import { freeLedger } from "../src/payments/mod.ts";
import { createShardProvider } from "../src/provider/mod.ts";
import { createPeers } from "../src/rpc/client/mod.ts";
import { Authenticator, createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../src/rpc/mod.ts";
import { openShardStore } from "../src/storage/mod.ts";

const { values: args } = parseArgs({
  options: {
    mib: { type: "string", default: "256" },
    rounds: { type: "string", default: "5" },
    folder: { type: "string", default: tmpdir() },
    only: { type: "string", default: "" },
    serve: { type: "string" },
  },
});
const MIB = 2 ** 20;
const SHARD_BYTES = 16 * MIB;
const CHUNK_BYTES = 256 << 10;
const PARALLEL = 4;
const HOUR = 3_600_000;
const LIMITS = { maxShardBytes: 2 ** 40, maxLeaseMs: HOUR, graceMs: 0, uploadTtlMs: HOUR };

/** Serves shards over the three transports, and tells their ports: where `path` is empty what comes goes nowhere. */
async function serve(path: string): Promise<void> {
  const key = nodeKeyOf(newSecretKey());
  const shards = path === "" ? nowhere(key) : createShardProvider({
    store: (await openShardStore(path, { minFreeBytes: 0 })).shards,
    key,
    ledger: freeLedger,
    limits: LIMITS,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  });
  const rpc = createRpcServer({
    tasks: {} as never,
    node: {
      describe: () => ({
        nodeId: key.nodeId,
        name: "bench",
        version: "1",
        plugins: [],
        issuedAt: Date.now(),
        limits: { inputBytes: 1, outputBytes: 1, memoryBytes: 1, timeoutMs: 1 },
      }),
      sign: (message) => key.sign(message),
    },
    storage: shards,
    authenticator: new Authenticator({ self: key.nodeId, chainId: 0, clock: systemClock }),
    health: new HealthState(),
    log: silentLog,
    metrics: noMetrics,
    clock: systemClock,
    limits: DEFAULT_RPC_LIMITS,
  });
  const take = async (id: string, source: AsyncIterable<Uint8Array>): Promise<string> => {
    const ctx = { requester: key.nodeId, signal: new AbortController().signal, requestId: "r" };
    return JSON.stringify(await shards.put(source, { id, maxBytes: SHARD_BYTES, leaseMs: HOUR }, ctx));
  };
  const one = createServer((call, answer) => void take(call.url!.slice(1), call).then((text) => answer.end(text)));
  // The windows are those of the node's own listener.
  const two = http2.createServer({ settings: { initialWindowSize: 4 * MIB } });
  two.on("session", (session) => session.setLocalWindowSize(16 * MIB));
  two.on("stream", (stream, headers) => {
    void take(headers[":path"]!.slice(1), stream).then((text) => (stream.respond(), stream.end(text)));
  });
  const port = (server: typeof one | typeof two) =>
    new Promise<number>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
    );
  const ports = [(await rpc.listen({ host: "127.0.0.1", port: 0 })).port, await port(two), await port(one)];
  process.send!(ports);
  process.on("message", () => process.send!(process.cpuUsage()));
}

/** Takes shards and keeps nothing: what is left is the transport. */
function nowhere(key: ReturnType<typeof nodeKeyOf>): ShardService {
  const put = async (source: AsyncIterable<Uint8Array>, { id }: PutShardOrder, { requester: owner }: CallContext) => {
    let sizeBytes = 0;
    for await (const bytes of source) sizeBytes += bytes.length;
    const record = { id, owner, sizeBytes, root: "ab".repeat(32), storedAt: 1, expiresAt: 2, graceMs: 0 };
    return { provider: key.nodeId, record, signature: key.sign(receiptText(key.nodeId, record)) };
  };
  return { put } as Partial<ShardService> as ShardService;
}

/** Not all of its buffer, so that a put does not give its memory back. */
const chunk = randomBytes(2 * CHUNK_BYTES).subarray(CHUNK_BYTES);

async function* source(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < SHARD_BYTES; at += CHUNK_BYTES) yield chunk;
}

/** Sends a shard as fast as the connection takes it, and waits for the whole answer. */
async function send(call: NodeJS.WritableStream, answer: Promise<IncomingMessage | Duplex>): Promise<void> {
  for await (const bytes of source()) {
    if (!call.write(bytes)) await new Promise((resolve) => call.once("drain", resolve));
  }
  call.end();
  let text = "";
  for await (const piece of await answer) text += piece;
  if ((JSON.parse(text) as { record: { sizeBytes: number } }).record.sizeBytes !== SHARD_BYTES) throw new Error(text);
}

async function measure(what: string, path: string): Promise<void> {
  const child = fork(process.argv[1]!, [`--serve=${path}`]);
  const [rpc, two, one] = await new Promise<number[]>((resolve) => child.once("message", resolve as () => void));
  const key = nodeKeyOf(newSecretKey());
  const peers = createPeers({ requester: key.nodeId, key });
  const session = http2.connect(`http://127.0.0.1:${two}`);
  const agent = new Agent({ keepAlive: true, maxSockets: PARALLEL });
  const ctx = { requester: key.nodeId, signal: new AbortController().signal, requestId: "r" };
  const shards = peers.dialShards(`127.0.0.1:${rpc}`);
  const ways: Record<string, (id: string) => Promise<unknown>> = {
    "PutShard, our RPC": (id) => shards.put(source(), { id, maxBytes: SHARD_BYTES, leaseMs: HOUR }, ctx),
    "POST, HTTP/2": (id) => {
      const stream = session.request({ ":method": "POST", ":path": `/${id}` });
      return send(stream, Promise.resolve(stream));
    },
    "POST, HTTP/1.1": (id) => {
      const call = request(`http://127.0.0.1:${one}/${id}`, { method: "POST", agent });
      return send(call, new Promise((resolve, reject) => call.on("response", resolve).on("error", reject)));
    },
  };
  /** CPU time of both processes so far, in milliseconds. */
  const cpuMs = async (): Promise<number> => {
    child.send("cpu");
    const theirs = await new Promise<NodeJS.CpuUsage>((resolve) => child.once("message", resolve as () => void));
    const ours = process.cpuUsage();
    return (ours.user + ours.system + theirs.user + theirs.system) / 1000;
  };
  const rates = new Map<string, number[]>(Object.keys(ways).map((way) => [way, []]));
  const costs = new Map<string, number[]>(Object.keys(ways).map((way) => [way, []]));
  let next = 0;
  for (let round = -1; round < Number(args.rounds); round++) {
    for (const [way, put] of Object.entries(ways)) {
      const count = Math.ceil(Number(args.mib) * MIB / SHARD_BYTES);
      const last = next + count;
      const [startedAt, cpuBefore] = [performance.now(), await cpuMs()];
      await Promise.all(Array.from({ length: PARALLEL }, async () => {
        while (next < last) await put((next++).toString(16).padStart(32, "0"));
      }));
      // The first round warms everything up.
      if (round < 0) continue;
      const mib = count * SHARD_BYTES / MIB;
      rates.get(way)!.push(mib / ((performance.now() - startedAt) / 1000));
      costs.get(way)!.push((await cpuMs() - cpuBefore) / mib);
    }
  }
  for (const [way, all] of rates) {
    const of = (some: readonly number[]) => some.toSorted((a, b) => a - b);
    const sorted = of(all);
    const [least, median, most] = [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!].map(Math.round);
    const cost = of(costs.get(way)!)[sorted.length >> 1]!.toFixed(1);
    console.log(
      `${what.padEnd(22)} ${way.padEnd(18)} ${
        String(median).padStart(5)
      } MiB/s (${least} to ${most}), ${cost} ms of CPU a MiB`,
    );
  }
  session.close();
  agent.destroy();
  await peers.close();
  child.kill();
}

if (args.serve !== undefined) {
  await serve(args.serve);
} else {
  const folder = mkdtempSync(join(args.folder, "velas-bench-"));
  try {
    if (args.only !== "provider") await measure("into nothing", "");
    if (args.only !== "nothing") await measure("into a shard provider", join(folder, "shards"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
