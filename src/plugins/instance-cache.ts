import type { WarmInstance } from "./warm-instance.ts";

/**
 * The instances that a worker keeps warm, by module and memory limit. The least recently used go first when there are too many
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
  take(moduleId: number, memoryPages: number): WarmInstance | undefined {
    const key = `${moduleId}/${memoryPages}`;
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    return entry.instance;
  }

  /** Puts an instance back, or closes it when it would take the room of too many others. */
  put(moduleId: number, memoryPages: number, instance: WarmInstance): void {
    const bytes = instance.retainedBytes;
    if (bytes > this.#maxBytes / 4) return instance.close();
    this.#entries.set(`${moduleId}/${memoryPages}`, { instance, moduleId, bytes });
    this.#bytes += bytes;
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= this.#maxCount && this.#bytes <= this.#maxBytes) break;
      this.#drop(key, entry);
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
