import type { HostCost } from "./costs.ts";

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
  /** A charge, a shift or a number of labels, as the kind says. */
  readonly value: number;
  /** How much more fuel there seems to be than there is, behind the charge: the test must know it. */
  readonly debt: number;
}

export type SiteKind =
  /** The function begins; `value` is what its first block pays. */
  | "enter"
  /** A basic block begins; `value` is what it pays. */
  | "charge"
  /** The same at the head of a loop, where the fuel is tested too. */
  | "loop"
  /** The fuel is tested before a branch back to a loop. */
  | "test"
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
