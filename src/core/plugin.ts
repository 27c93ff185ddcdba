import type { RequesterId } from "./ids.ts";
import type { PluginEvent, TaskLimits } from "./task.ts";
import type { Span } from "./trace.ts";
import type { Usage } from "./usage.ts";

/** One function of a plugin. */
export interface PluginFunction {
  readonly name: string;
  /** Empty means any. */
  readonly inputContentType: string;
  /** Empty means `application/octet-stream`. */
  readonly outputContentType: string;
  readonly description: string;
}

/** Calls at the GPU of a node, which works on one at a time. */
export interface GpuLine {
  /** 0 or 1. */
  readonly running: number;
  readonly waiting: number;
}

/** A plugin as its node lists it. */
export interface PluginInfo {
  readonly name: string;
  readonly version: string;
  /** Lower-case hex; empty for an external plugin. */
  readonly sha256: string;
  readonly runtime: "wasm" | "grpc";
  readonly functions: readonly PluginFunction[];
  readonly description: string;
  readonly isDefault: boolean;
  readonly enabled: boolean;
  /** Whether it takes tasks now: enabled and, when external, healthy. */
  readonly ready: boolean;
  /** Why it is not ready, in words. */
  readonly problem?: string;
  /** Where an external plugin is dialled. */
  readonly address?: string;
  /** The line for the node's GPU, as far as it is this plugin's; absent of a plugin that needs none; empty of a peer's. */
  readonly gpu?: GpuLine;
  /** Size of a WASM module. */
  readonly sizeBytes?: number;
  /** Absent of a plugin that was not called since the node started; peers do not say it. */
  readonly used?: PluginUse;
}

/** What a plugin was used for since the node started. */
export interface PluginUse {
  /** Calls that have ended. */
  readonly calls: number;
  /** Those among them that failed or were stopped; what they consumed is not in the other numbers. */
  readonly failed: number;
  readonly wallMicros: number;
  /** Metered instructions; 0 of a plugin outside the node. */
  readonly instructions: number;
  readonly gpuMicros: number;
}

/** One call of a plugin function. */
export interface PluginCall {
  /** As in TaskSpec: `name`, `name@version`, SHA-256 in hex, or empty for the default. */
  readonly plugin: string;
  /** Empty means the plugin's first function. */
  readonly function: string;
  /** The whole input, or a stream of it. A function of a WASM plugin whose manifest does not say `streamsInput` receives a
   * stream whole, up to `maxInputBytes`. */
  readonly input: Uint8Array | AsyncIterable<Uint8Array>;
  readonly contentType: string;
  readonly limits: TaskLimits;
  /**
   * Whose call it is: what a plugin keeps from one call to the next it may keep for the same requester only, and it reaches files only in
   * calls of the node itself.
   */
  readonly requester: RequesterId;
  /** Aborting stops the plugin, whatever it is doing. */
  readonly signal: AbortSignal;
  /**
   * Called for each log line, progress report and, when `streamOutput`, piece of output, in order. When it returns a promise,
   * the reader is behind: a host that can hold the plugin back waits for it before the next piece.
   */
  readonly onEvent?: (event: PluginEvent) => void | Promise<void>;
  /** Deliver output as `chunk` events as it comes; the outcome's output is then empty. */
  readonly streamOutput?: boolean;
  /** What the plugin's own calls to other nodes are part of; by default, what the running code works for. */
  readonly span?: Span | undefined;
}

/** What a successful call gave. */
export interface PluginOutcome {
  readonly output: Uint8Array;
  readonly contentType: string;
  readonly usage: Usage;
  /** As in a task's record. */
  readonly nondeterministic?: readonly string[];
}

/** The plugin and function that a call would run. */
export interface ResolvedFunction {
  /** `name@version`. */
  readonly plugin: string;
  readonly sha256: string;
  readonly function: string;
  readonly outputContentType: string;
  /** Whether the plugin works on the GPU, as far as it has said so yet. */
  readonly gpu?: boolean;
}
