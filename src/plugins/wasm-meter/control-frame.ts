import type { BasicBlock, InnerSite } from "./basic-blocks.ts";
import type { Arity } from "./scanned-function.ts";

/** A function, block, loop or `if` while what is in it is read. */
export interface ControlFrame {
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
  back: InnerSite | undefined;
  /** For `if`: whether the arm before `else` runs over its end. */
  fallsThrough: boolean;
  hasElse: boolean;
  /** Where branches to its label lead. */
  readonly label: number;
  /** For `loop`: the basic block that it begins with; for `if` the one before it. */
  readonly block: BasicBlock | undefined;
  /** How often it is run, as a guess. */
  readonly weight: number;
}

/** A frame whose end and branches are not read yet. */
export function controlFrame(
  opcode: number,
  { params, results, ...place }:
    & Arity
    & Pick<ControlFrame, "base" | "reached" | "label" | "weight">
    & { readonly block?: BasicBlock | undefined },
): ControlFrame {
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
