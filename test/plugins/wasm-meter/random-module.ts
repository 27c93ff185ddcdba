import { SECTION, WasmWriter } from "../../../src/plugins/wasm-binary.ts";

/**
 * Random modules that are valid by construction, each written twice: as it is, and counting its own instructions in the plainest way, one
 * addition before each instruction. What the meter counts must be what the second one counts. Every loop and function takes a
 * step from a global that traps at its end, so that all of them end.
 */
export interface RandomModule {
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly counting: Uint8Array<ArrayBuffer>;
  /** Exported functions `f0`…, by their parameters. */
  readonly functions: readonly (readonly ValueType[])[];
}

export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128" | "funcref";

interface Signature {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

const CODES: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
  funcref: 0x70,
};
const NUMBERS: readonly ValueType[] = ["i32", "i64", "f32", "f64"];
const ALL: readonly ValueType[] = [...NUMBERS, "v128", "funcref"];
/** Mutable globals: the steps that are left, then one of each number type, then what the counting module counts in. */
const STEPS = 0;
const COUNT = 5;
const STEPS_AT_START = 300;
const MAX_DEPTH = 5;

/** Instructions from operand types to a result type: opcode bytes and cost. No float becomes bits, since those of NaN vary. */
const OPERATIONS: readonly (readonly [operands: readonly ValueType[], result: ValueType, code: readonly number[]])[] = [
  ...each([0x45, 0x67, 0x68, 0x69, 0xc0, 0xc1], ["i32"], "i32"),
  ...each([0x46, 0x48, 0x4d, 0x6a, 0x6b, 0x6c, 0x6d, 0x70, 0x71, 0x72, 0x73, 0x74, 0x76, 0x77], ["i32", "i32"], "i32"),
  ...each([0x50], ["i64"], "i32"),
  ...each([0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4], ["i64"], "i64"),
  ...each([0x51, 0x53, 0x58], ["i64", "i64"], "i32"),
  ...each([0x7c, 0x7d, 0x7e, 0x7f, 0x82, 0x83, 0x84, 0x85, 0x86, 0x88, 0x89], ["i64", "i64"], "i64"),
  ...each([0x5b, 0x5d, 0x60], ["f32", "f32"], "i32"),
  ...each([0x61, 0x63, 0x66], ["f64", "f64"], "i32"),
  ...each([0x8b, 0x8d, 0x91], ["f32"], "f32"),
  ...each([0x92, 0x93, 0x94, 0x95, 0x96], ["f32", "f32"], "f32"),
  ...each([0x99, 0x9b, 0x9f], ["f64"], "f64"),
  ...each([0xa0, 0xa1, 0xa2, 0xa3, 0xa5], ["f64", "f64"], "f64"),
  ...each([0xa7], ["i64"], "i32"),
  ...each([0xac, 0xad], ["i32"], "i64"),
  ...each([0xb2, 0xb3], ["i32"], "f32"),
  ...each([0xb9], ["i64"], "f64"),
  ...each([0xb6], ["f64"], "f32"),
  ...each([0xbb], ["f32"], "f64"),
  [["f32"], "i32", [0xfc, 0x00]],
  [["f64"], "i64", [0xfc, 0x06]],
  [["i32"], "v128", [0xfd, 0x0f]],
  [["i64"], "v128", [0xfd, 0x12]],
  [["v128"], "i32", [0xfd, 0x1b, 2]],
  [["v128", "i32"], "v128", [0xfd, 0x17, 5]],
  [["v128", "v128"], "v128", [0xfd, 0x0d, ...Array.from({ length: 16 }, (_, i) => (i * 7) % 32)]],
  [["v128", "v128"], "v128", [0xfd, 0xae, 0x01]], // i32x4.add
  [["v128", "i32"], "v128", [0xfd, 0x6b]], // i8x16.shl
  [["v128"], "v128", [0xfd, 0x62]], // i8x16.popcnt
  [["v128"], "i32", [0xfd, 0xa3, 0x01]], // i32x4.all_true
  [["v128", "v128", "v128"], "v128", [0xfd, 0x52]], // bitselect
  // Relaxed SIMD, whose results each engine chooses, and then keeps to.
  [["v128", "v128"], "v128", [0xfd, 0x80, 0x02]], // i8x16.relaxed_swizzle
  [["v128"], "v128", [0xfd, 0x81, 0x02]], // i32x4.relaxed_trunc_f32x4_s
  [["v128", "v128", "v128"], "v128", [0xfd, 0x89, 0x02]], // i8x16.relaxed_laneselect
  [["v128", "v128"], "v128", [0xfd, 0x91, 0x02]], // i16x8.relaxed_q15mulr_s
  [["v128", "v128"], "v128", [0xfd, 0x92, 0x02]], // i16x8.relaxed_dot_i8x16_i7x16_s
  [["v128", "v128", "v128"], "v128", [0xfd, 0x93, 0x02]], // i32x4.relaxed_dot_i8x16_i7x16_add_s
  [["funcref"], "i32", [0xd1]],
];
const COSTS: ReadonlyMap<number, number> = new Map([
  ...[0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82].map((code) => [code, 8] as const),
  ...[0x91, 0x95, 0x9f, 0xa3, 0x11, 0x13].map((code) => [code, 4] as const),
  [0x40, 100_000],
]);

function each(
  codes: readonly number[],
  operands: readonly ValueType[],
  result: ValueType,
): (readonly [readonly ValueType[], ValueType, readonly number[]])[] {
  return codes.map((code) => [operands, result, [code]]);
}

/** A module drawn from a seed. */
export function randomModule(seed: number): RandomModule {
  return new ModuleMaker(seed).make();
}

/** A generator of whole numbers, mulberry32. */
export function numbers(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

interface Label {
  /** What a branch to it takes. */
  readonly types: readonly ValueType[];
}

class ModuleMaker {
  readonly #draw;
  readonly #types: Signature[] = [];
  readonly #functions: number[] = [];

  constructor(seed: number) {
    this.#draw = numbers(seed);
  }

  make(): RandomModule {
    const count = 2 + this.#draw(4);
    for (let i = 0; i < count; i++) {
      const params = this.#list(this.#draw(4), NUMBERS);
      this.#functions.push(this.#type({ params, results: this.#list(this.#draw(3), NUMBERS) }));
    }
    const bodies = this.#functions.map((type) =>
      new BodyMaker(this.#types[type]!, {
        draw: this.#draw,
        types: this.#types,
        functions: this.#functions,
        typeIndex: (signature) => this.#type(signature),
      }).make()
    );
    return {
      plain: this.#write(bodies.map(({ plain }) => plain), false),
      counting: this.#write(bodies.map(({ counting }) => counting), true),
      functions: this.#functions.map((type) => this.#types[type]!.params),
    };
  }

  #list(length: number, from: readonly ValueType[]): ValueType[] {
    return Array.from({ length }, () => from[this.#draw(from.length)]!);
  }

  #type(signature: Signature): number {
    const key = JSON.stringify(signature);
    const found = this.#types.findIndex((type) => JSON.stringify(type) === key);
    return found >= 0 ? found : this.#types.push(signature) - 1;
  }

  #write(bodies: readonly Uint8Array[], counts: boolean): Uint8Array<ArrayBuffer> {
    const writer = new WasmWriter().bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, body: WasmWriter): void => void writer.section({ id, body: body.finish() });
    const types = new WasmWriter().u32(this.#types.length);
    for (const { params, results } of this.#types) {
      types.byte(0x60);
      for (const list of [params, results]) types.u32(list.length).bytes(list.map((type) => CODES[type]));
    }
    section(SECTION.type, types);
    const functions = new WasmWriter().u32(this.#functions.length);
    for (const type of this.#functions) functions.u32(type);
    section(SECTION.function, functions);
    section(SECTION.table, new WasmWriter().bytes([1, 0x70, 0x00, 8]));
    section(SECTION.memory, new WasmWriter().bytes([1, 0x00, 1]));
    section(
      SECTION.global,
      new WasmWriter().u32(counts ? 6 : 5)
        .bytes([0x7f, 1, 0x41]).signed(STEPS_AT_START).byte(0x0b)
        // An extended constant expression.
        .bytes([0x7f, 1, 0x41, 7, 0x41, 5, 0x6a, 0x0b])
        .bytes([0x7e, 1, 0x42, 9, 0x0b])
        .bytes([0x7d, 1, 0x43, 0, 0, 0x80, 0x3f, 0x0b])
        .bytes([0x7c, 1, 0x44, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x0b])
        .bytes(counts ? [0x7e, 1, 0x42, 0, 0x0b] : []),
    );
    const exports = new WasmWriter().u32(this.#functions.length + 5 + (counts ? 1 : 0));
    for (const index of this.#functions.keys()) exports.name(`f${index}`).byte(0).u32(index);
    exports.name("memory").bytes([2, 0]);
    for (let i = 1; i < 5; i++) exports.name(`g${i}`).byte(3).u32(i);
    if (counts) exports.name("count").byte(3).u32(COUNT);
    section(SECTION.export, exports);
    // Functions in the table, and declared for ref.func; one passive segment.
    const elements = new WasmWriter().u32(2).bytes([0x00, 0x41, 0, 0x0b]).u32(this.#functions.length);
    for (const index of this.#functions.keys()) elements.u32(index);
    section(SECTION.element, elements.bytes([0x01, 0x00, 1, 0]));
    section(SECTION.dataCount, new WasmWriter().u32(1));
    const code = new WasmWriter().u32(bodies.length);
    for (const body of bodies) code.u32(body.length).bytes(body);
    section(SECTION.code, code);
    section(SECTION.data, new WasmWriter().u32(1).byte(0x01).u32(64).bytes(new Uint8Array(64).fill(7)));
    return writer.finish();
  }
}

interface BodyContext {
  readonly draw: (below: number) => number;
  readonly types: readonly Signature[];
  readonly functions: readonly number[];
  readonly typeIndex: (signature: Signature) => number;
}

class BodyMaker {
  readonly #signature: Signature;
  readonly #context: BodyContext;
  readonly #draw: (below: number) => number;
  readonly #plain = new WasmWriter();
  readonly #counting = new WasmWriter();
  readonly #locals: readonly ValueType[];
  readonly #labels: Label[] = [];
  #left = 60;

  constructor(signature: Signature, context: BodyContext) {
    this.#signature = signature;
    this.#context = context;
    this.#draw = context.draw;
    this.#locals = [...signature.params, ...ALL];
  }

  make(): { plain: Uint8Array; counting: Uint8Array } {
    for (const writer of [this.#plain, this.#counting]) {
      writer.u32(ALL.length);
      for (const type of ALL) writer.u32(1).byte(CODES[type]);
    }
    this.#step();
    this.#labels.push({ types: this.#signature.results });
    this.#block(this.#signature.results, 0);
    for (const writer of [this.#plain, this.#counting]) writer.byte(0x0b);
    return { plain: this.#plain.finish(), counting: this.#counting.finish() };
  }

  /** Writes an instruction, which in the counting module counts first. */
  #put(code: readonly number[], cost = COSTS.get(code[0]!) ?? 1): void {
    if (cost > 0) {
      this.#counting.bytes([0x23, COUNT, 0x42]).signed(cost).bytes([0x7c, 0x24, COUNT]);
    }
    this.#plain.bytes(code);
    this.#counting.bytes(code);
  }

  #constant(type: ValueType, value = this.#draw(100)): void {
    const small = new WasmWriter();
    switch (type) {
      case "i32":
        return this.#put([...small.byte(0x41).signed(value - (this.#draw(3) === 0 ? 50 : 0)).finish()]);
      case "i64":
        return this.#put([...small.byte(0x42).signed(value * (this.#draw(3) === 0 ? -1e12 : 1)).finish()]);
      case "f32":
        return this.#put([0x43, ...new Uint8Array(Float32Array.of(value / 4).buffer)]);
      case "f64":
        return this.#put([0x44, ...new Uint8Array(Float64Array.of(value / 3).buffer)]);
      case "v128":
        return this.#put([0xfd, 0x0c, ...Array.from({ length: 16 }, (_, i) => (value * i) & 0xff)]);
      case "funcref":
        return this.#put(this.#draw(2) === 0 ? [0xd0, 0x70] : [0xd2, 0]);
    }
  }

  /** Takes a step, and traps when none is left. */
  #step(): void {
    this.#put([0x23, STEPS]);
    this.#put([0x45]);
    this.#put([0x04, 0x40]);
    this.#put([0x00]);
    this.#put([0x0b], 0);
    this.#put([0x23, STEPS]);
    this.#put([0x41, 1]);
    this.#put([0x6b]);
    this.#put([0x24, STEPS]);
  }

  /** Statements that leave the stack as it was, then values of the given types. */
  #block(results: readonly ValueType[], depth: number): void {
    for (let rest = this.#draw(5); rest > 0 && this.#left > 0; rest--) this.#statement(depth);
    for (const type of results) this.#value(type, depth);
  }

  #statement(depth: number): void {
    this.#left--;
    switch (this.#draw(depth >= MAX_DEPTH ? 8 : 16)) {
      case 0:
        this.#put([0x01], 0);
        return;
      case 1: {
        const type = ALL[this.#draw(ALL.length)]!;
        this.#value(type, depth);
        return this.#put([0x1a]);
      }
      case 2:
      case 3: {
        const local = this.#draw(this.#locals.length);
        this.#value(this.#locals[local]!, depth);
        return this.#put([0x21, local]);
      }
      case 4: {
        const global = 1 + this.#draw(4);
        this.#value(NUMBERS[global - 1]!, depth);
        return this.#put([0x24, global]);
      }
      case 5:
        this.#constant("i32", 50 + this.#draw(50));
        this.#value("i32", depth);
        return this.#put([0x36, 2, 8]); // i32.store
      case 6:
        return this.#bulk();
      case 7:
        return this.#branch(depth);
      case 8:
      case 9:
        return this.#nest(0x02, [], depth);
      case 10:
      case 11:
        return this.#nest(0x03, [], depth);
      case 12:
        this.#value("i32", depth);
        return this.#nest(0x04, [], depth);
      default:
        return this.#call(depth);
    }
  }

  #value(type: ValueType, depth: number): void {
    this.#left--;
    if (this.#left <= 0 || depth > MAX_DEPTH) return this.#constant(type);
    switch (this.#draw(8)) {
      case 0:
        return this.#constant(type);
      case 1: {
        const local = this.#locals.lastIndexOf(type);
        return this.#put([this.#draw(4) === 0 && this.#tee(type, depth) ? 0x22 : 0x20, local]);
      }
      case 2: {
        const global = NUMBERS.indexOf(type);
        if (global >= 0) return this.#put([0x23, 1 + global]);
        return this.#constant(type);
      }
      case 3:
        if (type === "i32") {
          this.#constant("i32", 60);
          return this.#put([0x28, 2, 4]);
        }
        return this.#select(type, depth);
      case 4:
        return this.#nest([0x02, 0x03, 0x04][this.#draw(3)]!, [type], depth);
      case 5:
        // Two results of a block in one; the second is dropped.
        this.#nest(0x02, [type, "i32"], depth);
        return this.#put([0x1a]);
      default: {
        const fitting = OPERATIONS.filter(([, result]) => result === type);
        if (fitting.length === 0) return this.#constant(type);
        const [operands, , code] = fitting[this.#draw(fitting.length)]!;
        for (const operand of operands) this.#value(operand, depth + 1);
        return this.#put(code, code.length === 1 ? undefined : 1);
      }
    }
  }

  #tee(type: ValueType, depth: number): boolean {
    this.#value(type, depth + 1);
    return true;
  }

  #select(type: ValueType, depth: number): void {
    this.#value(type, depth + 1);
    this.#value(type, depth + 1);
    this.#value("i32", depth + 1);
    return this.#put([0x1c, 1, CODES[type]]);
  }

  /** A block, loop or if that takes nothing and gives these; the condition of an `if` is put on top here when it gives something. */
  #nest(opcode: number, results: readonly ValueType[], depth: number): void {
    if (opcode === 0x04 && results.length > 0) this.#value("i32", depth + 1);
    const takes = opcode !== 0x04 && this.#draw(3) === 0;
    const params: readonly ValueType[] = takes ? ["i64"] : [];
    if (takes) this.#constant("i64");
    const type = results.length === 0 && !takes
      ? [0x40]
      : results.length === 1 && !takes
      ? [CODES[results[0]!]]
      : [...new WasmWriter().signed(this.#context.typeIndex({ params, results })).finish()];
    this.#put([opcode, ...type], opcode === 0x04 ? 1 : 0);
    this.#labels.push({ types: opcode === 0x03 ? params : results });
    if (takes) this.#put([0x1a]);
    if (opcode === 0x03) this.#step();
    this.#block(results, depth + 1);
    if (opcode === 0x04 && (results.length > 0 || this.#draw(2) === 0)) {
      this.#put([0x05], 0);
      this.#block(results, depth + 1);
    }
    this.#labels.pop();
    this.#put([0x0b], 0);
  }

  /** A branch; one that is taken for sure is wrapped, so that what follows stays reachable now and then. */
  #branch(depth: number): void {
    const label = this.#draw(this.#labels.length);
    const { types } = this.#labels[this.#labels.length - 1 - label]!;
    switch (this.#draw(4)) {
      case 0:
        for (const type of types) this.#value(type, depth + 1);
        this.#value("i32", depth + 1);
        this.#put([0x0d, label]);
        for (const _ of types) this.#put([0x1a]);
        return;
      case 1:
        this.#value("i32", depth + 1);
        return this.#inside(0x04, () => {
          for (const type of types) this.#value(type, depth + 1);
          this.#put([0x0c, label + 1]);
          // Dead code, which is not counted.
          this.#constant("i32");
          this.#put([0x1a]);
        });
      case 2:
        this.#value("i32", depth + 1);
        return this.#inside(0x04, () => {
          for (const type of this.#signature.results) this.#value(type, depth + 1);
          this.#put([0x0f]);
        });
      default:
        return this.#inside(0x02, () => {
          this.#value("i32", depth + 1);
          // To this label or around it.
          this.#put(types.length === 0 ? [0x0e, 1, 0, label + 1] : [0x0d, 0]);
        });
    }
  }

  /** A block or an `if` without types. */
  #inside(opcode: number, body: () => void): void {
    this.#put([opcode, 0x40], opcode === 0x04 ? 1 : 0);
    this.#labels.push({ types: [] });
    body();
    this.#labels.pop();
    this.#put([0x0b], 0);
  }

  #bulk(): void {
    const length = this.#draw(40);
    switch (this.#draw(6)) {
      case 0:
        for (const value of [100, length, length]) this.#constantI32(value);
        return this.#put([0xfc, 0x0b, 0], 1 + Math.ceil(length / 8)); // memory.fill
      case 1:
        for (const value of [200, 100, length]) this.#constantI32(value);
        return this.#put([0xfc, 0x0a, 0, 0], 1 + Math.ceil(length / 8)); // memory.copy
      case 2:
        for (const value of [300, 0, length]) this.#constantI32(value);
        return this.#put([0xfc, 0x08, 0, 0], 1 + Math.ceil(length / 8)); // memory.init
      case 3:
        this.#constantI32(0);
        this.#put([0xd2, 0]);
        this.#constantI32(3);
        return this.#put([0xfc, 0x11, 0], 4); // table.fill
      case 4: {
        const pages = [0, 1, 70_000][this.#draw(3)]!;
        this.#constantI32(pages);
        this.#put([0x40, 0], 100_000 + (pages === 1 ? 1000 : 0));
        return this.#put([0x1a]);
      }
      default:
        this.#put([0xfc, 0x10, 0], 1); // table.size
        return this.#put([0x1a]);
    }
  }

  #constantI32(value: number): void {
    this.#put([...new WasmWriter().byte(0x41).signed(value).finish()]);
  }

  #call(depth: number): void {
    const { functions, types } = this.#context;
    const target = this.#draw(functions.length);
    const type = functions[target]!;
    const { params, results } = types[type]!;
    const asTail = this.#draw(6) === 0 && JSON.stringify(results) === JSON.stringify(this.#signature.results);
    const indirect = this.#draw(3) === 0;
    const call = (): void => {
      for (const param of params) this.#value(param, depth + 1);
      if (indirect) {
        this.#constantI32(target);
        this.#put([asTail ? 0x13 : 0x11, type, 0]);
      } else this.#put([asTail ? 0x12 : 0x10, target]);
    };
    if (asTail) {
      this.#value("i32", depth + 1);
      return this.#inside(0x04, call);
    }
    call();
    for (const _ of results) this.#put([0x1a]);
  }
}
