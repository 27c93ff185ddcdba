import { Buffer } from "node:buffer";

/** Bytes of a body that are no more than this share memory with others. */
const SHARED_BYTES = 2 << 10; // 2 KiB

/** The same bytes in memory of their own, which their reader may give back; a few share theirs. */
export function ownBytes(bytes: Uint8Array): Buffer {
  if (bytes.length <= SHARED_BYTES) return Buffer.from(bytes);
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
