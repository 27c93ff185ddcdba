import { GF256_PLAIN, GF256_RELAXED, SHA256 } from "./kernel-bytes.ts";

/** The exports of `kernel/gf256.as`, with its memory and the places in it. */
export interface FieldKernel {
  readonly memory: Uint8Array;
  /** Tables of the matrix: for each row and column 32 bytes. */
  readonly tables: number;
  readonly inputs: number;
  readonly outputs: number;
  /** Bytes from one lane to the next. */
  readonly laneStride: number;
  readonly multiply: (rows: number, columns: number, length: number) => void;
  /** As `multiply`, for a matrix whose first row and column are all ones. */
  readonly multiplyUnit: (rows: number, columns: number, length: number) => void;
}

/** Bytes of each lane that one call of a {@link FieldKernel} may work on. */
export const LANE_BYTES = 16_384;

/** The exports of `kernel/sha256.as`, with its memory and the places in it. */
export interface HashKernel {
  readonly memory: Uint8Array;
  readonly input: number;
  readonly output: number;
  readonly hashLeaves: (count: number, firstIndex: bigint) => void;
  readonly hashPairs: (count: number) => void;
  readonly hashSubtree: (count: number, firstIndex: bigint) => void;
}

type Exports = Record<string, (...args: readonly unknown[]) => number> & { readonly memory: WebAssembly.Memory };

function instantiate(base64: string): Exports {
  const module = new WebAssembly.Module(Buffer.from(base64, "base64"));
  return new WebAssembly.Instance(module).exports as unknown as Exports;
}

/** How the field kernel does its look-ups: `relaxed` is faster, `plain` runs on engines without relaxed SIMD. */
export type KernelVariant = "relaxed" | "plain";

/** Whether this engine knows relaxed SIMD. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(Buffer.from(GF256_RELAXED, "base64"));
}

const fieldKernels = new Map<KernelVariant, FieldKernel>();
let preferred: KernelVariant | undefined;

/**
 * The field kernel, one a thread and variant: its calls are synchronous and leave nothing behind, so that all coders share it. Without a
 * variant, the fastest that this engine runs.
 */
export function fieldKernel(variant?: KernelVariant): FieldKernel {
  preferred ??= hasRelaxedSimd() ? "relaxed" : "plain";
  const wanted = variant ?? preferred;
  let kernel = fieldKernels.get(wanted);
  if (kernel === undefined) {
    const exports = instantiate(wanted === "relaxed" ? GF256_RELAXED : GF256_PLAIN);
    kernel = {
      memory: new Uint8Array(exports.memory.buffer),
      tables: exports["tablesAddress"]!(),
      inputs: exports["inputsAddress"]!(),
      outputs: exports["outputsAddress"]!(),
      laneStride: exports["laneBytes"]!(),
      multiply: exports["multiply"]!,
      multiplyUnit: exports["multiplyUnit"]!,
    };
    fieldKernels.set(wanted, kernel);
  }
  return kernel;
}

/** A new hash kernel for leaves whose prefix begins with `tag` (at most 56 bytes). */
export function createHashKernel(tag: Uint8Array): HashKernel {
  const exports = instantiate(SHA256);
  exports["prepare"]!();
  const memory = new Uint8Array(exports.memory.buffer);
  memory.set(tag, exports["prefixAddress"]!());
  return {
    memory,
    input: exports["inputAddress"]!(),
    output: exports["outputAddress"]!(),
    hashLeaves: exports["hashLeaves"]!,
    hashPairs: exports["hashPairs"]!,
    hashSubtree: exports["hashSubtree"]!,
  };
}
