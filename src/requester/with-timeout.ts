import { NodeError } from "../core/mod.ts";

/**
 * Runs work that must end in time. Its signal aborts with the caller's reason, or with `deadline_exceeded`; the result is rejected then, whether
 * or not the work heeds its signal.
 */
export async function withTimeout<T>(
  signal: AbortSignal,
  limit: { readonly timeoutMs: number; readonly what: string },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const stop = new AbortController();
  let giveUp!: (reason: unknown) => void;
  const stopped = new Promise<never>((_, reject) => giveUp = reject);
  stopped.catch(() => {});
  const end = (reason: unknown) => {
    giveUp(reason);
    stop.abort(reason);
  };
  const cancel = () => end(signal.reason);
  signal.addEventListener("abort", cancel);
  const timer = setTimeout(() => {
    end(new NodeError("deadline_exceeded", `${limit.what} took more than ${limit.timeoutMs} ms`));
  }, limit.timeoutMs);
  try {
    return await Promise.race([work(stop.signal), stopped]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
  }
}
