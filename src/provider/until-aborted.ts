import { goneError } from "./task-failures.ts";

/** Waits for a promise, or for the signal: then it throws what {@link goneError} gives. The promise itself is not stopped. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    // Nobody waits for it any more; that it fails, by the same signal perhaps, is nobody's to meet.
    promise.catch(() => {});
    return Promise.reject(goneError(signal));
  }
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(goneError(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
