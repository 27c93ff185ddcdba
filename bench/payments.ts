/**
 * What money costs. Vouchers signed and verified a second, against pure JavaScript. Tasks a second through REST, requester, wire and
 * provider, each pair of nodes two processes, all side by side and loaded in turns: for nothing and unsigned; for nothing and signed, since the
 * provider serves only whom it knows (`rpc.allow`); and paid by vouchers ahead of need, which are always signed. Three ratios: what signing costs, what
 * payments alone cost, and both. And the transactions that both paid nodes sent meanwhile, that which opens the channel included. The median of the
 * rounds' ratios counts, so that what else the machine does meets all of them.
 *
 *     node bench/payments.ts [--requests 2000] [--rounds 5] [--connections 16] [--only vouchers|tasks]
 *
 * Fails when one request fails, or when books differ at the end. Needs anvil (npm).
 */
import { existsSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { type NodeKey, nodeKeyOf, recoverDigestSigner, voucherDigest, wei } from "../src/core/mod.ts";
import { loadCurve } from "../src/payments/mod.ts";
import { type NodeProcess, scratch, startNode } from "../test/e2e/harness.ts";
import type { LocalChain } from "../src/payments/local-chain.ts";
import { channelOf, equalBooks, ETHER, startPaidSwarm } from "../test/e2e/paid-swarm.ts";

const { values: args } = parseArgs({
  options: {
    requests: { type: "string", default: "2000" },
    rounds: { type: "string", default: "5" },
    connections: { type: "string", default: "16" },
    only: { type: "string", default: "" },
  },
});
const rounds = Number(args.rounds);
const cleanups: (() => unknown)[] = [];
const scope = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Signs and verifies vouchers, in turns with pure JavaScript. */
async function measureVouchers(): Promise<void> {
  const curve = await loadCurve();
  const key = nodeKeyOf(new Uint8Array(32).fill(1));
  const at = { chainId: 31337, channels: key.nodeId };
  const channelId = `0x${"11".repeat(32)}` as const;
  const count = 200;
  let cumulative = 0n;
  const run = (key: NodeKey, verify: (digest: Uint8Array, signature: Uint8Array) => string) => {
    let signMs = 0;
    let verifyMs = 0;
    for (let i = 0; i < count; i++) {
      const startedAt = performance.now();
      const digest = voucherDigest(at, { channelId, cumulative: wei(++cumulative) });
      const signature = key.signDigest(digest);
      const signedAt = performance.now();
      if (verify(digest, signature) !== key.nodeId) throw new Error("A voucher was not recognised");
      signMs += signedAt - startedAt;
      verifyMs += performance.now() - signedAt;
    }
    return { sign: count / signMs * 1000, verify: count / verifyMs * 1000, both: count / (signMs + verifyMs) * 1000 };
  };
  const wasm: ReturnType<typeof run>[] = [];
  const pure: ReturnType<typeof run>[] = [];
  for (let round = 0; round <= rounds; round++) {
    const pair = [run(key.signingWith(curve.sign), curve.recover), run(key, recoverDigestSigner)] as const;
    if (round === 0) continue; // warms up
    wasm.push(pair[0]);
    pure.push(pair[1]);
  }
  const of = (runs: typeof wasm, what: keyof typeof wasm[number]) => median(runs.map((run) => run[what]));
  console.log(
    `vouchers  signed ${of(wasm, "sign").toFixed(0)}/s, verified ${
      of(wasm, "verify").toFixed(0)
    }/s; in pure JavaScript ${of(pure, "sign").toFixed(0)}/s and ${of(pure, "verify").toFixed(0)}/s: sign ${
      ratio(wasm, pure, "sign")
    } ×, verify ${ratio(wasm, pure, "verify")} ×, both ${ratio(wasm, pure, "both")} ×`,
  );
}

function ratio<T extends Record<K, number>, K extends keyof T>(
  ours: readonly T[],
  theirs: readonly T[],
  what: K,
): string {
  return median(ours.map((run, place) => run[what] / theirs[place]![what])).toFixed(2);
}

/** Posts a task over kept connections, one after the other on each, and returns how many a second. Throws at the first that fails. */
async function load({ rest, target, requests }: { rest: string; target: string; requests: number }): Promise<number> {
  const { hostname, port } = new URL(rest);
  const body = JSON.stringify({ target, id: "1", input: "hello" });
  const request = Buffer.from(
    `POST /task HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  let left = requests;
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: Number(args.connections) }, () =>
    new Promise<void>((resolve, reject) => {
      const socket: Socket = connect(Number(port), hostname);
      let text = "";
      const next = () => {
        if (left-- > 0) socket.write(request);
        else socket.end(resolve);
      };
      socket.setNoDelay(true).on("connect", next).on("error", reject).on("data", (piece) => {
        text += piece.toString("latin1");
        const end = text.indexOf("\r\n\r\n");
        const length = /content-length: (\d+)/i.exec(text)?.[1];
        if (end < 0 || (length !== undefined && text.length < end + 4 + Number(length))) return;
        if (!text.startsWith("HTTP/1.1 200") || !text.includes("world")) reject(new Error(text));
        text = "";
        next();
      });
    })));
  return requests / (performance.now() - startedAt) * 1000;
}

/** The default; the swarms of tests look at the chain far more often, so that they need not wait. */
const claimEveryMs = 60_000;

/** The processor time that processes have had, in milliseconds; 0 where the system does not tell. */
function processorMs(nodes: readonly NodeProcess[]): number {
  let ticks = 0;
  for (const { child } of nodes) {
    if (!existsSync(`/proc/${child.pid}/stat`)) return 0;
    const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * 10;
}

/** How many transactions nodes have sent. */
async function transactionsOf(chain: LocalChain, nodes: readonly NodeProcess[]): Promise<number> {
  const counts = await Promise.all(
    nodes.map(({ nodeId }) => chain.rpc<string>("eth_getTransactionCount", [nodeId, "latest"])),
  );
  return counts.reduce((sum, count) => sum + Number(count), 0);
}

async function measureTasks(): Promise<void> {
  const folder = scratch(scope);
  const oneWorker = ["--plugins-workers", "1"];
  const start = (name: string, config: Record<string, unknown> = {}) =>
    startNode(scope, { dataDir: join(folder, name), args: oneWorker, config });
  const free = { requester: await start("requester"), provider: await start("provider") };
  const requester = await start("known-requester");
  // The requester learns by its first call that it must sign.
  const signed = { requester, provider: await start("knowing-provider", { rpc: { allow: [requester.nodeId] } }) };
  const { chain, ...swarm } = await startPaidSwarm(scope, {
    prices: { cpuSecond: "1000000", minimum: "1000" },
    provider: { payments: { claimEveryMs }, plugins: { workers: 1 } },
    requester: { payments: { claimEveryMs, window: String(ETHER / 10n) }, plugins: { workers: 1 } },
  });
  const paid = { requester: swarm.requester, provider: swarm.providers[0]! };
  const pairs: readonly (readonly [name: string, pair: { requester: NodeProcess; provider: NodeProcess }])[] = [
    ["free, unsigned", free],
    ["free, signed", signed],
    ["paid, signed", paid],
  ];
  const sentBefore = await transactionsOf(chain, [paid.requester, paid.provider]);
  const results = pairs.map((): number[] => []);
  const spentMs = pairs.map(() => 0);
  for (let round = 0; round <= rounds; round++) {
    for (const [place, [, { requester, provider }]] of pairs.entries()) {
      const before = processorMs([requester, provider]);
      const perSecond = await load({ rest: requester.rest, target: provider.rpc, requests: Number(args.requests) });
      if (round === 0) continue; // warms up
      results[place]!.push(perSecond);
      spentMs[place]! += processorMs([requester, provider]) - before;
    }
  }
  const against = (place: number, base: number) =>
    median(results[place]!.map((value, round) => value / results[base]![round]!)).toFixed(2);
  for (const [place, [name]] of pairs.entries()) {
    const rate = median(results[place]!).toFixed(0);
    const micros = (spentMs[place]! / rounds / Number(args.requests) * 1000).toFixed(0);
    console.log(
      `tasks     ${name.padEnd(15)}${rate.padStart(6)}/s, ${
        against(place, 0)
      } of free and unsigned; ${micros} µs of processor each`,
    );
  }
  console.log(`          signed against unsigned ${against(1, 0)}, both free of charge: what signing costs`);
  console.log(`          paid against free ${against(2, 1)}, both signed: what payments cost`);
  console.log(`          paid against free and unsigned ${against(2, 0)}: what both cost`);
  const [earned] = await equalBooks(paid.requester, [paid.provider]);
  const { items } = await channelOf(paid.requester);
  const sent = await transactionsOf(chain, [paid.requester, paid.provider]) - sentBefore;
  console.log(
    `          ${items} tasks paid, ${earned!.charged} wei on both sides, by ${sent} transactions of both nodes: ${
      (sent / items * 1e5).toFixed(1)
    } for 100,000 tasks`,
  );
}

try {
  if (args.only === "" || args.only === "vouchers") await measureVouchers();
  if (args.only === "" || args.only === "tasks") await measureTasks();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
