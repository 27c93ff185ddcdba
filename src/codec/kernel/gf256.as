// The product of a matrix over GF(2^8) and blocks of bytes, sixteen bytes at a time. AssemblyScript; tools/build-kernel.ts builds it
// into ../kernel-bytes.ts.
//
// A product c·x in GF(2^8) is linear in the bits of x, so it is the XOR of two look-ups in tables of sixteen entries, one for each
// half of x; a swizzle does sixteen look-ups at once (J. Plank, K. Greenan, E. Miller, "Screaming Fast Galois Field Arithmetic
// Using Intel SIMD Instructions", FAST 2013). Up to four output rows are accumulated in one pass, so that each input vector is
// loaded and split once for all of them.

const MAX_LANES: usize = 32;
/** Bytes from one lane, the slice of a block, to the next. Not a power of two, so that lanes do not meet in the same cache sets. */
const LANE: usize = 16384 + 192;

/** For each row and column 32 bytes: the products of the coefficient with 0…15, then with 0x00, 0x10, … 0xf0. */
const TABLES: usize = 4096;
const INPUTS: usize = TABLES + MAX_LANES * MAX_LANES * 32;
const OUTPUTS: usize = INPUTS + MAX_LANES * LANE;

export function tablesAddress(): usize {
  return TABLES;
}

export function inputsAddress(): usize {
  return INPUTS;
}

export function outputsAddress(): usize {
  return OUTPUTS;
}

export function laneBytes(): usize {
  return LANE;
}

@inline
function lookUp(table: v128, index: v128): v128 {
  // Indices are below 16, where the relaxed swizzle and the strict one agree.
  if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(table, index);
  return i8x16.swizzle(table, index);
}

/**
 * One pass over `length` bytes of every lane: writes `rows` (1 to 4) output rows from `first` on. With `unit`, column 0 of the matrix is
 * all ones; with `unitRow`, so is the first row of the pass. Those three are constants wherever this is called, and what they rule
 * out is not compiled.
 */
@inline
function pass(rows: i32, first: i32, unit: bool, unitRow: bool, columns: i32, length: i32): void {
  const mask = i8x16.splat(15);
  const rowTables = (<usize>columns) << 5;
  const tables0 = TABLES + <usize>first * rowTables;
  const tables1 = tables0 + rowTables;
  const tables2 = tables1 + rowTables;
  const tables3 = tables2 + rowTables;
  const out = OUTPUTS + <usize>first * LANE;
  for (let at: usize = 0; at < <usize>length; at += 32) {
    // a… sums up the first sixteen bytes of a row, b… the next sixteen.
    let a0 = i64x2.splat(0), b0 = i64x2.splat(0);
    let input = INPUTS + at;
    let table: usize = 0;
    if (unit) {
      a0 = v128.load(input);
      b0 = v128.load(input, 16);
      input += LANE;
      table = 32;
    }
    let a1 = a0, b1 = b0, a2 = a0, b2 = b0, a3 = a0, b3 = b0;
    for (; table < rowTables; table += 32) {
      const a = v128.load(input);
      const b = v128.load(input, 16);
      input += LANE;
      const aLow = v128.and(a, mask);
      const bLow = v128.and(b, mask);
      const aHigh = v128.and(i16x8.shr_u(a, 4), mask);
      const bHigh = v128.and(i16x8.shr_u(b, 4), mask);
      if (unitRow) {
        a0 = v128.xor(a0, a);
        b0 = v128.xor(b0, b);
      } else {
        const low = v128.load(tables0 + table);
        const high = v128.load(tables0 + table, 16);
        a0 = v128.xor(a0, v128.xor(lookUp(low, aLow), lookUp(high, aHigh)));
        b0 = v128.xor(b0, v128.xor(lookUp(low, bLow), lookUp(high, bHigh)));
      }
      if (rows > 1) {
        const low = v128.load(tables1 + table);
        const high = v128.load(tables1 + table, 16);
        a1 = v128.xor(a1, v128.xor(lookUp(low, aLow), lookUp(high, aHigh)));
        b1 = v128.xor(b1, v128.xor(lookUp(low, bLow), lookUp(high, bHigh)));
      }
      if (rows > 2) {
        const low = v128.load(tables2 + table);
        const high = v128.load(tables2 + table, 16);
        a2 = v128.xor(a2, v128.xor(lookUp(low, aLow), lookUp(high, aHigh)));
        b2 = v128.xor(b2, v128.xor(lookUp(low, bLow), lookUp(high, bHigh)));
      }
      if (rows > 3) {
        const low = v128.load(tables3 + table);
        const high = v128.load(tables3 + table, 16);
        a3 = v128.xor(a3, v128.xor(lookUp(low, aLow), lookUp(high, aHigh)));
        b3 = v128.xor(b3, v128.xor(lookUp(low, bLow), lookUp(high, bHigh)));
      }
    }
    const to = out + at;
    v128.store(to, a0);
    v128.store(to, b0, 16);
    if (rows > 1) {
      v128.store(to + LANE, a1);
      v128.store(to + LANE, b1, 16);
    }
    if (rows > 2) {
      v128.store(to + 2 * LANE, a2);
      v128.store(to + 2 * LANE, b2, 16);
    }
    if (rows > 3) {
      v128.store(to + 3 * LANE, a3);
      v128.store(to + 3 * LANE, b3, 16);
    }
  }
}

/** Rows from `first` on, four at a time. */
@inline
function passes(rows: i32, first: i32, unit: bool, columns: i32, length: i32): void {
  let row = first;
  for (; row + 4 <= rows; row += 4) pass(4, row, unit, false, columns, length);
  const rest = rows - row;
  if (rest == 3) pass(3, row, unit, false, columns, length);
  else if (rest == 2) pass(2, row, unit, false, columns, length);
  else if (rest == 1) pass(1, row, unit, false, columns, length);
}

/** Outputs = matrix × inputs, for `length` bytes of each lane rounded up to 32. */
export function multiply(rows: i32, columns: i32, length: i32): void {
  passes(rows, 0, false, columns, length);
}

/** As `multiply`, for a matrix whose first row and first column are all ones. */
export function multiplyUnit(rows: i32, columns: i32, length: i32): void {
  if (rows >= 4) pass(4, 0, true, true, columns, length);
  else if (rows == 3) pass(3, 0, true, true, columns, length);
  else if (rows == 2) pass(2, 0, true, true, columns, length);
  else if (rows == 1) pass(1, 0, true, true, columns, length);
  passes(rows, 4, true, columns, length);
}
