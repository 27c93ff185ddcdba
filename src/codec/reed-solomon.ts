import { NodeError } from "../core/mod.ts";
import { invert, invertMatrix, multiply, multiplyRow } from "./gf256.ts";
import type { Matrix } from "./gf256.ts";
import { fieldKernel, LANE_BYTES } from "./kernel.ts";
import type { FieldKernel, KernelVariant } from "./kernel.ts";
import { checkPolicy, shardCount } from "./policy.ts";
import type { ErasurePolicy } from "./policy.ts";

/**
 * The coefficient of data shard `column` in parity shard `row`: a Cauchy matrix 1 / (x_row + y_column) with x_i = 255 − i and y_j = j, its
 * columns and rows scaled so that the first row and the first column are ones. Every square submatrix of a Cauchy matrix is
 * invertible and scaling keeps it so; hence every k rows of the identity above this matrix are invertible: any k shards decode
 * (J. Blömer et al., "An XOR-Based Erasure-Resilient Coding Scheme", 1995). The first parity shard is the XOR of the data shards,
 * and with one data shard every parity shard is a copy. A coefficient depends on its place only, not on k or m, so
 * parity shards can be added to a file without touching the others.
 */
export function parityCoefficient(row: number, column: number): number {
  const sum = (i: number, j: number) => (255 - i) ^ j;
  const scaled = multiply(sum(0, column), sum(row, 0));
  return multiply(scaled, invert(multiply(sum(row, column), sum(0, 0))));
}

/** The generator matrix: the identity above the parity coefficients. Row i makes shard i from the data shards. */
export function generatorMatrix(policy: ErasurePolicy): Matrix {
  const { dataShards } = checkPolicy(policy);
  return Array.from(
    { length: shardCount(policy) },
    (_, shard) =>
      Uint8Array.from({ length: dataShards }, (_, column) => {
        if (shard < dataShards) return shard === column ? 1 : 0;
        return parityCoefficient(shard - dataShards, column);
      }),
  );
}

/** A coefficient matrix as the kernel wants it: for each row and column the products with all low and all high halves of a byte. */
function lookUpTables(matrix: Matrix): Uint8Array {
  const columns = matrix[0]?.length ?? 0;
  const tables = new Uint8Array(matrix.length * columns * 32);
  let at = 0;
  for (const row of matrix) {
    for (const coefficient of row) {
      for (let half = 0; half < 16; half++) {
        tables[at + half] = multiply(coefficient, half);
        tables[at + 16 + half] = multiply(coefficient, half << 4);
      }
      at += 32;
    }
  }
  return tables;
}

/** A prepared product: which blocks go in, and the tables that make the blocks that come out. */
interface Recipe {
  readonly inputs: readonly number[];
  readonly tables: Uint8Array;
}

/** Recipes for loss patterns that a coder keeps; losses change rarely while a file is read. */
const RECIPES_KEPT = 32;

/**
 * Systematic Reed-Solomon code over GF(2^8) for one policy. Blocks are byte arrays of one length; shards 0 to k−1 are the data as
 * they are, k to k+m−1 the parity. Synchronous; holds no blocks between calls.
 */
export class ErasureCoder {
  readonly policy: ErasurePolicy;
  readonly #generator: Matrix;
  readonly #parityTables: Uint8Array;
  readonly #kernel: FieldKernel;
  readonly #recipes = new Map<string, Recipe>();

  /** Throws `invalid_argument` for a policy out of range. `variant` is for tests and benchmarks. */
  constructor(policy: ErasurePolicy, options: { readonly variant?: KernelVariant } = {}) {
    this.policy = checkPolicy(policy);
    this.#generator = generatorMatrix(policy);
    this.#parityTables = lookUpTables(this.#generator.slice(policy.dataShards));
    this.#kernel = fieldKernel(options.variant);
  }

  /** Fills the m `parity` blocks from the k `data` blocks. Throws `invalid_argument` when counts or lengths do not fit. */
  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
    const { dataShards, parityShards } = this.policy;
    if (data.length !== dataShards || parity.length !== parityShards) {
      throw new NodeError(
        "invalid_argument",
        `encode() got ${data.length} data and ${parity.length} parity blocks; the policy has ${dataShards} and ${parityShards}`,
      );
    }
    checkLengths([...data, ...parity]);
    if (parityShards > 0) this.#product(this.#parityTables, data, parity, true);
  }

  /**
   * Makes the blocks of the `wanted` shards from any k others, into `outputs` where those are given. `blocks` holds at each present
   * shard's index its block. Throws `shards_missing` when fewer than k are present, and `invalid_argument` when lengths or indices do not fit.
   */
  rebuild(
    blocks: readonly (Uint8Array | undefined)[],
    wanted: readonly number[],
    outputs?: readonly Uint8Array[],
  ): readonly Uint8Array[] {
    const present: number[] = [];
    blocks.forEach((block, shard) => {
      if (block !== undefined) present.push(shard);
    });
    const total = shardCount(this.policy);
    const stray = [...wanted, ...present].find((shard) => !Number.isInteger(shard) || shard < 0 || shard >= total);
    if (stray !== undefined) {
      throw new NodeError("invalid_argument", `There is no shard ${stray}: the file has shards 0 to ${total - 1}`);
    }
    const { dataShards } = this.policy;
    if (present.length < dataShards) {
      throw new NodeError(
        "shards_missing",
        `Only ${present.length} shards can be read and decoding takes ${dataShards}: bring back or repair ${
          dataShards - present.length
        } more`,
        { data: { present: present.length, needed: dataShards } },
      );
    }
    const recipe = this.#recipe(present.slice(0, dataShards), wanted);
    const inputs = recipe.inputs.map((shard) => blocks[shard]!);
    const length = checkLengths(inputs);
    const rebuilt = outputs ?? wanted.map(() => new Uint8Array(length));
    if (rebuilt.length !== wanted.length) {
      throw new NodeError("invalid_argument", `${wanted.length} shards do not fit in ${rebuilt.length} blocks`);
    }
    checkLengths([...inputs, ...rebuilt]);
    if (wanted.length > 0) this.#product(recipe.tables, inputs, rebuilt, false);
    return rebuilt;
  }

  #recipe(inputs: readonly number[], wanted: readonly number[]): Recipe {
    const key = `${inputs.join()}>${wanted.join()}`;
    let recipe = this.#recipes.get(key);
    if (recipe === undefined) {
      // Shards = generator × data, so data = (the generator's rows of the inputs)⁻¹ × inputs.
      const inverse = invertMatrix(inputs.map((shard) => this.#generator[shard]!))!;
      recipe = {
        inputs,
        tables: lookUpTables(wanted.map((shard) => multiplyRow(this.#generator[shard]!, inverse))),
      };
      if (this.#recipes.size >= RECIPES_KEPT) this.#recipes.clear();
      this.#recipes.set(key, recipe);
    }
    return recipe;
  }

  /** Runs the kernel slice by slice: the slices of all lanes fit in a processor's second cache, and calls are few. */
  #product(tables: Uint8Array, inputs: readonly Uint8Array[], outputs: readonly Uint8Array[], unit: boolean): void {
    const { memory, inputs: inputsAt, outputs: outputsAt, laneStride, tables: tablesAt } = this.#kernel;
    const length = inputs[0]!.length;
    memory.set(tables, tablesAt);
    for (let start = 0; start < length; start += LANE_BYTES) {
      const end = Math.min(start + LANE_BYTES, length);
      for (let i = 0; i < inputs.length; i++) {
        memory.set(inputs[i]!.subarray(start, end), inputsAt + i * laneStride);
      }
      if (unit) this.#kernel.multiplyUnit(outputs.length, inputs.length, end - start);
      else this.#kernel.multiply(outputs.length, inputs.length, end - start);
      for (let i = 0; i < outputs.length; i++) {
        const from = outputsAt + i * laneStride;
        outputs[i]!.set(memory.subarray(from, from + end - start), start);
      }
    }
  }
}

/** The one length of all blocks; throws `invalid_argument` when they differ. */
function checkLengths(blocks: readonly Uint8Array[]): number {
  const length = blocks[0]!.length;
  const other = blocks.find((block) => block.length !== length);
  if (other !== undefined) {
    throw new NodeError(
      "invalid_argument",
      `The blocks of a stripe have ${length} and ${other.length} bytes; make them equal`,
    );
  }
  return length;
}
