import { createHash } from "node:crypto";
import {
  type CallContext,
  type Counter,
  type Metrics,
  type ModuleInfo,
  type ModuleOrder,
  type ModulePresence,
  type ModuleService,
  NodeError,
  type RequesterId,
  toNodeError,
} from "../core/mod.ts";

/** Keeps uploaded modules. */
export interface ModuleStore {
  /** The module, which counts as used; undefined when it is not here. */
  use(sha256: string): ModuleInfo | undefined;
  /** Throws `storage_full` when a module of this size cannot be taken. */
  checkRoom(sizeBytes: number, requester: RequesterId): void;
  /** Checks and keeps a module. Throws `module_invalid`, `storage_full`, `storage_failed`. */
  add(bytes: Uint8Array, requester: RequesterId): Promise<ModuleInfo>;
}

export interface ModuleProviderOptions {
  readonly store: ModuleStore;
  /** A plugin of the node's own that is this module and takes tasks. */
  readonly installed: (sha256: string) => ModuleInfo | undefined;
  /** The node itself, which may always bring modules. */
  readonly self: RequesterId;
  /** Whether others may now. */
  readonly accepts: () => boolean;
  /** The largest module, in bytes. */
  readonly maxBytes: number;
  /** The longest upload, in milliseconds. */
  readonly timeoutMs: number;
  readonly metrics: Metrics;
}

/** Uploads under way; they wait in memory until they are whole. */
const MAX_UPLOADS = 8;
const MAX_UPLOADS_PER_REQUESTER = 2;

/** Makes the provider's side of modules that requesters bring. */
export function createModuleProvider(options: ModuleProviderOptions): ModuleService {
  return new ModuleProvider(options);
}

class ModuleProvider implements ModuleService {
  readonly #options: ModuleProviderOptions;
  readonly #uploads: Counter;
  /** By requester. */
  readonly #open = new Map<RequesterId, number>();

  constructor(options: ModuleProviderOptions) {
    this.#options = options;
    this.#uploads = options.metrics.counter("velas_module_uploads_total", "Uploads of modules, by outcome", [
      "outcome",
    ]);
  }

  has(sha256: string, { requester }: CallContext): Promise<ModulePresence> {
    const { installed, maxBytes } = this.#options;
    const takes = this.#takesFrom(requester);
    const module = installed(sha256) ?? (takes ? this.#known(sha256) : undefined);
    return Promise.resolve({ ...module && { module }, maxBytes: takes ? maxBytes : 0 });
  }

  async upload(source: AsyncIterable<Uint8Array>, order: ModuleOrder, ctx: CallContext): Promise<ModuleInfo> {
    this.#check(order, ctx.requester);
    const known = this.#known(order.sha256);
    if (known !== undefined) return known;
    try {
      const taken = await this.#take(source, order, ctx);
      this.#uploads.add(1, { outcome: "ok" });
      return taken;
    } catch (error) {
      this.#uploads.add(1, { outcome: toNodeError(ctx.signal.aborted ? ctx.signal.reason : error).code });
      throw error;
    }
  }

  async #take(source: AsyncIterable<Uint8Array>, order: ModuleOrder, ctx: CallContext): Promise<ModuleInfo> {
    const { store, timeoutMs } = this.#options;
    const { requester } = ctx;
    store.checkRoom(order.sizeBytes, requester);
    const release = this.#enter(requester);
    try {
      const over = new AbortController();
      const timer = setTimeout(() => over.abort(tooSlow(timeoutMs)), timeoutMs);
      try {
        const bytes = await readModule(source, order, AbortSignal.any([ctx.signal, over.signal]));
        return infoOf(await store.add(bytes, requester));
      } finally {
        clearTimeout(timer);
      }
    } finally {
      release();
    }
  }

  #known(sha256: string): ModuleInfo | undefined {
    const found = this.#options.store.use(sha256);
    return found && infoOf(found);
  }

  #takesFrom(requester: RequesterId): boolean {
    return requester === this.#options.self || this.#options.accepts();
  }

  #check({ sha256, sizeBytes }: ModuleOrder, requester: RequesterId): void {
    const { maxBytes } = this.#options;
    if (!this.#takesFrom(requester)) {
      throw new NodeError(
        "permission_denied",
        "This node takes no modules of requesters (plugins.acceptModules): use one that does, or have its operator install the plugin",
      );
    }
    if (!/^[0-9a-f]{64}$/.test(sha256)) {
      throw new NodeError("invalid_argument", `A SHA-256 is 64 lower-case hex digits, not "${sha256.slice(0, 80)}"`);
    }
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1) {
      throw new NodeError("invalid_argument", `A module has at least 1 byte, not ${sizeBytes}`);
    }
    if (sizeBytes > maxBytes) {
      throw new NodeError(
        "input_too_large",
        `The module has ${sizeBytes} bytes, and this node takes at most ${maxBytes} (plugins.maxModuleBytes)`,
        { data: { sizeBytes, maxBytes } },
      );
    }
  }

  #enter(requester: RequesterId): () => void {
    const own = this.#open.get(requester) ?? 0;
    let all = 0;
    for (const count of this.#open.values()) all += count;
    if (own >= MAX_UPLOADS_PER_REQUESTER || all >= MAX_UPLOADS) {
      throw new NodeError(
        "overloaded",
        `${all} modules are being uploaded here, ${own} of them yours: try again soon`,
        {
          retryAfterMs: 1000,
        },
      );
    }
    this.#open.set(requester, own + 1);
    return () => {
      const left = this.#open.get(requester)! - 1;
      if (left === 0) this.#open.delete(requester);
      else this.#open.set(requester, left);
    };
  }
}

/** Reads a module, which must be what was ordered to the byte. */
async function readModule(
  source: AsyncIterable<Uint8Array>,
  { sha256, sizeBytes }: ModuleOrder,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const stopped = Promise.withResolvers<never>();
  stopped.promise.catch(() => {});
  const onAbort = () => stopped.reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  const bytes = new Uint8Array(sizeBytes);
  const hash = createHash("sha256");
  const chunks = source[Symbol.asyncIterator]();
  let at = 0;
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), stopped.promise]);
      if (next.done === true) break;
      if (at + next.value.length > sizeBytes) {
        throw new NodeError(
          "invalid_argument",
          `More bytes came than the ${sizeBytes} that the module was said to have`,
        );
      }
      bytes.set(next.value, at);
      hash.update(next.value);
      at += next.value.length;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not awaited: it may be waiting for the caller.
    chunks.return?.()?.catch(() => {});
  }
  if (at < sizeBytes) {
    throw new NodeError("invalid_argument", `${at} bytes came of the ${sizeBytes} that the module was said to have`);
  }
  const actual = hash.digest("hex");
  if (actual === sha256) return bytes;
  throw new NodeError("invalid_argument", `The module has the SHA-256 ${actual}, not ${sha256}`, {
    data: { expected: sha256, actual },
  });
}

function infoOf({ sha256, sizeBytes, name, version, functions }: ModuleInfo): ModuleInfo {
  return { sha256, sizeBytes, name, version, functions };
}

function tooSlow(timeoutMs: number): NodeError {
  return new NodeError("deadline_exceeded", `The module was not whole after ${timeoutMs} ms`, { retryable: true });
}
