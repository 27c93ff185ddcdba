import { recoverSigner } from "./identity.ts";
import type { NodeId } from "./ids.ts";
import type { ShardReceipt, ShardRecord } from "./shard.ts";

/** What a provider signs as a receipt (docs/protocol.md): every field on a line of its own. */
export function receiptText(provider: NodeId, record: ShardRecord): Uint8Array {
  const { owner, id, sizeBytes, root, storedAt, expiresAt, graceMs } = record;
  const lines = ["velas-sphere shard receipt v1", provider, owner, id, sizeBytes, root, storedAt, expiresAt, graceMs];
  return new TextEncoder().encode(lines.join("\n"));
}

/** Whether the provider that a receipt names has signed it. */
export function isReceiptSigned({ provider, record, signature }: ShardReceipt): boolean {
  try {
    return recoverSigner(receiptText(provider, record), signature) === provider;
  } catch {
    return false;
  }
}
