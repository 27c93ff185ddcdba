import v8 from "node:v8";
import vm from "node:vm";
import { isDeno } from "../core/mod.ts";

/**
 * How far the heap may grow past what a collection left before the next one marks it all, in percent. V8 counts buffers in it and leaves a heap of
 * 40 MB almost no room: a node that moves shards then marks its whole heap for every few MiB, which takes most of its time.
 */
const GROWING_PERCENT = 300;

/** When starting is over and what it left is collected, in milliseconds after the node serves. */
const AFTER_MS = 2000;

/** Leaves the heap room for the buffers of shards and messages. Deno takes this on its command line only: see the tasks in deno.json. */
export function giveHeapRoom(): void {
  if (!isDeno) v8.setFlagsFromString(`--heap-growing-percent=${GROWING_PERCENT}`);
}

/**
 * Collects once, a little after the start, what starting has left, and gives its memory back: about 45 MiB of 170, most of it room in the young
 * generation that no idle node needs. It takes about a tenth of a second. Does nothing on Deno, which has no way to ask for it.
 */
export function collectStartupGarbage(signal: AbortSignal): void {
  if (isDeno) return;
  const timer = setTimeout(() => {
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as (options: { type: "major"; flavor: "last-resort" }) => void;
    v8.setFlagsFromString("--no-expose-gc");
    gc({ type: "major", flavor: "last-resort" });
  }, AFTER_MS);
  timer.unref();
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
}
