import { AsyncLocalStorage } from "node:async_hooks";
import type { Caller } from "./access-tokens.ts";

const current = new AsyncLocalStorage<boolean>();

/** Whether the running code works for a caller that may not choose which of the networks around the node it connects to. */
export function isConfined(): boolean {
  return current.getStore() === true;
}

/**
 * Runs a caller's work, and what it awaits. Connections to targets that only the caller names lead to public addresses then, unless it
 * may everything (`admin`): such a caller could take any target in as a peer.
 */
export function confine<T>(caller: Caller, work: () => T): T {
  const isFree = caller.scopes.has("admin");
  // Set for those that are free too: on Deno 2.8.3 a request begins with what the one before it on the same connection had.
  return isFree === !isConfined() ? work() : current.run(!isFree, work);
}
