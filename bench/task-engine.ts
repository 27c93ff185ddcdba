/**
 * What the task engine adds to a plugin call: tasks a second through the provider on a host that does nothing, as a ratio to
 * calling that host directly, and the same for stored tasks with and without fsync. Run: `node bench/task-engine.ts`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  ANONYMOUS,
  type CallContext,
  isDeno,
  noMetrics,
  type PluginCall,
  type PluginOutcome,
  silentLog,
  systemClock,
  type TaskSpec,
} from "../src/core/mod.ts";
import { freeLedger } from "../src/payments/mod.ts";
import { createTaskProvider, type PluginHost } from "../src/provider/mod.ts";
import { openMemoryStore, openStore, type Store } from "../src/storage/mod.ts";

const CONCURRENCY = 128;
const ROUNDS = 3;

const outcome: PluginOutcome = {
  output: new TextEncoder().encode("world"),
  contentType: "text/plain",
  usage: { wallMicros: 1, inputBytes: 5, outputBytes: 5, instructions: 0 },
};

const host: PluginHost = {
  keep: () => () => {},
  resolve: () => ({ plugin: "noop@1.0.0", sha256: "00", function: "noop", outputContentType: "text/plain" }),
  // As a worker would: the answer comes in a later turn of the event loop, many at once.
  execute: (_call: PluginCall) => new Promise((resolve) => setImmediate(resolve, outcome)),
};

const input = new TextEncoder().encode("hello");
const ctx: CallContext = {
  requester: "0x00000000000000000000000000000000000000A1",
  signal: new AbortController().signal,
  requestId: "bench",
};

function spec(id: string): TaskSpec {
  return { id, plugin: "noop", function: "noop", input, contentType: "text/plain", limits: {}, priority: 0 };
}

/** Runs `count` calls, {@link CONCURRENCY} at once, and returns calls a second. */
async function rate(count: number, call: (index: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const begin = performance.now();
  await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
    while (next < count) await call(next++);
  }));
  return count / ((performance.now() - begin) / 1000);
}

function provider(store: Store) {
  return createTaskProvider({
    store: store.tasks,
    host,
    ledger: freeLedger,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    maxRunning: CONCURRENCY,
  });
}

const direct = (index: number) =>
  host.execute({
    ...spec(String(index)),
    requester: ANONYMOUS,
    limits: { timeoutMs: 1000, memoryBytes: 1, outputBytes: 1 },
    signal: ctx.signal,
  });

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "velas-bench-"));
  const stores = {
    memory: openMemoryStore(),
    "LevelDB": await openStore(join(folder, "fast"), { sync: false }),
    "LevelDB + fsync": await openStore(join(folder, "synced"), { sync: true }),
  };
  const plain = provider(stores.memory);
  const best = new Map<string, number>();
  const note = (name: string, perSecond: number) => best.set(name, Math.max(best.get(name) ?? 0, perSecond));
  for (let round = 0; round < ROUNDS; round++) {
    note("host, directly", await rate(200_000, direct));
    note("ephemeral tasks", await rate(200_000, () => plain.run(spec(""), ctx)));
    for (const [name, store] of Object.entries(stores)) {
      const stored = provider(store);
      note(`stored tasks, ${name}`, await rate(10_000, (index) => stored.run(spec(`r${round}-${index}`), ctx)));
      note(`replays, ${name}`, await rate(10_000, (index) => stored.run(spec(`r${round}-${index}`), ctx)));
      await stored.close();
    }
  }
  await plain.close();
  const base = best.get("host, directly")!;
  console.log(`${isDeno ? "Deno" : `Node ${process.version}`}, ${CONCURRENCY} at once, best of ${ROUNDS} rounds`);
  for (const [name, perSecond] of best) {
    console.log(
      `${name.padEnd(34)} ${Math.round(perSecond).toString().padStart(9)}/s   ${(perSecond / base).toFixed(3)}`,
    );
  }
  for (const store of Object.values(stores)) await store.close();
  await rm(folder, { recursive: true });
}

await main();
