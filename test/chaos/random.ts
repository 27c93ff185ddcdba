/** Numbers that a seed decides: mulberry32. Each part of a run draws from a stream of its own, so that one does not move the others. */
export class Random {
  #state: number;

  constructor(seed: number, stream: string) {
    this.#state = seed >>> 0;
    for (const char of stream) this.#state = Math.imul(this.#state ^ char.charCodeAt(0), 0x9e3779b1) >>> 0;
  }

  /** From 0 to before 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  int(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  chance(of: number): boolean {
    return this.next() < of;
  }

  pick<T>(all: readonly T[]): T {
    return all[this.int(0, all.length - 1)]!;
  }

  /** One of the names, each as often as its weight says. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
    const entries = Object.entries(weights) as [T, number][];
    let at = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      at -= weight;
      if (at < 0) return name;
    }
    return entries.at(-1)![0];
  }
}

/** Bytes that their number and length alone decide. */
export function bytesOf(number: number, length: number): Uint8Array<ArrayBuffer> {
  const random = new Random(number, "bytes");
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.int(0, 2 ** 32 - 1);
  return new Uint8Array(words.buffer).subarray(0, length);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
