/**
 * What other requesters' calls cost a small one: its latency on two workers alone, beside one requester that keeps 18 long calls in the
 * pool, beside nine that keep two each, and beside nine that keep two each of a plugin of their own (ten modules in all), whose calls
 * are of different lengths; of those it also prints how they shared the workers' time. Alone and crowded rounds take turns, so that
 * other load on the machine counts for both. Prints p50 and p99 of all rounds and their ratio to alone, the same of the first round, and
 * p99 of each: in the first, nothing is known of the hogs and the engine still compiles their code, which needs a core, too. The first
 * seconds of a process, in which it compiles the node's own, go before and are told by themselves. The hogs have a core less than they
 * could, and this process, the small calls' worker and one hog want one each: on a machine of two cores or a busy one the ratio also
 * shows how its scheduler shares them.
 * Run: `node bench/fairness.ts` or `deno run -A bench/fairness.ts`.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeno, noMetrics, silentLog } from "../src/core/mod.ts";
import type { PluginOutcome, RequesterId } from "../src/core/mod.ts";
import { openPluginHost, packPlugin } from "../src/plugins/mod.ts";

const WORKERS = 2;
const ROUNDS = 12;
/** Rounds beside one hog that go before all others: what a node makes that has just started, whose own code the engine compiles, too. */
const FIRST_ROUNDS = 4;
const CALLS = 400;
const IN_POOL = 18;
const LONG_INPUT = "10000000"; // primes in Go: 44 ms on a fast processor
const LESS_LONG_INPUT = "8000000"; // long too: the pool takes what needs 10 ms for long
const PLUGINS = 10;
const SHARES_MS = 8_000;

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
const encoder = new TextEncoder();
const limits = { timeoutMs: 60_000, memoryBytes: 256 << 20, outputBytes: 1 << 20 };
const requester = (number: number): RequesterId => `0x${number.toString(16).padStart(40, "0")}`;
const never = new AbortController().signal;

// Ten modules with the same code, each with a name and so a hash of its own.
const wasm = new Uint8Array(readFileSync(new URL("../wasm-plugins/demo-go/demo-go.wasm", import.meta.url)));
const manifest = JSON.parse(readFileSync(new URL("../wasm-plugins/demo-go/manifest.json", import.meta.url), "utf8"));
for (let i = 0; i < PLUGINS; i++) {
  const named = encoder.encode(JSON.stringify({ ...manifest, name: nameOf(i) }));
  await host.installBytes(packPlugin(wasm, named));
}

function nameOf(plugin: number): string {
  return `hog-${plugin}`;
}

interface Call {
  readonly fn: string;
  readonly input: string;
  readonly by: number;
  readonly plugin: number;
}

function call({ fn, input, by, plugin }: Call): Promise<PluginOutcome> {
  return host.execute({
    plugin: nameOf(plugin),
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
    await call({ fn: "greet", input: "hello", by: 1, plugin: 0 });
    times.push((performance.now() - startedAt) * 1000);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return times;
}

interface Hogs {
  readonly requesters: number;
  /** Whether each calls a plugin of its own, and every other one somewhat shorter calls. */
  readonly ownPlugins: boolean;
}

/** Keeps long calls in the pool until it is stopped; returns the milliseconds that each requester had. Canceling them would cost workers. */
function hogs({ requesters, ownPlugins }: Hogs): () => Promise<number[]> {
  let stopped = false;
  const had = new Array<number>(requesters).fill(0);
  const all = Array.from({ length: IN_POOL }, async (_, i) => {
    const who = i % requesters;
    const input = ownPlugins && who % 2 === 1 ? LESS_LONG_INPUT : LONG_INPUT;
    const plugin = ownPlugins ? 1 + who % (PLUGINS - 1) : 0;
    while (!stopped) {
      const { usage } = await call({ fn: "primes", input, by: 2 + who, plugin });
      // What still runs when it is stopped is as many calls of each, however long they are.
      if (!stopped) had[who] = had[who]! + usage.wallMicros / 1000;
    }
  });
  return async () => {
    stopped = true;
    await Promise.all(all);
    return had;
  };
}

const quantile = (times: number[], q: number): number => times.sort((a, b) => a - b)[Math.floor(times.length * q)]!;

function compared(alone: number[], crowded: number[], q: number): string {
  const [a, b] = [quantile(alone, q), quantile(crowded, q)];
  return `alone ${a.toFixed(0)}, beside ${b.toFixed(0)} (ratio ${(b / a).toFixed(2)})`;
}

console.log(`${isDeno ? "Deno" : "Node"}: latency of a 5-byte call in microseconds, ${WORKERS} workers`);
const ONE: Hogs = { requesters: 1, ownPlugins: false };
const KINDS: readonly (readonly [label: string, hogs: Hogs])[] = [
  ["1 hog", ONE],
  ["9 hogs", { requesters: 9, ownPlugins: false }],
  ["9 hogs with plugins of their own", { requesters: PLUGINS - 1, ownPlugins: true }],
];

interface Rounds {
  readonly alone: number[][];
  readonly crowded: number[][];
}

async function run(kind: Hogs, rounds: number): Promise<Rounds> {
  const alone: number[][] = [];
  const crowded: number[][] = [];
  for (let round = 0; round < rounds; round++) {
    alone.push(await small());
    const stop = hogs(kind);
    await new Promise((resolve) => setTimeout(resolve, 500)); // until they are known to be long
    crowded.push(await small());
    await stop();
  }
  return { alone, crowded };
}

function print(label: string, { alone, crowded }: Rounds): void {
  for (const q of [0.5, 0.99]) {
    console.log(`${label}, p${q * 100}: ${compared(alone.flat(), crowded.flat(), q)}`);
    console.log(`  of the first round: ${compared(alone[0]!, crowded[0]!, q)}`);
  }
  const each = alone.map((times, i) =>
    `${quantile(times, 0.99).toFixed(0)} and ${quantile(crowded[i]!, 0.99).toFixed(0)}`
  );
  console.log(`  p99 of each round: ${each.join(", ")}`);
}

await small();
print("first seconds of the process, 1 hog", await run(ONE, FIRST_ROUNDS));
for (const [label, kind] of KINDS) {
  await small();
  print(label, await run(kind, ROUNDS));
  if (kind.requesters === 1) continue;
  const stop = hogs(kind);
  await new Promise((resolve) => setTimeout(resolve, SHARES_MS));
  const had = await stop();
  const total = had.reduce((sum, ms) => sum + ms, 0);
  console.log(
    `  shares of ${(total / 1000).toFixed(1)} s: ${
      had.map((ms) => `${(100 * ms / total).toFixed(1)} %`).join(", ")
    }; the most is ${(Math.max(...had) / Math.min(...had)).toFixed(2)} of the least`,
  );
}
await host.close();
rmSync(folder, { recursive: true });
