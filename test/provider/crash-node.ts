/**
 * A node to be killed: opens the store at the path of its first argument, recovers, then runs and submits tasks until it
 * dies, saying on its standard output what it was told, and in the file `runs` beside the store what its plugin began.
 * Arguments: folder, round.
 */
import { createHash } from "node:crypto";
import { appendFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  ANONYMOUS,
  type CallContext,
  noMetrics,
  type PluginCall,
  type PluginOutcome,
  silentLog,
  systemClock,
  type TaskSpec,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskProvider, type PluginHost } from "../../src/provider/mod.ts";
import { openStore } from "../../src/storage/mod.ts";

/** How often a task is begun at most. */
export const MAX_ATTEMPTS = 3;

/** What the plugin answers to an input. */
export function answer(input: Uint8Array): string {
  return createHash("sha256").update(input).digest("hex");
}

/** The input of the task with this id. */
export function inputOf(id: string): Uint8Array {
  return new TextEncoder().encode(`input of ${id} `.repeat(1 + id.length * 10));
}

/** The only spec of the task with this id. */
export function specOf(id: string): TaskSpec {
  const priority = id.charCodeAt(id.length - 1) % 3;
  return { id, plugin: "", function: "", input: inputOf(id), contentType: "", limits: {}, priority };
}

/** A plugin that takes 0 to 4 ms, and notes each run in `file`. */
export function slowHost(file: string, round: number): PluginHost {
  return {
    keep: () => () => {},
    resolve: () => ({ plugin: "hash@1", sha256: "", function: "hash", outputContentType: "text/plain" }),
    async execute(call: PluginCall): Promise<PluginOutcome> {
      const input = call.input as Uint8Array;
      const id = new TextDecoder().decode(input).split(" ", 3)[2]!;
      appendFileSync(file, `${id} ${round}\n`);
      const hash = answer(input);
      await new Promise((resolve) => setTimeout(resolve, parseInt(hash.slice(0, 2), 16) % 5));
      return {
        output: new TextEncoder().encode(hash),
        contentType: "text/plain",
        usage: { wallMicros: 1, inputBytes: input.length, outputBytes: 64, instructions: 0 },
      };
    },
  };
}

/** A provider on the store at `folder`. */
export async function openCrashNode(folder: string, round: number) {
  const store = await openStore(join(folder, "db"));
  const provider = createTaskProvider({
    store: store.tasks,
    host: slowHost(join(folder, "runs"), round),
    ledger: freeLedger,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
    maxRunning: 4,
    maxAttempts: MAX_ATTEMPTS,
  });
  return { store, provider };
}

/** The caller of all tasks here. */
export const context: CallContext = { requester: ANONYMOUS, signal: new AbortController().signal, requestId: "crash" };

async function main(folder: string, round: number): Promise<void> {
  const { provider } = await openCrashNode(folder, round);
  const say = (event: Record<string, string>) => writeSync(1, JSON.stringify(event) + "\n");
  await provider.recover();
  say({ ready: "" });
  const submit = async (worker: number) => {
    for (let i = 0;; i++) {
      const id = `s${round}-${worker}-${i}`;
      await provider.submit(specOf(id), context);
      say({ submitted: id });
      // Faster than they run, so that some wait whenever the end comes.
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  };
  const run = async (worker: number) => {
    for (let i = 0;; i++) {
      const id = `r${round}-${worker}-${i}`;
      const [result] = await Promise.all([provider.run(specOf(id), context), provider.run(specOf(id), context)]);
      say({ done: id, output: new TextDecoder().decode(result.output) });
    }
  };
  await Promise.all([submit(0), submit(1), run(0), run(1)]);
}

if (import.meta.main) await main(process.argv[2]!, Number(process.argv[3]));
