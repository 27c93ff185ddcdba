import { Buffer } from "node:buffer";

/** Numbers that look random and are the same each time (Numerical Recipes' generator). */
export function numbers(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x = Math.imul(x, 1664525) + 1013904223 | 0;
    return (x >>> 8) % below;
  };
}

/** What one end says, with a few things wrong. */
export function mutate(good: readonly Uint8Array[], below: (most: number) => number): Buffer {
  const frames = [...good];
  for (let i = below(3); i > 0; i--) {
    const [at, to] = [below(frames.length), below(frames.length)];
    const kind = below(3);
    if (kind === 0) frames.splice(at, 1);
    else if (kind === 1) frames.splice(to, 0, frames[at]!);
    else [frames[at], frames[to]] = [frames[to]!, frames[at]!];
  }
  const bytes = Buffer.concat(frames);
  for (let i = below(4); i > 0; i--) bytes[below(bytes.length)] = below(256);
  return below(4) === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
}
