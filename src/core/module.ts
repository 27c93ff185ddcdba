import { NodeError } from "./errors.ts";
import type { RequesterId } from "./ids.ts";
import type { CallContext } from "./task.ts";

/** A WASM module that a requester brought, which tasks name by its SHA-256. */
export interface ModuleInfo {
  /** Lower-case hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
  /** What its manifest says, or a name made of the SHA-256, and 0.0.0. */
  readonly name: string;
  readonly version: string;
  /** What tasks may call; the first is what a task runs that names none. */
  readonly functions: readonly string[];
}

/** A module as the node that keeps it lists it. Times are milliseconds since the epoch. */
export interface CachedModule extends ModuleInfo {
  /** Who uploaded it, and has it on its quota. */
  readonly requester: RequesterId;
  readonly lastUsedAt: number;
  /** Tasks that run it now. */
  readonly running: number;
}

/** What is going to be uploaded. */
export interface ModuleOrder {
  /** What the module must have, in lower-case hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What a node says when it is asked for a module. */
export interface ModulePresence {
  /** Absent when it is not there. */
  readonly module?: ModuleInfo;
  /** The largest module that it takes from who asks, in bytes; 0 when it takes none. */
  readonly maxBytes: number;
}

/** Takes modules of requesters: the provider in this process, or the RPC client of one elsewhere. Every method throws a NodeError. */
export interface ModuleService {
  /** Whether tasks may name the module now. One that was uploaded counts as used. */
  has(sha256: string, ctx: CallContext): Promise<ModulePresence>;
  /**
   * Takes a module; one that is there is not read. Throws `permission_denied` where no modules are taken, `input_too_large`, `storage_full` when the
   * requester's quota or the cache has no room, `overloaded`, `deadline_exceeded`, `invalid_argument` when the bytes are not what was ordered, and
   * `module_invalid` with the reason when they cannot run.
   */
  upload(source: AsyncIterable<Uint8Array>, order: ModuleOrder, ctx: CallContext): Promise<ModuleInfo>;
}

/** The modules that a node keeps, as its owner and its own tasks see them. */
export interface ModuleKeeping {
  /** The least recently used first. */
  list(): readonly CachedModule[];
  get(sha256: string): CachedModule | undefined;
  /** The module itself, whose SHA-256 was checked. Throws `plugin_not_found`. */
  read(sha256: string): Promise<Uint8Array>;
  /** Throws `plugin_not_found`, or `failed_precondition` while a task runs it. */
  remove(sha256: string): Promise<void>;
}

/** Whether a reference to a plugin is the SHA-256 of a module. */
export function isModuleRef(plugin: string): boolean {
  return plugin.length === 64 && /^[0-9a-f]{64}$/i.test(plugin);
}

/** The error for a module that was never at a node, or had to make room. */
export function moduleNotHere(sha256: string, cause?: unknown): NodeError {
  return new NodeError("plugin_not_found", `The module ${sha256} is not here, or not any more: upload it again`, {
    data: { plugin: sha256 },
    cause,
  });
}
