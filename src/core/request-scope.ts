import { AsyncLocalStorage } from "node:async_hooks";

const current = new AsyncLocalStorage<string>();

/** The id of the request that the running code works for, where {@link inRequest} said so. */
export function currentRequestId(): string | undefined {
  return current.getStore();
}

/**
 * Runs work, and what it awaits, for a request: calls to other nodes that it makes, however deep, carry the request's id, so that their logs
 * tell what belongs together.
 */
export function inRequest<T>(requestId: string, work: () => T): T {
  return current.run(requestId, work);
}
