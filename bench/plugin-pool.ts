/**
 * Calls per second of the plugin pool (2 workers, 16 calls at once) beside the Extism SDK in this process (one call after another, as it
 * must be) and beside the SDK's own worker mode (2 plugins). The SDK runs the same module as it is; the pool bounds and prepares it.
 * Run: `node bench/plugin-pool.ts` or `deno run -A bench/plugin-pool.ts`. The candidates take turns and each keeps its
 * best round, so that other load on the machine counts little.
 */
import createPlugin from "@extism/extism";
import type { Plugin } from "@extism/extism";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ANONYMOUS, isDeno, noMetrics, silentLog } from "../src/core/mod.ts";
import { openPluginHost } from "../src/plugins/mod.ts";
import { asked } from "./asked.ts";

const ROUNDS = 12;
const CONCURRENCY = 16;
const WORKERS = 2;

/** One way to call the demo plugin. */
interface Candidate {
  readonly call: (input: Uint8Array, caller: number) => Promise<unknown>;
  readonly callers: number;
  readonly callsPerRound: number;
}

async function round({ call, callers, callsPerRound }: Candidate, input: Uint8Array): Promise<number> {
  let left = callsPerRound;
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: callers }, async (_, caller) => {
    while (left-- > 0) await call(input, caller);
  }));
  return callsPerRound / (performance.now() - startedAt) * 1000;
}

async function compare(candidates: readonly Candidate[], input: Uint8Array): Promise<number[]> {
  const rates = candidates.map(() => 0);
  for (let i = 0; i <= ROUNDS; i++) {
    for (const [place, candidate] of candidates.entries()) {
      const rate = await round(candidate, input);
      if (i > 0) rates[place] = Math.max(rates[place]!, rate); // the first round warms up
    }
  }
  return rates;
}

const bytes = new Uint8Array(readFileSync(new URL("../wasm-plugins/demo/demo.wasm", import.meta.url)));
const sdk = (runInWorker: boolean): Promise<Plugin> => createPlugin({ wasm: [{ data: bytes }] }, { runInWorker });

const folder = mkdtempSync(join(tmpdir(), "bench-plugin-pool-"));
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
const inProcess = await sdk(false);
// On Deno the SDK's worker of its npm package does not start: it imports "wasi" without "node:".
const inWorkers = isDeno ? [] : [await sdk(true), await sdk(true)];
const { signal } = new AbortController();
const limits = { timeoutMs: 10_000, memoryBytes: 64 << 20, outputBytes: 1 << 24 };

console.log(isDeno ? "Deno" : "Node");
for (const [fn, size, scale] of [["greet", 5, 1], ["echo", 4096, 0.1], ["echo", 65_536, 0.01]] as const) {
  const input = new Uint8Array(size).fill(0x61);
  const candidates: Candidate[] = [
    {
      call: (bytes) =>
        host.execute({
          plugin: "demo",
          function: fn,
          input: bytes,
          contentType: "",
          limits,
          requester: ANONYMOUS,
          signal,
        }),
      callers: CONCURRENCY,
      callsPerRound: Math.ceil(20_000 * scale),
    },
    { call: (bytes) => inProcess.call(fn, bytes), callers: 1, callsPerRound: Math.ceil(20_000 * scale) },
    {
      call: (bytes, caller) => inWorkers[caller]!.call(fn, bytes),
      callers: inWorkers.length,
      callsPerRound: Math.ceil(600 * scale),
    },
  ];
  const [pool = 0, single = 0, workers] = await compare(candidates.filter(({ callers }) => callers > 0), input);
  const rate = (value: number): string => `${Math.round(value).toLocaleString("en")}/s`;
  console.log(`${fn}, ${size} bytes: pool ${rate(pool)}`);
  console.log(`  of Extism in process, ${rate(single)}: ${asked({ atLeast: 0.5 }, pool / single)}`);
  if (workers !== undefined) {
    console.log(`  of Extism's workers, ${rate(workers)}: ${asked({ atLeast: 15 }, pool / workers, 1)}`);
  }
}
await Promise.all([host.close(), inProcess.close(), ...inWorkers.map((plugin) => plugin.close())]);
rmSync(folder, { recursive: true });
