import { isDeno } from "./runtime.ts";

/**
 * Gives the memory of bytes back at once instead of when it is collected: they are empty from then on, and so is whatever else lies in their buffer.
 * It takes an owner who knows that nobody has them any more. Bytes that are a small part of a buffer are left alone, for such buffers are shared.
 *
 * On Deno only, whose HTTP/2 and WebCrypto make a buffer for each frame and cell: V8 lets some 100 MiB of them gather before it collects any.
 */
export function release(bytes: Uint8Array, forced: boolean = isDeno): void {
  const { buffer } = bytes;
  if (forced && buffer instanceof ArrayBuffer && 2 * bytes.length >= buffer.byteLength) buffer.transfer(0);
}
