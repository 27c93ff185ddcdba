/**
 * What other requesters' calls cost a small one: its latency on two workers alone, beside one requester that keeps 18 long calls in the
 * pool, and beside nine that keep two each. Alone and crowded rounds take turns, so that other load on the machine counts for both. Prints p50 and
 * p99 and their ratio to alone. The hogs have a core less than they could, and this process, the small calls' worker and one hog
 * want one each: on a machine of two cores or a busy one the ratio also shows how its scheduler shares them.
 * Run: `node bench/fairness.ts` or `deno run -A bench/fairness.ts`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeno, noMetrics, silentLog } from "../src/core/mod.ts";
import type { RequesterId } from "../src/core/mod.ts";
import { openPluginHost } from "../src/plugins/mod.ts";

const WORKERS = 2;
const ROUNDS = 4;
const CALLS = 200;
const IN_POOL = 18;
const LONG_INPUT = "10000000"; // primes: some 60 ms

const folder = mkdtempSync(join(tmpdir(), "bench-fairness-"));
const host = await openPluginHost({
  folder,
  defaultPlugin: "demo",
  workers: WORKERS,
  maxModuleBytes: 1 << 25,
  maxInputBytes: 1 << 25,
  allowUrlInstall: false,
  external: [],
  log: silentLog,
  metrics: noMetrics,
});
const limits = { timeoutMs: 60_000, memoryBytes: 256 << 20, outputBytes: 1 << 20 };
const requester = (number: number): RequesterId => `0x${number.toString(16).padStart(40, "0")}`;
const never = new AbortController().signal;
const encoder = new TextEncoder();

function call(fn: string, input: string, by: number): Promise<unknown> {
  return host.execute({
    plugin: "demo",
    function: fn,
    input: encoder.encode(input),
    contentType: "",
    limits,
    requester: requester(by),
    signal: never,
  });
}

/** Latencies of small calls in microseconds, one every two milliseconds. */
async function small(): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < CALLS; i++) {
    const startedAt = performance.now();
    await call("greet", "hello", 1);
    times.push((performance.now() - startedAt) * 1000);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return times;
}

/** Keeps long calls of so many requesters in the pool until it is stopped; returns how many ended. Canceling them would cost workers. */
function hogs(count: number): () => Promise<number> {
  let stopped = false;
  let ended = 0;
  const all = Array.from({ length: IN_POOL }, async (_, i) => {
    while (!stopped) {
      await call("primes", LONG_INPUT, 2 + i % count);
      ended++;
    }
  });
  return async () => {
    stopped = true;
    await Promise.all(all);
    return ended;
  };
}

const quantile = (times: number[], q: number): number => times.sort((a, b) => a - b)[Math.floor(times.length * q)]!;

console.log(`${isDeno ? "Deno" : "Node"}: latency of a 5-byte call in microseconds, ${WORKERS} workers`);
for (const count of [1, 9]) {
  const alone: number[] = [];
  const crowded: number[] = [];
  let ended = 0;
  await small();
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(...await small());
    const stop = hogs(count);
    await new Promise((resolve) => setTimeout(resolve, 500)); // until they are known to be long
    crowded.push(...await small());
    ended += await stop();
  }
  for (const q of [0.5, 0.99]) {
    const [a, b] = [quantile(alone, q), quantile(crowded, q)];
    console.log(
      `${count} hog${count > 1 ? "s" : ""} p${q * 100}: alone ${a.toFixed(0)}, beside ${b.toFixed(0)} (ratio ${
        (b / a).toFixed(2)
      })`,
    );
  }
  console.log(`  ${ended} long calls ended meanwhile`);
}
await host.close();
rmSync(folder, { recursive: true });
