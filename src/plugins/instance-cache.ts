import type { WarmInstance } from "./warm-instance.ts";

/** What an instance is kept for. */
export interface InstanceKey {
  readonly moduleId: number;
  readonly memoryPages: number;
  /** An instance that one requester used is for that requester only: its memory and globals hold what it was given. */
  readonly requesterNumber: number;
}

/**
 * The instances that a worker keeps warm, by module, memory limit and requester. The least recently used go first when there are too many
 * or they hold too much memory.
 */
export class InstanceCache {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  /** A map iterates in the order of insertion: the first entry is the one unused for the longest. */
  readonly #entries = new Map<string, { instance: WarmInstance; moduleId: number; bytes: number }>();
  #bytes = 0;

  constructor(bounds: { maxCount: number; maxBytes: number }) {
    this.#maxCount = bounds.maxCount;
    this.#maxBytes = bounds.maxBytes;
  }

  /** Takes an instance out, for a call. */
  take(instanceKey: InstanceKey): WarmInstance | undefined {
    const key = textOf(instanceKey);
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    return entry.instance;
  }

  /** Puts an instance back, or closes it when it would take the room of too many others. */
  put(key: InstanceKey, instance: WarmInstance): void {
    const bytes = instance.retainedBytes;
    if (bytes > this.#maxBytes / 4) return instance.close();
    this.#entries.set(textOf(key), { instance, moduleId: key.moduleId, bytes });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= this.#maxCount && this.#bytes <= this.#maxBytes) break;
      this.#drop(oldest, entry);
    }
  }

  /** Closes every instance of a module. */
  forget(moduleId: number): void {
    for (const [key, entry] of this.#entries) if (entry.moduleId === moduleId) this.#drop(key, entry);
  }

  #drop(key: string, entry: { instance: WarmInstance; bytes: number }): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    entry.instance.close();
  }
}

function textOf({ moduleId, memoryPages, requesterNumber }: InstanceKey): string {
  return `${moduleId}/${memoryPages}/${requesterNumber}`;
}
