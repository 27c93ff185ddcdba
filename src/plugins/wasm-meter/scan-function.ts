import { invalidModule, WasmReader } from "../wasm-binary.ts";
import { readValueType } from "../wasm-module.ts";
import {
  BULK_BYTES_SHIFT,
  INSTRUCTION_COST,
  MEMORY_GROW_COST,
  SLOW_INSTRUCTIONS,
  TABLE_ELEMENT_SHIFT,
} from "./costs.ts";
import type { HostCost } from "./costs.ts";
import {
  BULK_BYTES,
  BULK_ELEMENTS,
  BULK_INSTRUCTIONS,
  FIRST_RELAXED,
  IMMEDIATE,
  OP,
  PLAIN,
  refusedFeature,
  SIMD_INSTRUCTIONS,
} from "./opcodes.ts";
import type { Instruction } from "./opcodes.ts";

/** How many values a function or block takes and gives. */
export interface Arity {
  readonly params: number;
  readonly results: number;
}

/** What the scanner must know of the module around a function. */
export interface ScanContext {
  readonly types: readonly Arity[];
  /** The type of every function, imported ones first. */
  readonly functionTypes: readonly number[];
  /** The costs of the imported functions. */
  readonly hostCosts: readonly HostCost[];
}

/** Something to be put into a function's code, or in place of a part of it. */
export interface Site {
  /** Where in the function's body. */
  readonly at: number;
  readonly kind: SiteKind;
  /** A cost, a shift or a number of labels, as the kind says. */
  value: number;
}

export type SiteKind =
  /** The function begins; `value` is the cost of its first block. */
  | "enter"
  /** A basic block begins; `value` is its cost. */
  | "charge"
  /** The same at the head of a loop, where the fuel is tested too. */
  | "loop"
  /** A loop that nothing branches to: its cost was added elsewhere. */
  | "merged"
  /** The fuel is written back, and read again behind the call. */
  | "save"
  | "restore"
  /** A `return`, one byte, becomes a branch out of `value` labels. */
  | "return"
  /** The function is left by a call in its place. */
  | "tail"
  /** The number on top of the stack, shifted right by `value`, is charged. */
  | "bulk"
  /** The same for 32 and 64 bits, for an allocation of the host's. */
  | "length32"
  | "length64"
  /** Before and behind `memory.grow`. */
  | "grow"
  | "grown";

/** What a function's code needs to be metered. */
export interface ScannedFunction {
  /** In the order of the code. The first is the function's entry. */
  readonly sites: readonly Site[];
  /** The local variables that it declares beside its parameters, and where its code begins behind the declarations. */
  readonly locals: number;
  readonly localGroups: number;
  readonly localsAt: number;
  readonly codeAt: number;
  /** Whether it calls anything that may call again. */
  readonly calls: boolean;
  /** Whether code may leave it other than over its end. */
  readonly leavesEarly: boolean;
  /** What it takes of the stack: values at the most, parameters and locals included. */
  readonly frameSlots: number;
  readonly usesRelaxedSimd: boolean;
}

const EMPTY_BLOCK = 0x40;
const V128 = 0x7b;
const FRAME_SLOTS = 6; // return address, frame pointer, instance and what an engine keeps beside the values
const MAX_LOCALS = 50_000; // as engines have it

interface Frame {
  readonly opcode: number;
  readonly params: number;
  readonly results: number;
  /** Height of the operand stack below the parameters. */
  readonly base: number;
  /** Whether its beginning can be reached. */
  readonly reached: boolean;
  /** Whether a branch leads to its label. */
  targeted: boolean;
  /** For `if`: whether the arm before `else` runs over its end. */
  fallsThrough: boolean;
  hasElse: boolean;
  /** For `loop`: its site, and the basic block before it. */
  readonly site: Site | undefined;
  readonly before: Site | undefined;
}

/**
 * Reads the body of a function that an engine has validated, and finds its basic blocks with their exact costs. Throws `module_invalid`
 * for what this node does not run.
 */
export function scanFunction(body: Uint8Array, type: Arity, context: ScanContext): ScannedFunction {
  return new Scanner(body, type, context).scan();
}

class Scanner {
  readonly #reader: WasmReader;
  readonly #context: ScanContext;
  readonly #type: Arity;
  readonly #sites: Site[] = [];
  readonly #frames: Frame[] = [];
  #frame: Frame;
  /** The basic block that instructions count into; undefined where code cannot be reached. */
  #block: Site | undefined;
  #height = 0;
  #maxHeight = 0;
  #calls = false;
  #returns = false;
  #usesSimd = false;
  #usesRelaxedSimd = false;

  constructor(body: Uint8Array, type: Arity, context: ScanContext) {
    this.#reader = new WasmReader(body);
    this.#context = context;
    this.#type = type;
    this.#frame = frame(OP.block, { params: 0, results: type.results }, { base: 0, reached: true });
  }

  scan(): ScannedFunction {
    const reader = this.#reader;
    const { locals, groups, localsAt } = this.#locals();
    const codeAt = reader.offset;
    this.#frames.push(this.#frame);
    this.#block = this.#add("enter", codeAt, 0);
    while (this.#frames.length > 0) this.#instruction(reader.byte());
    if (!reader.done) throw invalidModule("The module has bytes behind the end of a function");
    const values = this.#type.params + locals + this.#maxHeight;
    return {
      sites: this.#sites,
      locals,
      localGroups: groups,
      localsAt,
      codeAt,
      calls: this.#calls,
      leavesEarly: this.#frame.targeted || this.#returns,
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
        this.#count(INSTRUCTION_COST);
        this.#target(reader.u32());
        return this.#stop();
      case OP.brIf:
        this.#count(INSTRUCTION_COST);
        this.#pop(1);
        this.#target(reader.u32());
        if (this.#block !== undefined) this.#begin("charge");
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
        this.#add("return", reader.offset - 1, this.#frames.length - 1);
        return this.#stop();
      case OP.unreachable:
        this.#count(INSTRUCTION_COST);
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
    this.#immediate(immediate);
    this.#pop(pops);
    this.#push(pushes);
  }

  #immediate(kind: number): void {
    const reader = this.#reader;
    switch (kind) {
      case IMMEDIATE.index:
        reader.u32();
        return;
      case IMMEDIATE.twoIndices:
        reader.u32();
        reader.u32();
        return;
      case IMMEDIATE.memory:
      case IMMEDIATE.memoryLane:
        if (reader.u32() >= 0x40) throw invalidModule("The module has several memories, and this node runs one");
        reader.u32();
        if (kind === IMMEDIATE.memoryLane) reader.byte();
        return;
      case IMMEDIATE.signed:
        return reader.skipSigned();
      case IMMEDIATE.bytes4:
        return void reader.slice(4);
      case IMMEDIATE.bytes8:
        return void reader.slice(8);
      case IMMEDIATE.bytes16:
        return void reader.slice(16);
      case IMMEDIATE.lane:
        return void reader.byte();
      case IMMEDIATE.types:
        for (let rest = reader.u32(); rest > 0; rest--) readValueType(reader);
    }
  }

  #open(opcode: number): void {
    const type = this.#blockType();
    if (opcode === OP.if) {
      this.#count(INSTRUCTION_COST);
      this.#pop(1);
    }
    const base = Math.max(this.#height - type.params, this.#frame.base);
    const before = this.#block;
    const reached = before !== undefined;
    let site: Site | undefined;
    if (reached && opcode !== OP.block) site = this.#begin(opcode === OP.loop ? "loop" : "charge");
    this.#frame = frame(opcode, type, { base, reached, site, before });
    this.#frames.push(this.#frame);
    this.#height = base;
    this.#push(type.params);
  }

  #else(): void {
    const { reached, base, params } = this.#frame;
    this.#frame.hasElse = true;
    this.#frame.fallsThrough = this.#block !== undefined;
    this.#height = base;
    this.#push(params);
    this.#block = undefined;
    if (reached) this.#begin("charge");
  }

  #end(): void {
    const ended = this.#frames.pop()!;
    const isReached = this.#block !== undefined;
    this.#height = ended.base;
    if (this.#frames.length === 0) return;
    this.#frame = this.#frames[this.#frames.length - 1]!;
    this.#push(ended.results);
    switch (ended.opcode) {
      case OP.loop:
        // A loop that nothing branches back to is no loop; its code belongs to the block before.
        if (!ended.targeted && ended.site !== undefined && ended.before !== undefined) {
          ended.before.value += ended.site.value;
          this.#merge(ended.site, ended.before);
        }
        return;
      case OP.if: {
        const skips = ended.reached && !ended.hasElse;
        this.#block = undefined;
        if (isReached || skips || ended.fallsThrough || ended.targeted) this.#begin("charge");
        return;
      }
      default:
        if (ended.targeted) this.#begin("charge");
    }
  }

  /** Lets a block's later instructions count into another one. */
  #merge(site: Site, into: Site): void {
    site.value = 0;
    (site as { kind: SiteKind }).kind = "merged";
    if (this.#block === site) this.#block = into;
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
    const touchesFuel = host === undefined || host.hostCharges;
    if (touchesFuel) this.#add("save", at, 0);
    this.#pop(type.params);
    this.#push(type.results);
    if (touchesFuel) this.#add("restore", this.#reader.offset, 0);
    if (host === undefined) this.#calls = true;
  }

  #callIndirect(at: number): void {
    const type = this.#typeAt(this.#reader.u32());
    this.#reader.u32();
    this.#count(SLOW_INSTRUCTIONS.get(OP.callIndirect)!);
    this.#add("save", at, 0);
    this.#pop(1 + type.params);
    this.#push(type.results);
    this.#add("restore", this.#reader.offset, 0);
    this.#calls = true;
  }

  #tail(at: number): void {
    this.#count(INSTRUCTION_COST);
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

  #add(kind: SiteKind, at: number, value: number): Site {
    const site = { kind, at, value };
    this.#sites.push(site);
    return site;
  }

  /** A basic block begins behind the instruction that was just read. */
  #begin(kind: "charge" | "loop"): Site {
    return this.#block = this.#add(kind, this.#reader.offset, 0);
  }

  /** What follows cannot be reached before a label. */
  #stop(): void {
    this.#block = undefined;
    this.#height = this.#frame.base;
  }

  #count(cost: number): void {
    if (this.#block !== undefined) this.#block.value += cost;
  }

  #target(label: number): void {
    const target = this.#frames[this.#frames.length - 1 - label];
    if (target === undefined) throw invalidModule(`The module branches out of ${label} blocks, and there are fewer`);
    target.targeted = true;
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
  { base, reached, site, before }: {
    base: number;
    reached: boolean;
    site?: Site | undefined;
    before?: Site | undefined;
  },
): Frame {
  return {
    opcode,
    params,
    results,
    base,
    reached,
    targeted: false,
    fallsThrough: false,
    hasElse: false,
    site,
    before,
  };
}

function refused(opcode: number): Error {
  const feature = refusedFeature(opcode);
  return feature === undefined ? unknown(opcode.toString(16)) : invalidModule(`The module uses ${feature}`);
}

function unknown(opcode: string): Error {
  return invalidModule(`The module has an instruction that this node does not know: ${opcode}`);
}
