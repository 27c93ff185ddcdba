import { Option } from "commander";
import { MAX_REPLICAS, MIN_REPLICAS, NodeError, type Verification } from "../core/mod.ts";
import { integerOption } from "./command.ts";
import { printable } from "./terminal.ts";

export interface VerifyFlags {
  readonly verify?: number;
  readonly verifyTargets?: string[];
}

/** Options that do not go with `--verify`. */
interface OtherFlags {
  readonly target?: string;
  readonly watch?: boolean;
  readonly any?: boolean;
}

export const VERIFY = new Option(
  "--verify <replicas>",
  `at so many providers (${MIN_REPLICAS} to ${MAX_REPLICAS}); the output is what more than half of them agree on`,
).argParser(integerOption(MIN_REPLICAS, MAX_REPLICAS));
export const VERIFY_TARGETS = new Option(
  "--verify-targets <host:port...>",
  "with --verify: these providers, instead of those that fit best",
);

/** What `/v1` takes as `verify`. Throws `invalid_argument` for options that do not go together. */
export function verifyOf(
  { verify, verifyTargets, target, watch, any }: VerifyFlags & OtherFlags,
): object | undefined {
  if (verify === undefined) {
    if (verifyTargets === undefined) return undefined;
    throw new NodeError(
      "invalid_argument",
      "--verify-targets goes with --verify, which says how many providers to ask",
    );
  }
  const other = target !== undefined
    ? "--target (use --verify-targets)"
    : watch === true
    ? "--watch"
    : any === true && verifyTargets !== undefined
    ? "--any and --verify-targets at once"
    : undefined;
  if (other !== undefined) throw new NodeError("invalid_argument", `--verify does not go with ${other}`);
  return { replicas: verify, targets: verifyTargets };
}

/** How the runs of a verified task compare, in a line. */
export function showVerification(
  { agreed, asked, dissenters, failed, meterAgreed, pluginAgreed, nondeterministic, receipts = [] }: Verification,
): string {
  const parts = [`${agreed} of ${asked} providers agree`];
  if (dissenters.length > 0) parts.push(`${dissenters.join(", ")} gave something else`);
  for (const { target, code } of failed) parts.push(`${target} gave nothing (${code})`);
  if (meterAgreed === false) parts.push("their meters differ");
  if (pluginAgreed === false) parts.push("their modules differ");
  if (nondeterministic !== undefined) {
    parts.push(`it depends on ${nondeterministic.join(", ")} beside its input, so that this proves less`);
  }
  if (receipts.length > 0) parts.push(`${receipts.length} signed receipts (--json shows them)`);
  return printable(parts.join("; "));
}
