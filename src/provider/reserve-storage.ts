import type { CallContext, Hex32, NodeKey } from "../core/mod.ts";
import type { StorageLedger, StorageQuote, StorageReservation } from "./shard-ports.ts";

/** What a call may cost. */
interface StorageCall extends Pick<StorageQuote, "action" | "bytes" | "durationMs"> {
  readonly quote?: Hex32 | undefined;
}

/** Sets aside what an operation may cost; not for a caller that has gone, who thinks by now that nothing will be charged. */
export function reserveStorage(
  { ledger, key: { nodeId } }: { readonly ledger: StorageLedger; readonly key: NodeKey },
  { requester, signal }: CallContext,
  { quote, ...order }: StorageCall,
): StorageReservation {
  signal.throwIfAborted();
  return ledger.reserve({ requester, provider: nodeId, ...order, ...(quote !== undefined && { quote }) });
}
