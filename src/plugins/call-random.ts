/** Instructions that a random byte counts as; part of the cost table (wasm-meter/costs.ts). */
export const RANDOM_BYTE_COST = 4;

/**
 * Random numbers of one call: mulberry32, a small generator of 32-bit numbers, seeded with the call's input, so that a run on the same
 * input draws the same. They are no secrets.
 */
export class CallRandom {
  #input: Uint8Array = new Uint8Array(0);
  #seed: number | undefined;

  /** Begins a call with this input, which is looked at only when numbers are wanted. */
  begin(input: Uint8Array): void {
    this.#input = input;
    this.#seed = undefined;
  }

  fill(bytes: Uint8Array): void {
    let seed = this.#seed ??= seedOf(this.#input);
    for (let i = 0; i < bytes.length; i++) {
      seed = (seed + 0x6d2b_79f5) | 0;
      let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      bytes[i] = (mixed ^ (mixed >>> 14)) & 0xff;
    }
    this.#seed = seed;
  }
}

/** A 32-bit seed from a call's input: FNV-1a. */
function seedOf(input: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (const byte of input) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash;
}
