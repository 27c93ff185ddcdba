import type { ErrorCode, PluginEvent } from "../core/mod.ts";
import type { HostRequest } from "./host-request.ts";
import type { SlotMemory } from "./call-slots.ts";

/** A module as workers know it. */
export interface WorkerModule {
  /** Unique in the process. */
  readonly id: number;
  readonly module: WebAssembly.Module;
  /** Bounds of the linear memory in pages; absent for a module without one. */
  readonly memory?: { readonly min: number; readonly max: number };
  readonly functions: readonly string[];
  /** Whether every call gets an instance of its own. */
  readonly fresh: boolean;
}

/** What a worker thread is started with. */
export interface WorkerSetup {
  readonly slots: SlotMemory;
  /** How many instances stay warm, and how many bytes they may hold in memory together. */
  readonly warmInstances: number;
  readonly warmBytes: number;
}

/** Messages from the pool to a worker. A number is a bell: look at the slots. */
export type ToWorker =
  | 0
  | { readonly type: "module"; readonly module: WorkerModule }
  | { readonly type: "forget"; readonly moduleId: number }
  | { readonly type: "input"; readonly callNumber: number; readonly bytes: SharedArrayBuffer }
  /** The call was taken back before it ran; its input is not needed. */
  | { readonly type: "withdrawn"; readonly callNumber: number };

/** What a plugin says in words. */
export type SaidEvent = Exclude<PluginEvent, { type: "chunk" }>;

/** Messages from a worker to the pool. */
export type FromWorker =
  | 0
  | { readonly type: "ready" }
  /** The worker waits for the answer in this memory (answer-slot.ts). */
  | {
    readonly type: "ask";
    readonly callNumber: number;
    readonly request: HostRequest;
    readonly answer: SharedArrayBuffer;
  }
  | { readonly type: "event"; readonly callNumber: number; readonly event: SaidEvent }
  /** A piece of output, in memory that is used again when it was taken out (piece-buffers.ts). */
  | { readonly type: "chunk"; readonly callNumber: number; readonly piece: SharedArrayBuffer; readonly length: number }
  | {
    readonly type: "output";
    readonly callNumber: number;
    /** Empty when it was streamed. */
    readonly output: SharedArrayBuffer;
    /** Size of the whole output, streamed or not. */
    readonly outputBytes: number;
    readonly wallMicros: number;
    readonly instructions: number;
  }
  | { readonly type: "failure"; readonly callNumber: number; readonly code: ErrorCode; readonly message: string };
