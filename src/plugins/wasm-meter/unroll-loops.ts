import { WasmReader, WasmWriter } from "../wasm-binary.ts";
import { BULK_INSTRUCTIONS, IMMEDIATE, OP, PLAIN, SIMD_INSTRUCTIONS } from "./opcodes.ts";
import { skipImmediate } from "./skip-immediate.ts";

/** Innermost loops of up to so many bytes are written twice. */
const INNER_BYTES = 400;
/** The same for those around innermost ones, before these are. */
const OUTER_BYTES = 200;
/** What unrolling may add to one function. */
const MAX_ADDED_BYTES = 64 << 10; // 64 KiB
const EMPTY_BLOCK = 0x40;

/** A function's body whose loops are unrolled. */
export interface UnrolledFunction {
  readonly body: Uint8Array;
  /** Where branches stand that were added, which cost nothing. */
  readonly added: ReadonlySet<number>;
}

/** A label of a branch. */
interface Branch {
  readonly at: number;
  /** Where the label ends. */
  readonly end: number;
  readonly label: number;
  /** How many blocks are around the one that has the label. */
  readonly depth: number;
}

interface Loop {
  readonly at: number;
  readonly bodyAt: number;
  /** How many blocks are around it. */
  readonly depth: number;
  /** Its place in the order of loops, and that of its first branch in the order of branches. */
  readonly index: number;
  readonly branch: number;
  /** What was added to the function before it. */
  readonly addedBytes: number;
  /** Where its `end` is. */
  end: number;
  /** The first loop and branch behind it. */
  nextLoop: number;
  nextBranch: number;
  /** Whether a branch leads back to it. */
  turns: boolean;
  isTwice: boolean;
}

/** A loop that is being written, and how many blocks are around its present copy that were not there. */
interface Copy {
  readonly depth: number;
  readonly addedBlocks: number;
}

interface Part {
  readonly from: number;
  readonly end: number;
  readonly loop: number;
  readonly branch: number;
}

const NONE: ReadonlySet<number> = new Set();

/**
 * Writes the body of short loops that call nothing twice, so that the meter tests the fuel once in two turns and charges them together:
 *
 *     loop BODY end   =>   block loop  block BODY br 2 end  BODY  end end
 *
 * What a turn does and costs stays the same. A branch back to the loop has the same label in both copies, and leads to the other one.
 * What falls out of the first copy leaves the loop by a branch that is added. An engine must have validated the function.
 */
export function unrollLoops(body: Uint8Array): UnrolledFunction {
  const finder = new LoopFinder(body);
  return finder.find() ? new Unroller(body, finder).unroll() : { body, added: NONE };
}

class Unroller {
  readonly #body: Uint8Array;
  readonly #loops: readonly Loop[];
  readonly #branches: readonly Branch[];
  readonly #writer: WasmWriter;
  readonly #added = new Set<number>();
  readonly #copies: Copy[] = [];

  constructor(body: Uint8Array, { loops, branches }: LoopFinder) {
    this.#body = body;
    this.#loops = loops;
    this.#branches = branches;
    this.#writer = new WasmWriter(body.length * 2);
  }

  unroll(): UnrolledFunction {
    this.#write({ from: 0, end: this.#body.length, loop: 0, branch: 0 });
    return { body: this.#writer.finish(), added: this.#added };
  }

  #write({ from, end, loop, branch }: Part): void {
    let copied = from;
    for (;;) {
      const nextLoop = this.#loops[loop]?.at ?? end;
      const next = this.#branches[branch];
      if (next !== undefined && next.at < Math.min(nextLoop, end)) {
        this.#writer.bytes(this.#body.subarray(copied, next.at)).u32(this.#labelOf(next));
        copied = next.end;
        branch++;
      } else if (nextLoop < end) {
        const inner = this.#loops[loop++]!;
        if (!inner.isTwice) continue;
        this.#writer.bytes(this.#body.subarray(copied, inner.at));
        this.#writeLoop(inner);
        copied = inner.end;
        loop = inner.nextLoop;
        branch = inner.nextBranch;
      } else break;
    }
    this.#writer.bytes(this.#body.subarray(copied, end));
  }

  /** Without the `end` of the outer block, for which the loop's own remains. */
  #writeLoop({ at, bodyAt, depth, end, index, branch }: Loop): void {
    const writer = this.#writer;
    const type = this.#body.subarray(at + 1, bodyAt);
    const body = { from: bodyAt, end, loop: index + 1, branch };
    writer.byte(OP.block).bytes(type).byte(OP.loop).bytes(type).byte(OP.block).byte(EMPTY_BLOCK);
    this.#writeCopy(body, { depth, addedBlocks: 2 });
    this.#added.add(writer.length);
    writer.byte(OP.br).u32(2).byte(OP.end);
    this.#writeCopy(body, { depth, addedBlocks: 1 });
    writer.byte(OP.end);
  }

  #writeCopy(body: Part, copy: Copy): void {
    this.#copies.push(copy);
    this.#write(body);
    this.#copies.pop();
  }

  /** Whoever leaves an unrolled loop also leaves the blocks around its copy. */
  #labelOf({ label, depth }: Branch): number {
    return this.#copies.reduce((sum, copy) => depth < copy.depth ? sum + copy.addedBlocks : sum, label);
  }
}

/** Finds what of a function to unroll. */
class LoopFinder {
  /** In the order of the code. */
  readonly loops: Loop[] = [];
  readonly branches: Branch[] = [];
  readonly #reader: WasmReader;
  /** Those around the present place: a loop, or any other. */
  readonly #blocks: (Loop | undefined)[] = [];
  #lastCall = 0;
  #addedBytes = 0;

  constructor(body: Uint8Array) {
    this.#reader = new WasmReader(body);
  }

  /** Says whether there is anything to unroll; not where there is something that this node does not run. */
  find(): boolean {
    const reader = this.#reader;
    for (let groups = reader.u32(); groups > 0; groups--) {
      reader.u32();
      reader.byte();
    }
    while (!reader.done) if (!this.#pass(reader.byte())) return false;
    return this.#addedBytes > 0;
  }

  #pass(opcode: number): boolean {
    const reader = this.#reader;
    const plain = PLAIN[opcode];
    if (plain !== undefined) {
      skipImmediate(reader, plain.immediate);
      return true;
    }
    switch (opcode) {
      case OP.block:
      case OP.if:
        reader.skipSigned();
        this.#blocks.push(undefined);
        return true;
      case OP.loop:
        this.#open();
        return true;
      case OP.end:
        this.#end();
        return true;
      case OP.br:
      case OP.brIf:
        this.#branch();
        return true;
      case OP.brTable:
        for (let labels = reader.u32(); labels >= 0; labels--) this.#branch();
        return true;
      case OP.call:
      case OP.returnCall:
        this.#lastCall = reader.offset;
        reader.u32();
        return true;
      case OP.callIndirect:
      case OP.returnCallIndirect:
        this.#lastCall = reader.offset;
        skipImmediate(reader, IMMEDIATE.twoIndices);
        return true;
      case OP.bulkPrefix:
        this.#lastCall = reader.offset;
        return this.#skipBehind(BULK_INSTRUCTIONS[reader.u32()]);
      case OP.simdPrefix:
        return this.#skipBehind(SIMD_INSTRUCTIONS[reader.u32()]);
      case OP.nop:
      case OP.unreachable:
      case OP.else:
      case OP.return:
        return true;
      default:
        return false;
    }
  }

  #skipBehind(instruction: { readonly immediate: number } | undefined): boolean {
    if (instruction !== undefined) skipImmediate(this.#reader, instruction.immediate);
    return instruction !== undefined;
  }

  #open(): void {
    const reader = this.#reader;
    const at = reader.offset - 1;
    reader.skipSigned();
    const loop: Loop = {
      at,
      bodyAt: reader.offset,
      depth: this.#blocks.length,
      index: this.loops.length,
      branch: this.branches.length,
      addedBytes: this.#addedBytes,
      end: 0,
      nextLoop: 0,
      nextBranch: 0,
      turns: false,
      isTwice: false,
    };
    this.loops.push(loop);
    this.#blocks.push(loop);
  }

  #end(): void {
    const loop = this.#blocks.pop();
    if (loop === undefined) return;
    loop.end = this.#reader.offset - 1;
    loop.nextLoop = this.loops.length;
    loop.nextBranch = this.branches.length;
    if (!this.#isShort(loop)) return;
    const added = loop.end - loop.bodyAt + this.#addedBytes - loop.addedBytes;
    if (this.#addedBytes + added > MAX_ADDED_BYTES) return;
    this.#addedBytes += added;
    loop.isTwice = true;
  }

  #isShort({ at, bodyAt, end, index, nextLoop, turns }: Loop): boolean {
    const type = this.#reader.bytes[at + 1]!;
    const takesValues = type < EMPTY_BLOCK || type >= 0x80; // the index of a type
    if (takesValues || !turns || this.#lastCall > at) return false;
    if (nextLoop === index + 1) return end - bodyAt <= INNER_BYTES;
    if (end - bodyAt > OUTER_BYTES) return false;
    return this.loops.slice(index + 1).every((inner) => inner.nextLoop === inner.index + 1);
  }

  #branch(): void {
    const at = this.#reader.offset;
    const label = this.#reader.u32();
    const depth = this.#blocks.length - 1 - label;
    this.branches.push({ at, end: this.#reader.offset, label, depth });
    const loop = this.#blocks[depth];
    if (loop !== undefined) loop.turns = true;
  }
}
