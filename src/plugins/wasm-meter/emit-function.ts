import { WasmWriter } from "../wasm-binary.ts";
import { PAGE_COST } from "./costs.ts";
import { OP } from "./opcodes.ts";
import type { ScannedFunction, Site } from "./scanned-function.ts";

/** The indices of the globals that the meter adds. */
export interface MeterGlobals {
  /** i64: instructions that may still be spent; negative when they are. */
  readonly fuel: number;
  /** i32: stack slots that may still be taken; negative when they are. */
  readonly depth: number;
  /** i32: pages of the last growth of the memory that failed, 0 when none did. */
  readonly denied: number;
}

export interface EmitOptions {
  readonly globals: MeterGlobals;
  readonly params: number;
  /** The type of a block that gives what the function gives, as the format writes it. */
  readonly resultBlock: Uint8Array;
}

/** A frame that takes more of the stack is counted even when its function calls nothing. */
const LEAF_SLOTS = 64;
const I32 = 0x7f;
const I64 = 0x7e;
const EMPTY = 0x40;

/** Instructions that the meter puts in. */
const CODE = {
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  i32Const: 0x41,
  i64Const: 0x42,
  i32Eq: 0x46,
  i64LtSigned: 0x53,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i64Add: 0x7c,
  i64Sub: 0x7d,
  i64Mul: 0x7e,
  i64Or: 0x84,
  i64ShiftRight: 0x88,
  i64FromI32Signed: 0xac,
  i64FromI32Unsigned: 0xad,
} as const;

/**
 * Writes a function's body with its charges put in, without its size. Where it has more than one basic block the fuel lies in a local
 * variable between calls. It is tested where the function begins, once in every turn of a loop and before bulk work, so what cannot
 * be stopped is bounded by the length of the code.
 */
export function emitFunction(
  body: Uint8Array,
  scanned: ScannedFunction,
  options: EmitOptions,
): Uint8Array<ArrayBuffer> {
  return new Emitter(body, scanned, options).emit();
}

class Emitter {
  readonly #body: Uint8Array;
  readonly #scanned: ScannedFunction;
  readonly #options: EmitOptions;
  readonly #writer: WasmWriter;
  /** Added local variables. */
  readonly #fuel: number;
  readonly #wide: number;
  readonly #count: number;
  readonly #result: number;
  readonly #countsDepth: boolean;

  constructor(body: Uint8Array, scanned: ScannedFunction, options: EmitOptions) {
    this.#body = body;
    this.#scanned = scanned;
    this.#options = options;
    this.#writer = new WasmWriter(body.length + scanned.sites.length * 12 + 64);
    this.#fuel = options.params + scanned.locals;
    const uses = (kind: Site["kind"]): boolean => scanned.sites.some((site) => site.kind === kind);
    this.#wide = this.#fuel + 1;
    this.#count = this.#wide + (uses("length64") ? 1 : 0);
    this.#result = this.#count + 1;
    this.#countsDepth = scanned.calls || scanned.frameSlots > LEAF_SLOTS;
  }

  emit(): Uint8Array<ArrayBuffer> {
    const [enter, ...rest] = this.#scanned.sites;
    const isOneBlock = rest.every((site) => site.kind === "return" || isFree(site));
    if (isOneBlock && !this.#countsDepth) return this.#emitOneBlock(enter!.value);
    return this.#emitBlocks(enter!.value, rest);
  }

  /** A function that is charged once: it runs to its end or traps. */
  #emitOneBlock(cost: number): Uint8Array<ArrayBuffer> {
    const { codeAt } = this.#scanned;
    const { fuel } = this.#options.globals;
    const writer = this.#writer.bytes(this.#body.subarray(0, codeAt));
    if (cost !== 0) {
      writer.byte(CODE.globalGet).u32(fuel).byte(CODE.i64Const).signed(cost).byte(CODE.i64Sub);
      writer.byte(CODE.globalSet).u32(fuel);
    }
    return writer.bytes(this.#body.subarray(codeAt)).finish();
  }

  #emitBlocks(entryCost: number, sites: readonly Site[]): Uint8Array<ArrayBuffer> {
    const { codeAt, leavesEarly } = this.#scanned;
    const body = this.#body;
    const writer = this.#writer;
    this.#declareLocals();
    this.#enter(entryCost);
    // Whoever leaves the function branches to the end of this block, which has the label that the function had.
    if (leavesEarly) writer.byte(OP.block).bytes(this.#options.resultBlock);
    let copied = codeAt;
    for (const site of sites) {
      writer.bytes(body.subarray(copied, site.at));
      copied = site.at;
      if (site.kind === "return") copied++;
      this.#put(site);
    }
    // The last byte is the function's `end`.
    writer.bytes(body.subarray(copied, body.length - 1));
    if (leavesEarly) writer.byte(OP.end);
    this.#leave();
    return writer.byte(OP.end).finish();
  }

  #declareLocals(): void {
    const { localGroups, localsAt, codeAt, sites } = this.#scanned;
    const narrow = sites.some(({ kind }) => kind === "bulk" || kind === "grow" || kind === "length32");
    this.#writer.u32(localGroups + (narrow ? 2 : 1)).bytes(this.#body.subarray(localsAt, codeAt));
    this.#writer.u32(this.#count - this.#fuel).byte(I64);
    if (narrow) this.#writer.u32(2).byte(I32);
  }

  #enter(cost: number): void {
    const writer = this.#writer;
    const { fuel, depth } = this.#options.globals;
    if (this.#countsDepth) this.#moveDepth(CODE.i32Sub);
    if (!this.#countsDepth) {
      writer.byte(CODE.globalGet).u32(fuel);
      if (cost !== 0) writer.byte(CODE.i64Const).signed(cost).byte(CODE.i64Sub);
      writer.byte(CODE.localSet).u32(this.#fuel);
      return;
    }
    // Either is negative when the sign of both together is.
    writer.byte(CODE.globalGet).u32(fuel).byte(CODE.localTee).u32(this.#fuel).byte(CODE.globalGet).u32(depth);
    writer.byte(CODE.i64FromI32Signed).byte(CODE.i64Or).byte(CODE.i64Const).signed(0).byte(CODE.i64LtSigned);
    writer.byte(OP.if).byte(EMPTY).byte(OP.unreachable).byte(OP.end);
    this.#pay(cost);
  }

  #put(site: Site): void {
    const { kind, value } = site;
    const writer = this.#writer;
    const { fuel, denied } = this.#options.globals;
    switch (kind) {
      case "enter":
        return;
      case "charge":
        return this.#pay(value);
      case "loop":
        // Tested before it is charged: V8's code of a loop that does nothing else but add is faster so.
        writer.byte(CODE.localGet).u32(this.#fuel);
        this.#stopBelow(site.debt + value);
        return this.#pay(value);
      case "test":
        writer.byte(CODE.localGet).u32(this.#fuel);
        return this.#stopBelow(site.debt);
      case "save":
        writer.byte(CODE.localGet).u32(this.#fuel).byte(CODE.globalSet).u32(fuel);
        return;
      case "restore":
        writer.byte(CODE.globalGet).u32(fuel).byte(CODE.localSet).u32(this.#fuel);
        return;
      case "return":
        writer.byte(OP.br).u32(value);
        return;
      case "tail":
        return this.#leave();
      case "bulk":
      case "length32":
        return this.#chargeCount(site);
      case "length64":
        return this.#chargeLength(value);
      case "grow":
        writer.byte(CODE.localTee).u32(this.#count);
        return;
      case "grown":
        writer.byte(CODE.localTee).u32(this.#result).byte(CODE.i32Const).signed(-1).byte(CODE.i32Eq);
        writer.byte(OP.if).byte(EMPTY);
        writer.byte(CODE.localGet).u32(this.#count).byte(CODE.globalSet).u32(denied);
        writer.byte(OP.else);
        writer.byte(CODE.localGet).u32(this.#fuel).byte(CODE.localGet).u32(this.#count).byte(CODE.i64FromI32Unsigned);
        writer.byte(CODE.i64Const).signed(PAGE_COST).byte(CODE.i64Mul).byte(CODE.i64Sub);
        writer.byte(CODE.localSet).u32(this.#fuel);
        writer.byte(OP.end).byte(CODE.localGet).u32(this.#result);
    }
  }

  #pay(cost: number): void {
    if (cost === 0) return;
    const writer = this.#writer.byte(CODE.localGet).u32(this.#fuel).byte(CODE.i64Const).signed(cost).byte(CODE.i64Sub);
    writer.byte(CODE.localSet).u32(this.#fuel);
  }

  /** Charges the 32-bit number on top of the stack, which stays there, and tests. */
  #chargeCount(site: Site): void {
    const writer = this.#writer;
    writer.byte(CODE.localTee).u32(this.#count).byte(CODE.localGet).u32(this.#fuel);
    writer.byte(CODE.localGet).u32(this.#count).byte(CODE.i64FromI32Unsigned);
    if (site.value > 0) this.#shiftUp(site.value);
    writer.byte(CODE.i64Sub).byte(CODE.localTee).u32(this.#fuel);
    this.#stopBelow(site.debt);
  }

  /** Charges the 64-bit number on top of the stack, which stays there. */
  #chargeLength(shift: number): void {
    const writer = this.#writer;
    writer.byte(CODE.localTee).u32(this.#wide).byte(CODE.localGet).u32(this.#fuel).byte(CODE.localGet).u32(this.#wide);
    this.#shiftUp(shift);
    writer.byte(CODE.i64Sub).byte(CODE.localSet).u32(this.#fuel);
  }

  /** Divides the 64-bit number on top of the stack by a power of two, rounding up. */
  #shiftUp(shift: number): void {
    this.#writer.byte(CODE.i64Const).signed(2 ** shift - 1).byte(CODE.i64Add);
    this.#writer.byte(CODE.i64Const).signed(shift).byte(CODE.i64ShiftRight);
  }

  /**
   * Takes the fuel on top of the stack, and stops the plugin when there is less than what it owes there. The global becomes a
   * constant then: writing the local variable to it, or a branch to one trap for all, made V8's code of tight loops slower.
   */
  #stopBelow(owed: number): void {
    const writer = this.#writer.byte(CODE.i64Const).signed(owed).byte(CODE.i64LtSigned).byte(OP.if).byte(EMPTY);
    writer.byte(CODE.i64Const).signed(-1).byte(CODE.globalSet).u32(this.#options.globals.fuel);
    writer.byte(OP.unreachable).byte(OP.end);
  }

  #moveDepth(operation: number): void {
    const { depth } = this.#options.globals;
    this.#writer.byte(CODE.globalGet).u32(depth).byte(CODE.i32Const).signed(this.#scanned.frameSlots).byte(operation);
    this.#writer.byte(CODE.globalSet).u32(depth);
  }

  #leave(): void {
    this.#writer.byte(CODE.localGet).u32(this.#fuel).byte(CODE.globalSet).u32(this.#options.globals.fuel);
    if (this.#countsDepth) this.#moveDepth(CODE.i32Add);
  }
}

/** Whether nothing is put into the code there. */
function isFree({ kind, value }: Site): boolean {
  return kind === "charge" && value === 0;
}
