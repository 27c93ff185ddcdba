import { invalidModule, WasmReader } from "../wasm-binary.ts";
import { readValueType } from "../wasm-module.ts";
import { BasicBlocks } from "./basic-blocks.ts";
import { controlFrame } from "./control-frame.ts";
import type { ControlFrame } from "./control-frame.ts";
import {
  BULK_BYTES_SHIFT,
  INSTRUCTION_COST,
  MEMORY_GROW_COST,
  SLOW_INSTRUCTIONS,
  TABLE_ELEMENT_SHIFT,
} from "./costs.ts";
import {
  BULK_BYTES,
  BULK_ELEMENTS,
  BULK_INSTRUCTIONS,
  FIRST_RELAXED,
  OP,
  PLAIN,
  refusedFeature,
  SIMD_INSTRUCTIONS,
} from "./opcodes.ts";
import type { Instruction } from "./opcodes.ts";
import { SETTLED } from "./place-charges.ts";
import type { Arity, ScanContext, ScannedFunction } from "./scanned-function.ts";
import { skipImmediate } from "./skip-immediate.ts";
import type { UnrolledFunction } from "./unroll-loops.ts";

const EMPTY_BLOCK = 0x40;
const V128 = 0x7b;
const FRAME_SLOTS = 6; // return address, frame pointer, instance and what an engine keeps beside the values
const MAX_LOCALS = 50_000; // as engines have it

/**
 * Reads the body of a function that an engine has validated, and finds its basic blocks with their exact costs. Throws `module_invalid`
 * for what this node does not run.
 */
export function scanFunction(unrolled: UnrolledFunction, type: Arity, context: ScanContext): ScannedFunction {
  return new Scanner(unrolled, type, context).scan();
}

class Scanner {
  readonly #reader: WasmReader;
  /** Where branches stand that the function did not have. */
  readonly #added: ReadonlySet<number>;
  readonly #context: ScanContext;
  readonly #type: Arity;
  readonly #blocks: BasicBlocks;
  readonly #frames: ControlFrame[] = [];
  #frame: ControlFrame;
  #height = 0;
  #maxHeight = 0;
  #calls = false;
  #returns = false;
  #usesSimd = false;
  #usesRelaxedSimd = false;

  constructor({ body, added }: UnrolledFunction, type: Arity, context: ScanContext) {
    this.#reader = new WasmReader(body);
    this.#blocks = new BasicBlocks(this.#reader);
    this.#added = added;
    this.#context = context;
    this.#type = type;
    this.#frame = controlFrame(OP.block, {
      params: 0,
      results: type.results,
      base: 0,
      reached: true,
      label: SETTLED,
      weight: 1,
    });
  }

  scan(): ScannedFunction {
    const reader = this.#reader;
    const { locals, groups, localsAt } = this.#locals();
    const codeAt = reader.offset;
    this.#frames.push(this.#frame);
    this.#blocks.begin(SETTLED, "enter");
    while (this.#frames.length > 0) this.#instruction(reader.byte());
    if (!reader.done) throw invalidModule("The module has bytes behind the end of a function");
    const values = this.#type.params + locals + this.#maxHeight;
    return {
      sites: this.#blocks.settle(),
      locals,
      localGroups: groups,
      localsAt,
      codeAt,
      calls: this.#calls,
      leavesEarly: this.#frame.branches > 0 || this.#returns,
      frameSlots: FRAME_SLOTS + (this.#usesSimd ? 2 * values : values),
      usesRelaxedSimd: this.#usesRelaxedSimd,
    };
  }

  #locals(): { locals: number; groups: number; localsAt: number } {
    const groups = this.#reader.u32();
    const localsAt = this.#reader.offset;
    let locals = 0;
    for (let i = 0; i < groups; i++) {
      locals += this.#reader.u32();
      if (locals > MAX_LOCALS) throw invalidModule(`The module has a function with more than ${MAX_LOCALS} locals`);
      if (readValueType(this.#reader) === V128) this.#usesSimd = true;
    }
    return { locals, groups, localsAt };
  }

  #instruction(opcode: number): void {
    const plain = PLAIN[opcode];
    if (plain !== undefined) {
      if (opcode === OP.memoryGrow) return this.#grow();
      this.#blocks.count(SLOW_INSTRUCTIONS.get(opcode) ?? INSTRUCTION_COST);
      return this.#plain(plain);
    }
    const reader = this.#reader;
    switch (opcode) {
      case OP.nop:
        return;
      case OP.block:
      case OP.loop:
      case OP.if:
        return this.#open(opcode);
      case OP.else:
        return this.#else();
      case OP.end:
        return this.#end();
      case OP.br:
        return this.#leap(reader.offset - 1);
      case OP.brIf:
        this.#blocks.count(INSTRUCTION_COST);
        this.#pop(1);
        this.#target(reader.u32());
        return this.#blocks.beginArm();
      case OP.brTable: {
        this.#blocks.count(INSTRUCTION_COST);
        const labels = reader.u32();
        for (let i = 0; i <= labels; i++) this.#target(reader.u32());
        return this.#stop();
      }
      case OP.return:
        this.#blocks.count(INSTRUCTION_COST);
        this.#returns = true;
        this.#blocks.leadTo(SETTLED);
        this.#blocks.runAtMost(1);
        this.#blocks.add("return", { at: reader.offset - 1, value: this.#frames.length - 1 });
        return this.#stop();
      case OP.unreachable:
        this.#blocks.count(INSTRUCTION_COST);
        this.#blocks.runAtMost(0);
        return this.#stop();
      case OP.call:
        return this.#call(reader.offset - 1, reader.u32());
      case OP.callIndirect:
        return this.#callIndirect(reader.offset - 1);
      case OP.returnCall:
        this.#tail(reader.offset - 1);
        reader.u32();
        return this.#stop();
      case OP.returnCallIndirect:
        this.#blocks.count(SLOW_INSTRUCTIONS.get(opcode)! - INSTRUCTION_COST);
        this.#tail(reader.offset - 1);
        reader.u32();
        reader.u32();
        return this.#stop();
      case OP.bulkPrefix:
        return this.#bulk();
      case OP.simdPrefix:
        return this.#simd();
      default:
        throw refused(opcode);
    }
  }

  #plain({ immediate, pops, pushes }: Instruction): void {
    skipImmediate(this.#reader, immediate);
    this.#pop(pops);
    this.#push(pushes);
  }

  #open(opcode: number): void {
    const type = this.#blockType();
    if (opcode === OP.if) {
      this.#blocks.count(INSTRUCTION_COST);
      this.#pop(1);
    }
    const base = Math.max(this.#height - type.params, this.#frame.base);
    const { weight, current } = this.#blocks;
    const label = this.#blocks.addPlace();
    let block = current;
    if (opcode === OP.loop) block = this.#blocks.beginLoop(label);
    if (opcode === OP.if) this.#blocks.beginArm();
    const reached = current !== undefined;
    this.#frame = controlFrame(opcode, { ...type, base, reached, label, block, weight });
    this.#frames.push(this.#frame);
    this.#height = base;
    this.#push(type.params);
  }

  #else(): void {
    const { block, base, params, label, weight } = this.#frame;
    this.#frame.hasElse = true;
    this.#frame.fallsThrough = this.#blocks.current !== undefined;
    this.#blocks.leadTo(label);
    this.#height = base;
    this.#push(params);
    this.#blocks.weight = weight / 2;
    this.#blocks.stop();
    if (block !== undefined) this.#blocks.begin(block.after);
  }

  #end(): void {
    const ended = this.#frames.pop()!;
    const isReached = this.#blocks.current !== undefined;
    this.#blocks.runAtMost(ended.weight);
    this.#height = ended.base;
    this.#blocks.weight = ended.weight;
    if (this.#frames.length === 0) return this.#blocks.leadTo(SETTLED);
    this.#frame = this.#frames[this.#frames.length - 1]!;
    this.#push(ended.results);
    switch (ended.opcode) {
      case OP.loop:
        return this.#endLoop(ended);
      case OP.if:
        if (ended.block !== undefined && !ended.hasElse) this.#blocks.join(ended.block.after, ended.label);
        if (isReached || (ended.reached && !ended.hasElse) || ended.fallsThrough || ended.branches > 0) {
          this.#blocks.meet(ended.label);
        }
        return;
      default:
        if (ended.branches > 0) this.#blocks.meet(ended.label);
    }
  }

  #endLoop({ block, branches, back }: ControlFrame): void {
    if (block === undefined) return;
    // One that nothing branches back to is no loop; one that turns in one place is tested there.
    if (branches === 0 || (branches === 1 && back !== undefined)) block.kind = "charge";
    if (branches === 1 && back !== undefined) back.kind = "test";
  }

  /** A `br`. */
  #leap(at: number): void {
    if (!this.#added.has(at)) this.#blocks.count(INSTRUCTION_COST);
    const target = this.#target(this.#reader.u32());
    if (target.opcode === OP.loop) target.back = this.#blocks.add("charge", { at });
    else this.#blocks.runAtMost(target.weight);
    this.#stop();
  }

  #blockType(): Arity {
    const reader = this.#reader;
    const code = reader.bytes[reader.offset];
    if (code === EMPTY_BLOCK) {
      reader.byte();
      return NOTHING;
    }
    // A value type is a negative number of one byte; a type's index is not negative.
    if (code !== undefined && code >= 0x41 && code < 0x80) {
      readValueType(reader);
      return ONE_RESULT;
    }
    return this.#typeAt(reader.u32());
  }

  #typeAt(index: number): Arity {
    const type = this.#context.types[index];
    if (type === undefined) throw invalidModule(`The module uses type ${index}, which it does not have`);
    return type;
  }

  #call(at: number, index: number): void {
    const { hostCosts, functionTypes } = this.#context;
    const type = this.#typeAt(functionTypes[index] ?? -1);
    const host = hostCosts[index];
    this.#blocks.count(host?.cost ?? INSTRUCTION_COST);
    if (host?.chargesLength !== undefined) {
      this.#blocks.add(host.chargesLength === "i32" ? "length32" : "length64", { at, value: 3 });
    }
    if (host === undefined || host.hostCharges) this.#settleAround(at);
    this.#pop(type.params);
    this.#push(type.results);
    if (host === undefined) this.#calls = true;
  }

  #callIndirect(at: number): void {
    const type = this.#typeAt(this.#reader.u32());
    this.#reader.u32();
    this.#blocks.count(SLOW_INSTRUCTIONS.get(OP.callIndirect)!);
    this.#settleAround(at);
    this.#pop(1 + type.params);
    this.#push(type.results);
    this.#calls = true;
  }

  /** What was spent is written back before the call that was just read, and the fuel read again behind it. */
  #settleAround(at: number): void {
    this.#blocks.leadTo(SETTLED);
    this.#blocks.add("save", { at });
    this.#blocks.add("restore", { at: this.#reader.offset });
    if (this.#blocks.current !== undefined) this.#blocks.begin(SETTLED);
  }

  #tail(at: number): void {
    this.#blocks.count(INSTRUCTION_COST);
    this.#blocks.leadTo(SETTLED);
    this.#blocks.add("tail", { at });
    this.#calls = true;
  }

  #grow(): void {
    this.#blocks.count(MEMORY_GROW_COST);
    this.#blocks.add("grow", { at: this.#reader.offset - 1 });
    this.#reader.u32();
    this.#blocks.add("grown", { at: this.#reader.offset });
  }

  #bulk(): void {
    const at = this.#reader.offset - 1;
    const code = this.#reader.u32();
    const instruction = BULK_INSTRUCTIONS[code];
    if (instruction === undefined) throw unknown(`fc ${code}`);
    this.#blocks.count(INSTRUCTION_COST);
    if (BULK_BYTES.includes(code)) this.#blocks.add("bulk", { at, value: BULK_BYTES_SHIFT });
    if (BULK_ELEMENTS.includes(code)) this.#blocks.add("bulk", { at, value: TABLE_ELEMENT_SHIFT });
    this.#plain(instruction);
  }

  #simd(): void {
    const code = this.#reader.u32();
    const instruction = SIMD_INSTRUCTIONS[code];
    if (instruction === undefined) throw unknown(`fd ${code}`);
    this.#usesSimd = true;
    if (code >= FIRST_RELAXED) this.#usesRelaxedSimd = true;
    this.#blocks.count(INSTRUCTION_COST);
    this.#plain(instruction);
  }

  /** What follows cannot be reached before a label. */
  #stop(): void {
    this.#blocks.stop();
    this.#height = this.#frame.base;
  }

  #target(label: number): ControlFrame {
    const target = this.#frames[this.#frames.length - 1 - label];
    if (target === undefined) throw invalidModule(`The module branches out of ${label} blocks, and there are fewer`);
    target.branches++;
    this.#blocks.leadTo(target.label);
    return target;
  }

  #pop(count: number): void {
    // In code that cannot be reached there may be fewer than are taken.
    this.#height = Math.max(this.#height - count, this.#frame.base);
  }

  #push(count: number): void {
    this.#height += count;
    if (this.#height > this.#maxHeight) this.#maxHeight = this.#height;
  }
}

const NOTHING: Arity = { params: 0, results: 0 };
const ONE_RESULT: Arity = { params: 0, results: 1 };

function refused(opcode: number): Error {
  const feature = refusedFeature(opcode);
  return feature === undefined ? unknown(opcode.toString(16)) : invalidModule(`The module uses ${feature}`);
}

function unknown(opcode: string): Error {
  return invalidModule(`The module has an instruction that this node does not know: ${opcode}`);
}
