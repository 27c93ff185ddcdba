/**
 * The instructions that this node meters: which immediates follow an opcode, and what it takes from the operand stack and puts there.
 * WebAssembly Core Specification 3.0, section 5.4, without exceptions, threads, typed references and garbage-collected types.
 */

/** What follows an opcode. */
export const IMMEDIATE = {
  none: 0,
  /** One index, as an unsigned LEB128. */
  index: 1,
  twoIndices: 2,
  /** An alignment and an offset. */
  memory: 3,
  /** The same, and a lane. */
  memoryLane: 4,
  /** A signed LEB128. */
  signed: 5,
  bytes4: 6,
  bytes8: 7,
  bytes16: 8,
  lane: 9,
  /** A list of value types. */
  types: 10,
  /** Its meaning is in the scanner: control, calls, prefixes. */
  special: 11,
} as const;

/** An instruction that is neither control nor a call. */
export interface Instruction {
  readonly immediate: number;
  readonly pops: number;
  readonly pushes: number;
}

type Effect = readonly [pops: number, pushes: number];
const UNARY: Effect = [1, 1];
const BINARY: Effect = [2, 1];
const TERNARY: Effect = [3, 1];
const PUSH: Effect = [0, 1];
const POP: Effect = [1, 0];
const STORE: Effect = [2, 0];
const BULK: Effect = [3, 0];

export const OP = {
  unreachable: 0x00,
  nop: 0x01,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  returnCall: 0x12,
  returnCallIndirect: 0x13,
  memoryGrow: 0x40,
  bulkPrefix: 0xfc,
  simdPrefix: 0xfd,
} as const;

/** Operations behind {@link OP.bulkPrefix} whose work depends on the number of bytes or elements on top of the stack. */
export const BULK_BYTES: readonly number[] = [0x08, 0x0a, 0x0b]; // memory.init, memory.copy, memory.fill
export const BULK_ELEMENTS: readonly number[] = [0x0c, 0x0e, 0x0f, 0x11]; // table.init, table.copy, table.grow, table.fill

/** Relaxed SIMD begins here: what these give may differ from one processor to another. */
export const FIRST_RELAXED = 0x100;

/** Lanes of a vector: the opcodes that extract one, and the one that replaces one. */
const LANES: readonly (readonly [extractFirst: number, extractLast: number, replace: number])[] = [
  [0x15, 0x16, 0x17], // i8x16
  [0x18, 0x19, 0x1a], // i16x8
  [0x1b, 0x1b, 0x1c], // i32x4
  [0x1d, 0x1d, 0x1e], // i64x2
  [0x1f, 0x1f, 0x20], // f32x4
  [0x21, 0x21, 0x22], // f64x2
];

/** From 0x5e on, where most take two operands, those that take one. */
const SIMD_UNARY: readonly (readonly [first: number, last: number])[] = [
  [0x5e, 0x64], // f32x4.demote to i8x16.bitmask
  [0x67, 0x6a], // f32x4.ceil to nearest
  [0x74, 0x75], // f64x2.ceil, floor
  [0x7a, 0x7a], // f64x2.trunc
  [0x7c, 0x81], // pairwise additions, i16x8.abs, neg
  [0x83, 0x84], // i16x8.all_true, bitmask
  [0x87, 0x8a], // i16x8 extensions
  [0x94, 0x94], // f64x2.nearest
  [0xa0, 0xa1], // i32x4.abs, neg
  [0xa3, 0xa4],
  [0xa7, 0xaa],
  [0xc0, 0xc1], // i64x2.abs, neg
  [0xc3, 0xc4],
  [0xc7, 0xca],
  [0xe0, 0xe1], // f32x4.abs, neg
  [0xe3, 0xe3], // f32x4.sqrt
  [0xec, 0xed], // f64x2.abs, neg
  [0xef, 0xef], // f64x2.sqrt
  [0xf8, 0xff], // conversions
];

/** Codes that mean nothing. */
const SIMD_GAPS: readonly number[] = [
  ...[0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb],
  ...[0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee],
];

/** Instructions of one byte. */
export const PLAIN: readonly (Instruction | undefined)[] = table(256, (put) => {
  put(0x1a, 0x1a, POP); // drop
  put(0x1b, 0x1b, TERNARY); // select
  put(0x1c, 0x1c, TERNARY, IMMEDIATE.types);
  put(0x20, 0x20, PUSH, IMMEDIATE.index); // local.get
  put(0x21, 0x21, POP, IMMEDIATE.index);
  put(0x22, 0x22, UNARY, IMMEDIATE.index); // local.tee
  put(0x23, 0x23, PUSH, IMMEDIATE.index); // global.get
  put(0x24, 0x24, POP, IMMEDIATE.index);
  put(0x25, 0x25, UNARY, IMMEDIATE.index); // table.get
  put(0x26, 0x26, STORE, IMMEDIATE.index);
  put(0x28, 0x35, UNARY, IMMEDIATE.memory); // loads
  put(0x36, 0x3e, STORE, IMMEDIATE.memory);
  put(0x3f, 0x3f, PUSH, IMMEDIATE.index); // memory.size
  put(0x40, 0x40, UNARY, IMMEDIATE.index); // memory.grow
  put(0x41, 0x42, PUSH, IMMEDIATE.signed);
  put(0x43, 0x43, PUSH, IMMEDIATE.bytes4);
  put(0x44, 0x44, PUSH, IMMEDIATE.bytes8);
  put(0x45, 0x45, UNARY); // i32.eqz
  put(0x46, 0x4f, BINARY);
  put(0x50, 0x50, UNARY); // i64.eqz
  put(0x51, 0x66, BINARY);
  put(0x67, 0x69, UNARY); // i32.clz, ctz, popcnt
  put(0x6a, 0x78, BINARY);
  put(0x79, 0x7b, UNARY); // i64.clz, ctz, popcnt
  put(0x7c, 0x8a, BINARY);
  put(0x8b, 0x91, UNARY); // f32.abs to f32.sqrt
  put(0x92, 0x98, BINARY);
  put(0x99, 0x9f, UNARY); // f64.abs to f64.sqrt
  put(0xa0, 0xa6, BINARY);
  put(0xa7, 0xc4, UNARY); // conversions, sign extensions
  put(0xd0, 0xd0, PUSH, IMMEDIATE.signed); // ref.null
  put(0xd1, 0xd1, UNARY); // ref.is_null
  put(0xd2, 0xd2, PUSH, IMMEDIATE.index); // ref.func
});

/** Instructions behind {@link OP.bulkPrefix}. */
export const BULK_INSTRUCTIONS: readonly (Instruction | undefined)[] = table(0x12, (put) => {
  put(0x00, 0x07, UNARY); // saturating conversions
  put(0x08, 0x08, BULK, IMMEDIATE.twoIndices); // memory.init
  put(0x09, 0x09, [0, 0], IMMEDIATE.index); // data.drop
  put(0x0a, 0x0a, BULK, IMMEDIATE.twoIndices); // memory.copy
  put(0x0b, 0x0b, BULK, IMMEDIATE.index); // memory.fill
  put(0x0c, 0x0c, BULK, IMMEDIATE.twoIndices); // table.init
  put(0x0d, 0x0d, [0, 0], IMMEDIATE.index); // elem.drop
  put(0x0e, 0x0e, BULK, IMMEDIATE.twoIndices); // table.copy
  put(0x0f, 0x0f, BINARY, IMMEDIATE.index); // table.grow
  put(0x10, 0x10, PUSH, IMMEDIATE.index); // table.size
  put(0x11, 0x11, BULK, IMMEDIATE.index); // table.fill
});

/** Instructions behind {@link OP.simdPrefix}. */
export const SIMD_INSTRUCTIONS: readonly (Instruction | undefined)[] = table(0x114, (put) => {
  put(0x00, 0x0a, UNARY, IMMEDIATE.memory); // loads
  put(0x0b, 0x0b, STORE, IMMEDIATE.memory);
  put(0x0c, 0x0c, PUSH, IMMEDIATE.bytes16); // v128.const
  put(0x0d, 0x0d, BINARY, IMMEDIATE.bytes16); // i8x16.shuffle
  put(0x0e, 0x0e, BINARY); // i8x16.swizzle
  put(0x0f, 0x14, UNARY); // splats
  for (const [extractFirst, extractLast, replace] of LANES) {
    put(extractFirst, extractLast, UNARY, IMMEDIATE.lane);
    put(replace, replace, BINARY, IMMEDIATE.lane);
  }
  put(0x23, 0x4c, BINARY); // comparisons
  put(0x4d, 0x4d, UNARY); // v128.not
  put(0x4e, 0x51, BINARY);
  put(0x52, 0x52, TERNARY); // v128.bitselect
  put(0x53, 0x53, UNARY); // v128.any_true
  put(0x54, 0x57, BINARY, IMMEDIATE.memoryLane); // loads of a lane
  put(0x58, 0x5b, STORE, IMMEDIATE.memoryLane);
  put(0x5c, 0x5d, UNARY, IMMEDIATE.memory); // loads with zeros
  put(0x5e, 0xff, BINARY);
  for (const [first, last] of SIMD_UNARY) put(first, last, UNARY);
  for (const code of SIMD_GAPS) put(code, code, undefined);
  put(0x100, 0x100, BINARY); // relaxed swizzle
  put(0x101, 0x104, UNARY);
  put(0x105, 0x10c, TERNARY); // multiply-add, lane select
  put(0x10d, 0x112, BINARY);
  put(0x113, 0x113, TERNARY); // dot product that adds
});

/** Why an opcode is refused, in words; undefined for one that is nowhere defined. */
export function refusedFeature(opcode: number): string | undefined {
  if ((opcode >= 0x06 && opcode <= 0x0a) || (opcode >= 0x18 && opcode <= 0x19) || opcode === 0x1f) {
    return "exceptions, which this node does not meter yet; build it without them";
  }
  if (opcode === 0x14 || opcode === 0x15 || (opcode >= 0xd3 && opcode <= 0xd6)) {
    return "typed function references, which this node does not run";
  }
  if (opcode === 0xfb) return "garbage-collected types, which this node does not run";
  if (opcode === 0xfe) return "threads, which this node does not run; build it for a single thread";
  return undefined;
}

type Put = (first: number, last: number, effect: Effect | undefined, immediate?: number) => void;

function table(size: number, fill: (put: Put) => void): readonly (Instruction | undefined)[] {
  const entries = new Array<Instruction | undefined>(size).fill(undefined);
  fill((first, last, effect, immediate = IMMEDIATE.none) => {
    const instruction = effect && { immediate, pops: effect[0], pushes: effect[1] };
    for (let code = first; code <= last; code++) entries[code] = instruction;
  });
  return entries;
}
