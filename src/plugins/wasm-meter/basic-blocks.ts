import type { WasmReader } from "../wasm-binary.ts";
import { ChargePlaces } from "./place-charges.ts";
import type { ChargedBlock } from "./place-charges.ts";
import type { Site, SiteKind } from "./scanned-function.ts";

/** How often a loop is thought to run; that of nested ones multiplies to at most {@link MAX_WEIGHT}. */
const LOOP_TURNS = 8;
const MAX_WEIGHT = 2 ** 60;

/** A basic block while its function is read. */
export interface BasicBlock extends ChargedBlock {
  kind: "enter" | "charge" | "loop";
  readonly at: number;
}

/** A place in a basic block at which it matters how much fuel there seems to be. */
export interface InnerSite {
  kind: SiteKind;
  readonly at: number;
  readonly value: number;
  readonly block: BasicBlock | undefined;
}

/** The basic blocks of a function that is being read, and the places in them that matter, in the order of the code. */
export class BasicBlocks {
  readonly #reader: WasmReader;
  readonly #sites: (BasicBlock | InnerSite)[] = [];
  readonly #blocks: BasicBlock[] = [];
  readonly #places = new ChargePlaces();
  #current: BasicBlock | undefined;
  #weight = 1;

  constructor(reader: WasmReader) {
    this.#reader = reader;
  }

  /** The one that instructions count into; undefined where code cannot be reached. */
  get current(): BasicBlock | undefined {
    return this.#current;
  }

  /** How often the present code is run, as a guess. */
  get weight(): number {
    return this.#weight;
  }

  set weight(weight: number) {
    this.#weight = Math.min(weight, MAX_WEIGHT);
  }

  /** A place in the code that nothing leads to yet. */
  addPlace(): number {
    return this.#places.add();
  }

  /** A block begins at a place, behind the instruction that was just read. */
  begin(place: number, kind: BasicBlock["kind"] = "charge"): BasicBlock {
    const at = this.#reader.offset;
    const after = this.#places.add();
    const block = { kind, at, before: place, after, value: 0, weight: this.#weight, debt: 0 };
    this.#sites.push(block);
    this.#blocks.push(block);
    return this.#current = block;
  }

  /** The present block goes on where others do, and another one begins there. */
  meet(place: number, kind: BasicBlock["kind"] = "charge"): BasicBlock {
    this.leadTo(place);
    return this.begin(place, kind);
  }

  /** The same at the head of a loop; not where code cannot be reached. */
  beginLoop(place: number): BasicBlock | undefined {
    this.weight *= LOOP_TURNS;
    return this.#current === undefined ? undefined : this.meet(place, "loop");
  }

  /** The present block ends with a branch, and what follows it is one of two ways. */
  beginArm(): void {
    this.#weight /= 2;
    if (this.#current !== undefined) this.begin(this.#current.after);
  }

  /** The present block, if there is one, goes on at a place. */
  leadTo(place: number): void {
    if (this.#current !== undefined) this.join(this.#current.after, place);
  }

  /** Says that two places are one. */
  join(a: number, b: number): void {
    this.#places.join(a, b);
  }

  /** The present block leaves what is run so often. */
  runAtMost(weight: number): void {
    if (this.#current !== undefined && this.#current.weight > weight) this.#current.weight = weight;
  }

  /** What follows cannot be reached. */
  stop(): void {
    this.#current = undefined;
  }

  count(cost: number): void {
    if (this.#current !== undefined) this.#current.value += cost;
  }

  add(kind: SiteKind, { at, value = 0 }: { readonly at: number; readonly value?: number }): InnerSite {
    const site = { kind, at, value, block: this.#current };
    this.#sites.push(site);
    return site;
  }

  /** What is known of all places when the function ends, which it does where nothing is owed. */
  settle(): Site[] {
    this.#places.settle(this.#blocks);
    return this.#sites.map(siteOf);
  }
}

function siteOf(site: BasicBlock | InnerSite): Site {
  const { kind, at, value } = site;
  return { kind, at, value, debt: ("block" in site ? site.block : site)?.debt ?? 0 };
}
