import { isDeno } from "./runtime.ts";

/**
 * Bytes that are fewer are left alone: a socket of Node reads into buffers of 64 KiB, and whoever has one part of such a buffer does not know who has
 * the others. On Deno each read has a buffer of its own.
 */
const LEAST_BYTES = isDeno ? 0 : 32 << 10; // 32 KiB

/**
 * Gives the memory of bytes back at once instead of when it is collected: they are empty from then on, and so is whatever else lies in their buffer.
 * It takes an owner who knows that nobody has them any more. Bytes that are a small part of a buffer are left alone, for such buffers are shared.
 *
 * Memory outside of V8's heap counts for when that is collected: without this Node marks its whole heap for every 64 MiB that pass through, and on Deno
 * some 100 MiB gather.
 */
export function release(bytes: Uint8Array): void {
  const { buffer, length } = bytes;
  if (length < LEAST_BYTES || !(buffer instanceof ArrayBuffer)) return;
  if (2 * length >= buffer.byteLength) buffer.transfer(0);
}

/** The same for an owner of the bytes who cannot know what else lies in their buffer: only where they are all of it. */
export function releaseWhole(bytes: Uint8Array): void {
  if (bytes.length === bytes.buffer.byteLength) release(bytes);
}
