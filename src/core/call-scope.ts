import { AsyncLocalStorage } from "node:async_hooks";

/** Runs work as part of what a scope was taken in: with its request id and its span. */
export type CallScope = <T>(work: () => T) => T;

/** The scope of the code that runs now, for work of its that something else will start, such as a message of a worker thread. */
export function currentScope(): CallScope {
  return AsyncLocalStorage.snapshot();
}

/**
 * The scope of no call, for starting what outlives the call that happens to start it: a worker thread or a timer would give its scope to
 * all that it does later for others.
 */
export const outsideOfCalls: CallScope = AsyncLocalStorage.snapshot();
