import { randomFillSync } from "node:crypto";

/** A node's id: its Ethereum address, EIP-55 checksummed, `0x` and 40 hex digits. */
export type NodeId = `0x${string}`;

/** Who asks: a node id, or {@link ANONYMOUS}. Task ids are unique within a requester. */
export type RequesterId = NodeId | typeof ANONYMOUS;

/** The requester of a call that names none. */
export const ANONYMOUS = "anonymous";

const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const pool = new Uint8Array(4096);
let poolOffset = pool.length;

/**
 * Draws a ULID: 26 characters that sort by time of creation, 48 bits of milliseconds and 80 of randomness
 * (github.com/ulid/spec).
 */
export function newUlid(nowMs: number): string {
  if (poolOffset + 10 > pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  let time = "";
  let rest = nowMs;
  for (let i = 0; i < 10; i++) {
    time = CROCKFORD[rest % 32] + time;
    rest = Math.floor(rest / 32);
  }
  let tail = "";
  // Ten bytes are sixteen digits of five bits: each five bytes give eight.
  for (let group = 0; group < 2; group++) {
    let high = 0;
    let low = 0;
    for (let i = 0; i < 5; i++) {
      const byte = pool[poolOffset++]!;
      high = (high << 4) | (byte >> 4);
      low = (low << 4) | (byte & 15);
    }
    for (let i = 0; i < 4; i++) {
      tail += CROCKFORD[(high >> (i * 5)) & 31]! + CROCKFORD[(low >> (i * 5)) & 31]!;
    }
  }
  return time + tail;
}
