import { createHook } from "node:async_hooks";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { Worker } from "node:worker_threads";
import type { WorkerOptions } from "node:worker_threads";
import { outsideOfCalls } from "./call-scope.ts";

interface SeaModule {
  isSea(): boolean;
  getRawAsset(key: string): ArrayBuffer;
  getAsset(key: string, encoding: string): string;
}

/** Whether the source runs on Deno rather than on Node. */
export const isDeno = "Deno" in globalThis;

// Deno has no node:sea; a static import would not even load there.
const sea = isDeno ? undefined : (process.getBuiltinModule("node:sea") as unknown as SeaModule | undefined);

/** Whether this is the single executable, whose files are assets inside it. */
export const isSingleExecutable = sea?.isSea() ?? false;

/**
 * On Deno, keeps a timer running that does not keep the process. Without one, Deno 2.8.3 now and then forgets the timers made from then on:
 * up to every third start of `dev` on a busy machine waited for ever, and none of 130 with it.
 */
export function keepTimersFiring(): void {
  if (isDeno) setInterval(() => {}, 100).unref();
}

/** The address of a file of the project, by its path from the project's root. Not to be called in the single executable. */
function projectUrl(path: string): URL {
  return new URL(`../../${path}`, import.meta.url);
}

/** A tick of {@link keepTicksFast}, and with it V8's maps of all. */
let keptTick: object | undefined;

/**
 * On Node, keeps one of the objects that `process.nextTick` makes. It makes them by a literal with computed keys, which V8 makes fast by
 * the maps of those that came before, and it forgets maps that no object has: a collection of the whole heap at a moment without a tick makes every tick
 * cost nine times as much from then on (0.45 µs instead of 0.05; a task has some twenty). To be called before the first collection.
 */
export function keepTicksFast(): void {
  if (isDeno || keptTick !== undefined) return;
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === "TickObject") keptTick ??= resource;
    },
  }).enable();
  process.nextTick(() => {});
  // Not by the hook itself: Node would go on to tell V8's hooks of every promise.
  hook.disable();
}

/**
 * Reads a file that belongs to the program, such as `wasm-plugins/demo/demo.wasm`: an asset of the single executable, else
 * the file in the project. Throws when it is not there, which is a fault of the build.
 */
export function readAsset(path: string): Uint8Array {
  if (isSingleExecutable) return new Uint8Array(sea!.getRawAsset(path));
  return readFileSync(fileURLToPath(projectUrl(path)));
}

/**
 * Starts a worker thread from a source file, such as `src/plugins/worker.ts`, wherever the program runs. It belongs to no call, whichever
 * it is started in.
 */
export function startWorker(path: string, options: WorkerOptions = {}): Worker {
  return outsideOfCalls(() =>
    isSingleExecutable
      ? new Worker(sea!.getAsset(path, "utf8"), { ...options, eval: true })
      : new Worker(projectUrl(path), options)
  );
}
