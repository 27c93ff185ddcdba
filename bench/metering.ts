/**
 * What metering costs: each demo plugin's functions in a module as its compiler made it and in the metered one, in turns in this process
 * with the same host functions around both. Also how long a module takes to meter. Run: `node bench/metering.ts` or
 * `deno run -A bench/metering.ts`; a name as the argument runs that plugin only. Each figure is the best of its rounds, in
 * user time of the processor.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { isDeno } from "../src/core/mod.ts";
import { type BarePlugin, instantiate } from "../test/plugins/wasm-meter/bare-plugin.ts";
import { meter } from "../test/plugins/wasm-meter/run-module.ts";

const ROUNDS = 12;
const ROUND_MS = 60;

/** Microseconds that this process has used so far: other load on the machine counts for less than with a clock on the wall. */
function cpuMicros(): number {
  return process.cpuUsage().user;
}

/** Microseconds of one call, over a round. */
function time({ call }: BarePlugin, fn: string, input: Uint8Array): number {
  const startedAt = cpuMicros();
  let calls = 0;
  do {
    call(fn, input);
    calls++;
  } while (cpuMicros() - startedAt < ROUND_MS * 1000);
  return (cpuMicros() - startedAt) / calls;
}

const text = (words: string): Uint8Array => new TextEncoder().encode(words);
const CASES: readonly (readonly [fn: string, label: string, input: Uint8Array])[] = [
  ["greet", "5 B", text("hello")],
  ["echo", "4 KiB", new Uint8Array(4096).fill(0x61)],
  ["wordcount", "64 KiB", text("some words to count\n".repeat(3277))],
  ["primes", "1000000", text("1000000")],
];

console.log(`${isDeno ? "Deno" : "Node"}: microseconds a call, metered and plain`);
for (const name of process.argv[2] === undefined ? ["demo", "demo-go", "demo-as"] : [process.argv[2]]) {
  const bytes = new Uint8Array(readFileSync(new URL(`../wasm-plugins/${name}/${name}.wasm`, import.meta.url)));
  const times = Array.from({ length: 5 }, () => {
    const startedAt = performance.now();
    meter(bytes);
    return performance.now() - startedAt;
  });
  const metered = meter(bytes);
  console.log(
    `${name}: ${bytes.length} bytes become ${metered.length} in ${Math.min(...times).toFixed(0)} ms (first ${
      times[0]!.toFixed(0)
    })`,
  );
  const pair = [instantiate(metered), instantiate(bytes)] as const;
  for (const [fn, label, input] of CASES) {
    const best = [Infinity, Infinity];
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [i, subject] of pair.entries()) {
        const took = time(subject, fn, input);
        if (round > 1) best[i] = Math.min(best[i]!, took);
      }
    }
    pair[0].call(fn, input);
    const { spent } = pair[0].meter!;
    const [with_, without] = best as [number, number];
    console.log(
      `  ${fn.padEnd(9)} ${label.padEnd(8)} ${with_.toFixed(1).padStart(9)} ${without.toFixed(1).padStart(9)}  ×${
        (with_ / without).toFixed(2)
      }  ${spent} instructions, ${(spent / with_ / 1000).toFixed(1)} a ns`,
    );
  }
}
