/**
 * What metering costs: each demo plugin's functions in a module as its compiler made it and in the metered one, in turns in this process
 * with the same host functions around both. Also how long a module takes to meter. Run: `node bench/metering.ts` or
 * `deno run -A bench/metering.ts`; a name as the argument runs that plugin only. Each figure is the best of its rounds, in
 * user time of the processor.
 *
 * Where a loop's code happens to lie in memory moves its time by up to a fifth on some processors, metered or not. So each pair is
 * timed in several layouts, that differ in the length of what stands before the code, and the median of the layouts is told.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { isDeno } from "../src/core/mod.ts";
import { type BarePlugin, instantiate } from "../test/plugins/wasm-meter/bare-plugin.ts";
import { moveCode } from "../test/plugins/wasm-meter/move-code.ts";
import { meter } from "../test/plugins/wasm-meter/run-module.ts";

const LAYOUTS = 9;
const WARM_UP_ROUNDS = 2;
/** Of a module of thousands of functions an engine compiles the last ones that matter, on other threads, after most of a second. */
const LARGE_WARM_UP_ROUNDS = 40;
const LARGE_BYTES = 1 << 20;
const ROUNDS = 3;
const ROUND_MS = 25;

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

interface Case {
  readonly fn: string;
  readonly input: Uint8Array;
  readonly warmUpRounds: number;
}

/** The least time of each of two, called in turns. */
function best(pair: readonly BarePlugin[], { fn, input, warmUpRounds }: Case): number[] {
  const least = pair.map(() => Infinity);
  for (let round = 0; round < warmUpRounds + ROUNDS; round++) {
    for (const [i, subject] of pair.entries()) {
      const took = time(subject, fn, input);
      if (round >= warmUpRounds) least[i] = Math.min(least[i]!, took);
    }
  }
  return least;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const text = (words: string): Uint8Array => new TextEncoder().encode(words);
const CASES: readonly (readonly [fn: string, label: string, input: Uint8Array])[] = [
  ["greet", "5 B", text("hello")],
  ["echo", "4 KiB", new Uint8Array(4096).fill(0x61)],
  ["wordcount", "64 KiB", text("some words to count\n".repeat(3277))],
  ["primes", "1000000", text("1000000")],
];

console.log(
  `${
    isDeno ? "Deno" : "Node"
  }: microseconds a call, metered and plain, and what metering costs in the median and the worst layout`,
);
for (const name of process.argv[2] === undefined ? ["demo", "demo-go", "demo-as"] : [process.argv[2]]) {
  const bytes = new Uint8Array(readFileSync(new URL(`../wasm-plugins/${name}/${name}.wasm`, import.meta.url)));
  const times = Array.from({ length: 5 }, () => {
    const startedAt = performance.now();
    meter(bytes);
    return performance.now() - startedAt;
  });
  console.log(
    `${name}: ${bytes.length} bytes become ${meter(bytes).length} in ${Math.min(...times).toFixed(0)} ms (first ${
      times[0]!.toFixed(0)
    })`,
  );
  const warmUpRounds = bytes.length > LARGE_BYTES ? LARGE_WARM_UP_ROUNDS : WARM_UP_ROUNDS;
  const layouts = Array.from({ length: LAYOUTS }, (_, stores) => moveCode(bytes, stores));
  const pairs = layouts.map((moved) => [instantiate(meter(moved)), instantiate(moved)] as const);
  for (const [fn, label, input] of CASES) {
    const took = pairs.map((pair) => best(pair, { fn, input, warmUpRounds }));
    const [with_, without] = [0, 1].map((i) => median(took.map((times) => times[i]!))) as [number, number];
    const worst = Math.max(...took.map(([metered]) => metered! / without));
    pairs[0]![0].call(fn, input);
    const { spent } = pairs[0]![0].meter!;
    console.log(
      `  ${fn.padEnd(9)} ${label.padEnd(8)} ${with_.toFixed(1).padStart(9)} ${without.toFixed(1).padStart(9)}  ×${
        (with_ / without).toFixed(2)
      } (×${worst.toFixed(2)})  ${spent} instructions, ${(spent / with_ / 1000).toFixed(1)} a ns`,
    );
  }
}
