import type { ErrorCode } from "./errors.ts";
import type { PeerWish } from "./peer.ts";
import type { TaskReceipt } from "./receipt.ts";
import type { CallContext, TaskResult, TaskSpec } from "./task.ts";

/** The fewest and the most providers that one task is compared at. */
export const MIN_REPLICAS = 2;
export const MAX_REPLICAS = 7;

/** Where a task is run several times. */
export interface VerifyWish {
  /** How many providers run it, {@link MIN_REPLICAS} to {@link MAX_REPLICAS}. */
  readonly replicas: number;
  /** The providers as `host:port`; those behind the first `replicas` stand in for such as cannot begin. Absent: those that fit best. */
  readonly targets?: readonly string[];
  /** What providers that are chosen must have. */
  readonly wish?: PeerWish;
}

/** How a task's runs at several providers compare. */
export interface Verification {
  /** How many gave this output with this content type: more than half of those asked. */
  readonly agreed: number;
  readonly asked: number;
  /** Those that gave something else, as `host:port`. */
  readonly dissenters: readonly string[];
  /** Those that gave nothing, and why. */
  readonly failed: readonly { readonly target: string; readonly code: ErrorCode }[];
  /** Whether those that agree counted the same instructions; absent when fewer than two counted any. */
  readonly meterAgreed?: boolean;
  /** Whether those that agree ran the same module, as their receipts say; absent when fewer than two name one. */
  readonly pluginAgreed?: boolean;
  /** What made the result of those that agree depend on more than the input, if any say so: that they agree proves less then. */
  readonly nondeterministic?: readonly string[];
  /** What each provider that gave something has signed, dissenters too. */
  readonly receipts?: readonly { readonly target: string; readonly receipt: TaskReceipt }[];
}

export interface VerifiedResult extends TaskResult {
  readonly verification: Verification;
}

/** Runs tasks at several providers and compares what they give. */
export interface VerifiedRunner {
  /**
   * Gives the result that more than half of the providers agree on. Throws `target_misbehaved` when they differ and no such result is there;
   * what most of them failed with when they failed.
   */
  run(spec: TaskSpec, ctx: CallContext): Promise<VerifiedResult>;
}
