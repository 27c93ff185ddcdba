/**
 * Arithmetic in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d), whose element 2 generates the multiplicative group. For matrices of
 * coefficients; the bytes of files go through the kernel.
 */
const EXP = new Uint8Array(510);
const LOG = new Uint8Array(256);

for (let power = 0, value = 1; power < 255; power++) {
  EXP[power] = value;
  EXP[power + 255] = value;
  LOG[value] = power;
  value <<= 1;
  if (value > 255) value ^= 0x11d;
}

/** a · b. */
export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a]! + LOG[b]!]!;
}

/** a⁻¹ of an a that is not zero. */
export function invert(a: number): number {
  return EXP[255 - LOG[a]!]!;
}

/** A matrix, row by row. */
export type Matrix = readonly Uint8Array[];

/** The inverse of a square matrix by Gauss-Jordan elimination, or `undefined` when it has none. */
export function invertMatrix(matrix: Matrix): Matrix | undefined {
  const size = matrix.length;
  const rows = matrix.map((row, index) => {
    const wide = new Uint8Array(2 * size);
    wide.set(row);
    wide[size + index] = 1;
    return wide;
  });
  for (let column = 0; column < size; column++) {
    const pivot = rows.findIndex((row, index) => index >= column && row[column] !== 0);
    if (pivot < 0) return undefined;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    const row = rows[column]!;
    const scale = invert(row[column]!);
    for (let i = 0; i < row.length; i++) row[i] = multiply(row[i]!, scale);
    for (const other of rows) {
      const factor = other[column]!;
      if (other === row || factor === 0) continue;
      for (let i = 0; i < row.length; i++) other[i]! ^= multiply(factor, row[i]!);
    }
  }
  return rows.map((row) => row.slice(size));
}

/** The product of a row vector and a matrix. */
export function multiplyRow(row: Uint8Array, matrix: Matrix): Uint8Array {
  const product = new Uint8Array(matrix[0]!.length);
  matrix.forEach((other, index) => {
    for (let i = 0; i < product.length; i++) product[i]! ^= multiply(row[index]!, other[i]!);
  });
  return product;
}
