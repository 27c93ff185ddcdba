import { NodeError } from "../core/mod.ts";

/** Throws the signal's reason when it is a `NodeError`, else `canceled`, once the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal === undefined || !signal.aborted) return;
  if (signal.reason instanceof NodeError) throw signal.reason;
  throw new NodeError("canceled", `${what} was canceled`, { cause: signal.reason });
}
