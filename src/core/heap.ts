import { subscribe, unsubscribe } from "node:diagnostics_channel";
import process from "node:process";
import v8 from "node:v8";
import vm from "node:vm";
import { isDeno } from "./runtime.ts";

/**
 * How far the heap may grow past what a collection left before the next one marks it all, in percent. V8 counts buffers in it and leaves a heap of
 * 40 MB almost no room: a node that moves shards then marks its whole heap for every few MiB, which takes most of its time.
 */
const GROWING_PERCENT = 300;

/** When starting is over and what it left is collected, in milliseconds after the node serves. */
const AFTER_MS = 2000;

/**
 * How large the young generation of a worker may become, in MiB. A call leaves a few hundred bytes in that of a plugin worker, and next to nothing of
 * it outlives a collection; with the 8 MiB of the main thread a worker comes to hold 16, of which it is the thirty-thousandth call that uses the last.
 * Front threads serve as many calls with it as with 8, or more.
 */
const WORKER_SEMI_SPACE_MIB = 1;

/** How many connections may come before what closed ones left is collected. */
const CONNECTIONS = 300;
/** How many come between two looks at the old generation. */
const LOOK = 25;
/**
 * What part of what the last collection left the old generation must have grown by for another to be worth it. Each then comes at the same size, from
 * the first one on: what V8 once took for a larger one it would not give back before the node rests.
 */
const GROWN_PART = 1 / 9;
/** The least that it must have grown by, in bytes. */
const GROWN_BYTES = 3 << 20; // 3 MiB
/**
 * The shortest time between two such collections, in times of what the last one took, or the one before it if that was faster. In processor time, so
 * that they come at the same size on a busy machine.
 */
const APART = 5;

/** How long after the last of so many connections all garbage is collected and its memory given back, in milliseconds. */
const QUIET_MS = 3000;

/** After how many large requests and answers on Deno what their streams left is collected. */
const LARGE_STREAMS = 1024;

/** Where Node and Deno tell of each connection that a server of this process accepts. */
const ACCEPTED = "net.server.socket";

type Collect = (options: { type: "major"; flavor: "regular" | "last-resort" }) => void;
let collect: Collect | undefined;

/** V8's own way to collect on demand. */
function collector(): Collect {
  if (collect === undefined) {
    v8.setFlagsFromString("--expose-gc");
    collect = vm.runInNewContext("gc") as Collect;
    v8.setFlagsFromString("--no-expose-gc");
  }
  return collect;
}

/**
 * Leaves the heap room for the buffers of shards and messages, and workers that start from now on a small young generation. Deno takes the first
 * on its command line only, for all threads alike: see the tasks in deno.json.
 */
export function giveHeapRoom(): void {
  if (isDeno) return;
  v8.setFlagsFromString(`--heap-growing-percent=${GROWING_PERCENT}`);
  // The flag outweighs the resourceLimits of a worker; the main thread has read it already.
  v8.setFlagsFromString(`--max-semi-space-size=${WORKER_SEMI_SPACE_MIB}`);
}

/**
 * Collects once, a little after the start, what starting has left, and gives its memory back: about 45 MiB of 170, most of it room in the young
 * generation that no idle node needs. It takes about a tenth of a second. Does nothing on Deno: there a node that then
 * has work to do was larger for it.
 */
export function collectStartupGarbage(signal: AbortSignal): void {
  if (isDeno) return;
  const timer = setTimeout(() => {
    collector()({ type: "major", flavor: "last-resort" });
  }, AFTER_MS);
  timer.unref();
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
}

/** What {@link ConnectionGarbage} works with. */
export interface ConnectionGarbageOptions {
  /** Called once, before the first collection. */
  readonly prepare: () => void;
  /** Collects all garbage. */
  readonly collect: () => void;
  /** How large the old generation is, in bytes. */
  readonly oldBytes: () => number;
  /** A clock of the work that was done, which never goes back, in milliseconds. */
  readonly now: () => number;
}

/**
 * Collects what many short connections leave behind. What is closed outlives collections of the young generation and is only found when the old one
 * is collected: a writable of Node has a function that V8 allocates old, and that holds the whole stream. With the room that {@link giveHeapRoom} leaves,
 * that is after some 15,000 connections and 150 MiB.
 */
export class ConnectionGarbage {
  readonly #options: ConnectionGarbageOptions;
  #connections = 0;
  #notBefore = -Infinity;
  #tookMs = Infinity;
  #leftBytes = Infinity;
  #isPrepared = false;

  constructor(options: ConnectionGarbageOptions) {
    this.#options = options;
  }

  /** A connection came. */
  accepted(): void {
    if (++this.#connections % LOOK !== 1) return;
    const { prepare, collect, oldBytes, now } = this.#options;
    const bytes = oldBytes();
    // It was collected meanwhile without being asked to, or nothing is known of it yet.
    this.#leftBytes = Math.min(this.#leftBytes, bytes);
    if (this.#connections < CONNECTIONS) return;
    if (bytes - this.#leftBytes < Math.max(GROWN_BYTES, this.#leftBytes * GROWN_PART)) return;
    if (now() < this.#notBefore) return;
    if (!this.#isPrepared) {
      this.#isPrepared = true;
      prepare();
    }
    const startedAt = now();
    collect();
    const endedAt = now();
    const tookMs = endedAt - startedAt;
    this.#notBefore = endedAt + APART * Math.min(tookMs, this.#tookMs);
    this.#tookMs = tookMs;
    this.#connections = 0;
    this.#leftBytes = oldBytes();
  }
}

/** What {@link QuietTime} works with. */
export interface QuietTimeOptions {
  /** Gives back what the process does not need. */
  readonly giveBack: () => void;
  /** A clock that never goes back, in milliseconds. */
  readonly now: () => number;
  readonly setTimer: (work: () => void, afterMs: number) => void;
}

/** Has memory given back when many connections came and then none for a while. */
export class QuietTime {
  readonly #options: QuietTimeOptions;
  #connections = 0;
  #lastAt = 0;

  constructor(options: QuietTimeOptions) {
    this.#options = options;
  }

  /** A connection came. */
  accepted(): void {
    const { now } = this.#options;
    this.#lastAt = now();
    if (++this.#connections === CONNECTIONS) this.#wait(QUIET_MS);
  }

  #wait(ms: number): void {
    const { setTimer, now, giveBack } = this.#options;
    setTimer(() => {
      const left = this.#lastAt + QUIET_MS - now();
      if (left > 0) return this.#wait(left);
      this.#connections = 0;
      giveBack();
    }, ms);
  }
}

let largeStreams = 0;

/**
 * A stream with a large request or answer is over. On Deno what 1,024 of them left is collected then: each leaves some KB in the old generation, which
 * may grow to four times of what it was before V8 sees a need.
 */
export function largeStreamOver(): void {
  if (!isDeno || ++largeStreams % LARGE_STREAMS !== 0) return;
  collector()({ type: "major", flavor: "regular" });
}

/** What is allocated to use all of the young generation, in bytes: both halves of 8 MiB, and as much again for what V8 collects before they are full. */
const YOUNG_BYTES = 32 << 20; // 32 MiB

/** Where garbage is kept for a moment, so that it is made at all. */
const litter: unknown[] = [];

/**
 * Uses all of the young generation once. V8 collects it in a task of its own when four fifths of a half are used; the rest is touched when a burst
 * comes before the task, so by and by, over thousands of connections. It takes some 20 ms.
 */
function useYoung(): void {
  for (let bytes = 0; bytes < YOUNG_BYTES; bytes += 1024) litter[0] = new Array(126).fill(0);
  litter.length = 0;
}

/** The processor time that this thread has taken, in milliseconds. */
function processorMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Has {@link ConnectionGarbage} collected, and on Node memory given back in {@link QuietTime}, until the signal aborts. */
export function collectConnectionGarbage(signal: AbortSignal): void {
  const garbage = new ConnectionGarbage({
    prepare: useYoung,
    collect: () => collector()({ type: "major", flavor: "regular" }),
    oldBytes: () => v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space")!.space_used_size,
    now: processorMs,
  });
  let timer: NodeJS.Timeout | undefined;
  const quiet = new QuietTime({
    giveBack: () => collector()({ type: "major", flavor: "last-resort" }),
    now: () => performance.now(),
    setTimer: (work, afterMs) => {
      timer = setTimeout(work, afterMs);
      timer.unref();
    },
  });
  const onAccepted = () => {
    garbage.accepted();
    if (!isDeno) quiet.accepted();
  };
  subscribe(ACCEPTED, onAccepted);
  signal.addEventListener("abort", () => {
    unsubscribe(ACCEPTED, onAccepted);
    clearTimeout(timer);
  }, { once: true });
}
