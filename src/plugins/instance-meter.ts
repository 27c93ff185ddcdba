import { METER_EXPORTS } from "./prepare-module.ts";

/** Thrown through the plugin by the host when what it asks for is more than it may still spend. */
export class BudgetIsOver extends Error {}

/**
 * How many stack slots a call may have in use; a slot is some 8 bytes, as `wasm-meter/` estimates them. Well below where the thread's
 * own stack ends on either runtime, so that a recursion ends at the same depth everywhere.
 */
export const STACK_SLOTS = 50_000;

/** The counters of one instance: what it may spend, and why it stopped. */
export class InstanceMeter {
  #fuel: WebAssembly.Global<"i64"> | undefined;
  #depth: WebAssembly.Global<"i32"> | undefined;
  #denied: WebAssembly.Global<"i32"> | undefined;
  #budget = 0;
  /** The same as a bigint, which most calls need again. */
  #fuelAtFirst = 0n;

  /** The counters of an instance, known only once it exists. */
  attach(exports: WebAssembly.Exports): void {
    this.#fuel = exports[METER_EXPORTS.fuel] as WebAssembly.Global<"i64">;
    this.#depth = exports[METER_EXPORTS.depth] as WebAssembly.Global<"i32">;
    this.#denied = exports[METER_EXPORTS.denied] as WebAssembly.Global<"i32">;
  }

  /** Allows this many instructions from now on. */
  begin(budget: number): void {
    if (budget !== this.#budget) {
      this.#budget = budget;
      this.#fuelAtFirst = BigInt(budget);
    }
    this.#fuel!.value = this.#fuelAtFirst;
    this.#depth!.value = STACK_SLOTS;
    this.#denied!.value = 0;
  }

  /** Charges work that the host does for the plugin. Throws when the budget is over. */
  charge(instructions: number): void {
    const left = this.#fuel!.value - BigInt(Math.ceil(instructions));
    this.#fuel!.value = left;
    if (left < 0n) throw new BudgetIsOver();
  }

  /** Instructions since {@link begin}; at most the budget. */
  get spent(): number {
    return this.#budget - Math.max(0, this.left);
  }

  /** Instructions that the plugin may still spend; below zero when it wanted to spend more than it may. */
  get left(): number {
    return Number(this.#fuel!.value);
  }

  /** Whether the plugin called functions in one another to a depth that is not allowed. */
  get isTooDeep(): boolean {
    return this.#depth!.value < 0;
  }

  /** Pages that the plugin asked for last and did not get; 0 when it got all. */
  get deniedPages(): number {
    return this.#denied!.value >>> 0;
  }
}
