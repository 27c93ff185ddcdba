import vm from "node:vm";
import { isDeno } from "../core/mod.ts";

/** Thrown when guarded code ran too long. */
export class TimeIsOver extends Error {}

const ENTRY = "__velasGuarded";
const entry = isDeno ? new vm.Script(`${ENTRY}()`) : undefined;

/**
 * How long a worker may go on with further calls under one guard, in milliseconds. Starting a guard on Deno costs about as much as a
 * small call, so calls share one; each may run that much longer than its limit. On either runtime they share the instance too.
 */
export const GUARD_WINDOW_MS = 2;

/**
 * Runs code and stops it when its time is over, even in a loop without end. Only on Deno: there a worker that loops cannot be
 * terminated from outside, but V8's own time limit for scripts stops it. On Node the pool terminates the worker instead, and this
 * only calls.
 */
export function runGuarded(timeoutMs: number, body: () => void): void {
  if (entry === undefined) return body();
  let failure: { error: unknown } | undefined;
  (globalThis as Record<string, unknown>)[ENTRY] = () => {
    try {
      body();
    } catch (error) {
      // Not through the script: Deno panics when what a plugin threw is no Error. V8's own stop cannot be caught here.
      failure = { error };
    }
  };
  try {
    entry.runInThisContext({ timeout: timeoutMs + GUARD_WINDOW_MS });
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code === "ERR_SCRIPT_EXECUTION_TIMEOUT") throw new TimeIsOver();
    throw error;
  }
  if (failure !== undefined) throw failure.error;
}
