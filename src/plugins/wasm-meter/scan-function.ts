import { invalidModule, WasmReader } from "../wasm-binary.ts";
import { readValueType } from "../wasm-module.ts";
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
import type { Arity, ScanContext, ScannedFunction, Site, SiteKind } from "./scanned-function.ts";
import { skipImmediate } from "./skip-immediate.ts";
import type { UnrolledFunction } from "./unroll-loops.ts";
import { ChargePlaces, SETTLED } from "./place-charges.ts";
import type { ChargedBlock } from "./place-charges.ts";

const EMPTY_BLOCK = 0x40;
const V128 = 0x7b;
/** How often a loop is thought to run; that of nested ones multiplies to at most {@link MAX_WEIGHT}. */
const LOOP_TURNS = 8;
const MAX_WEIGHT = 2 ** 60;
const FRAME_SLOTS = 6; // return address, frame pointer, instance and what an engine keeps beside the values
const MAX_LOCALS = 50_000; // as engines have it

/** A basic block while its function is read. */
interface Block extends ChargedBlock {
  kind: "enter" | "charge" | "loop";
  readonly at: number;
}

/** A place in a basic block at which it matters how much fuel there seems to be. */
interface Inner {
  kind: SiteKind;
  readonly at: number;
  readonly value: number;
  readonly block: Block | undefined;
}

interface Frame {
  readonly opcode: number;
  readonly params: number;
  readonly results: number;
  /** Height of the operand stack below the parameters. */
  readonly base: number;
  /** Whether its beginning can be reached. */
  readonly reached: boolean;
  /** How many branches lead to its label. */
  branches: number;
  /** For `loop`: the place before a `br` that leads back to it. */
  back: Inner | undefined;
  /** For `if`: whether the arm before `else` runs over its end. */
  fallsThrough: boolean;
  hasElse: boolean;
  /** Where branches to its label lead. */
  readonly label: number;
  /** For `loop`: the basic block that it begins with; for `if` the one before it. */
  readonly block: Block | undefined;
  /** How often it is run, as a guess. */
  readonly weight: number;
}

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
  readonly #sites: (Block | Inner)[] = [];
  readonly #blocks: Block[] = [];
  readonly #places = new ChargePlaces();
  readonly #frames: Frame[] = [];
  #frame: Frame;
  /** The basic block that instructions count into; undefined where code cannot be reached. */
  #block: Block | undefined;
  /** How often the code is run, as a guess. */
  #weight = 1;
  #height = 0;
  #maxHeight = 0;
  #calls = false;
  #returns = false;
  #usesSimd = false;
  #usesRelaxedSimd = false;

  constructor({ body, added }: UnrolledFunction, type: Arity, context: ScanContext) {
    this.#reader = new WasmReader(body);
    this.#added = added;
    this.#context = context;
    this.#type = type;
    this.#frame = frame(OP.block, { params: 0, results: type.results }, {
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
    this.#block = this.#begin("enter", SETTLED);
    while (this.#frames.length > 0) this.#instruction(reader.byte());
    if (!reader.done) throw invalidModule("The module has bytes behind the end of a function");
    const values = this.#type.params + locals + this.#maxHeight;
    this.#places.settle(this.#blocks);
    return {
      sites: this.#sites.map(siteOf),
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
      this.#count(SLOW_INSTRUCTIONS.get(opcode) ?? INSTRUCTION_COST);
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
        this.#count(INSTRUCTION_COST);
        this.#pop(1);
        this.#target(reader.u32());
        this.#weight /= 2;
        if (this.#block !== undefined) this.#begin("charge", this.#block.after);
        return;
      case OP.brTable: {
        this.#count(INSTRUCTION_COST);
        const labels = reader.u32();
        for (let i = 0; i <= labels; i++) this.#target(reader.u32());
        return this.#stop();
      }
      case OP.return:
        this.#count(INSTRUCTION_COST);
        this.#returns = true;
        this.#leadTo(SETTLED);
        this.#runAtMost(1);
        this.#add("return", reader.offset - 1, this.#frames.length - 1);
        return this.#stop();
      case OP.unreachable:
        this.#count(INSTRUCTION_COST);
        if (this.#block !== undefined) this.#block.weight = 0;
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
        this.#count(SLOW_INSTRUCTIONS.get(opcode)! - INSTRUCTION_COST);
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
      this.#count(INSTRUCTION_COST);
      this.#pop(1);
    }
    const base = Math.max(this.#height - type.params, this.#frame.base);
    const weight = this.#weight;
    let block = this.#block;
    const reached = block !== undefined;
    let label = this.#places.add();
    if (opcode === OP.loop) {
      this.#weight = Math.min(weight * LOOP_TURNS, MAX_WEIGHT);
      if (block !== undefined) block = this.#begin("loop", label = block.after);
    } else if (opcode === OP.if) {
      this.#weight /= 2;
      if (block !== undefined) this.#begin("charge", block.after);
    }
    this.#frame = frame(opcode, type, { base, reached, label, block, weight });
    this.#frames.push(this.#frame);
    this.#height = base;
    this.#push(type.params);
  }

  #else(): void {
    const { block, base, params, label, weight } = this.#frame;
    this.#frame.hasElse = true;
    this.#frame.fallsThrough = this.#block !== undefined;
    this.#leadTo(label);
    this.#height = base;
    this.#push(params);
    this.#weight = weight / 2;
    this.#block = undefined;
    if (block !== undefined) this.#begin("charge", block.after);
  }

  #end(): void {
    const ended = this.#frames.pop()!;
    const isReached = this.#block !== undefined;
    this.#runAtMost(ended.weight);
    this.#height = ended.base;
    this.#weight = ended.weight;
    if (this.#frames.length === 0) return this.#leadTo(SETTLED);
    this.#frame = this.#frames[this.#frames.length - 1]!;
    this.#push(ended.results);
    switch (ended.opcode) {
      case OP.loop:
        return this.#endLoop(ended);
      case OP.if:
        if (ended.block !== undefined && !ended.hasElse) this.#places.join(ended.block.after, ended.label);
        if (isReached || (ended.reached && !ended.hasElse) || ended.fallsThrough || ended.branches > 0) {
          this.#meet(ended.label);
        }
        return;
      default:
        if (ended.branches > 0) this.#meet(ended.label);
    }
  }

  #endLoop({ block, branches, back }: Frame): void {
    if (block === undefined) return;
    // One that nothing branches back to is no loop; one that turns in one place is tested there.
    if (branches === 0 || (branches === 1 && back !== undefined)) block.kind = "charge";
    if (branches === 1 && back !== undefined) back.kind = "test";
  }

  /** A `br`. */
  #leap(at: number): void {
    if (!this.#added.has(at)) this.#count(INSTRUCTION_COST);
    const target = this.#target(this.#reader.u32());
    if (target.opcode === OP.loop) target.back = this.#add("charge", at, 0);
    else this.#runAtMost(target.weight);
    this.#stop();
  }

  /** The present block goes on where others do, and another one begins there. */
  #meet(label: number): void {
    this.#leadTo(label);
    this.#begin("charge", label);
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
    this.#count(host?.cost ?? INSTRUCTION_COST);
    if (host?.chargesLength !== undefined) this.#add(host.chargesLength === "i32" ? "length32" : "length64", at, 3);
    if (host === undefined || host.hostCharges) this.#settleAround(at);
    this.#pop(type.params);
    this.#push(type.results);
    if (host === undefined) this.#calls = true;
  }

  #callIndirect(at: number): void {
    const type = this.#typeAt(this.#reader.u32());
    this.#reader.u32();
    this.#count(SLOW_INSTRUCTIONS.get(OP.callIndirect)!);
    this.#settleAround(at);
    this.#pop(1 + type.params);
    this.#push(type.results);
    this.#calls = true;
  }

  /** What was spent is written back before the call that was just read, and the fuel read again behind it. */
  #settleAround(at: number): void {
    this.#leadTo(SETTLED);
    this.#add("save", at, 0);
    this.#add("restore", this.#reader.offset, 0);
    if (this.#block !== undefined) this.#begin("charge", SETTLED);
  }

  #tail(at: number): void {
    this.#count(INSTRUCTION_COST);
    this.#leadTo(SETTLED);
    this.#add("tail", at, 0);
    this.#calls = true;
  }

  #grow(): void {
    this.#count(MEMORY_GROW_COST);
    this.#add("grow", this.#reader.offset - 1, 0);
    this.#reader.u32();
    this.#add("grown", this.#reader.offset, 0);
  }

  #bulk(): void {
    const at = this.#reader.offset - 1;
    const code = this.#reader.u32();
    const instruction = BULK_INSTRUCTIONS[code];
    if (instruction === undefined) throw unknown(`fc ${code}`);
    this.#count(INSTRUCTION_COST);
    if (BULK_BYTES.includes(code)) this.#add("bulk", at, BULK_BYTES_SHIFT);
    if (BULK_ELEMENTS.includes(code)) this.#add("bulk", at, TABLE_ELEMENT_SHIFT);
    this.#plain(instruction);
  }

  #simd(): void {
    const code = this.#reader.u32();
    const instruction = SIMD_INSTRUCTIONS[code];
    if (instruction === undefined) throw unknown(`fd ${code}`);
    this.#usesSimd = true;
    if (code >= FIRST_RELAXED) this.#usesRelaxedSimd = true;
    this.#count(INSTRUCTION_COST);
    this.#plain(instruction);
  }

  #add(kind: SiteKind, at: number, value: number): Inner {
    const site = { kind, at, value, block: this.#block };
    this.#sites.push(site);
    return site;
  }

  /** A basic block begins behind the instruction that was just read. */
  #begin(kind: Block["kind"], before: number): Block {
    const block = {
      kind,
      at: this.#reader.offset,
      before,
      after: this.#places.add(),
      value: 0,
      weight: this.#weight,
      debt: 0,
    };
    this.#sites.push(block);
    this.#blocks.push(block);
    return this.#block = block;
  }

  /** The present block, if there is one, can go on at a place. */
  #leadTo(place: number): void {
    if (this.#block !== undefined) this.#places.join(this.#block.after, place);
  }

  /** The present block leaves what is run so often. */
  #runAtMost(weight: number): void {
    if (this.#block !== undefined && this.#block.weight > weight) this.#block.weight = weight;
  }

  /** What follows cannot be reached before a label. */
  #stop(): void {
    this.#block = undefined;
    this.#height = this.#frame.base;
  }

  #count(cost: number): void {
    if (this.#block !== undefined) this.#block.value += cost;
  }

  #target(label: number): Frame {
    const target = this.#frames[this.#frames.length - 1 - label];
    if (target === undefined) throw invalidModule(`The module branches out of ${label} blocks, and there are fewer`);
    target.branches++;
    this.#leadTo(target.label);
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

function frame(
  opcode: number,
  { params, results }: Arity,
  place: Pick<Frame, "base" | "reached" | "label" | "weight"> & { readonly block?: Block | undefined },
): Frame {
  return {
    block: undefined,
    ...place,
    opcode,
    params,
    results,
    branches: 0,
    back: undefined,
    fallsThrough: false,
    hasElse: false,
  };
}

/** What is known of a place when all blocks are. */
function siteOf(site: Block | Inner): Site {
  const { kind, at, value } = site;
  return { kind, at, value, debt: ("block" in site ? site.block : site)?.debt ?? 0 };
}

function refused(opcode: number): Error {
  const feature = refusedFeature(opcode);
  return feature === undefined ? unknown(opcode.toString(16)) : invalidModule(`The module uses ${feature}`);
}

function unknown(opcode: string): Error {
  return invalidModule(`The module has an instruction that this node does not know: ${opcode}`);
}
