import type { WarmInstance } from "./warm-instance.ts";

/** What an instance is kept for. */
export interface InstanceKey {
  readonly moduleId: number;
  readonly memoryPages: number;
  /** An instance that one requester used is for that requester only: its memory and globals hold what it was given. */
  readonly requesterNumber: number;
}

interface Entry {
  readonly moduleId: number;
  readonly instance: WarmInstance;
  bytes: number;
  /** When it was put in last, counted in such events. */
  usedAt: number;
}

/**
 * The instances that a worker keeps warm, by module, memory limit and requester. The least recently used go first when there are too many
 * or they hold too much memory.
 *
 * An instance stays in while a call uses it: a map that is left and entered with each call makes its table anew every few calls, and leaves the
 * old ones to V8's old generation.
 */
export class InstanceCache {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  #puts = 0;

  constructor(bounds: { maxCount: number; maxBytes: number }) {
    this.#maxCount = bounds.maxCount;
    this.#maxBytes = bounds.maxBytes;
  }

  /** An instance for a call, which is to be {@link put} back or {@link close}d before anything else is asked. */
  take(key: InstanceKey): WarmInstance | undefined {
    return this.#entries.get(textOf(key))?.instance;
  }

  /** Puts an instance in, or back, or closes it when it would take the room of too many others. */
  put(instanceKey: InstanceKey, instance: WarmInstance): void {
    const bytes = instance.retainedBytes;
    if (bytes > this.#maxBytes / 4) return this.close(instanceKey, instance);
    const key = textOf(instanceKey);
    const usedAt = ++this.#puts;
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#entries.set(key, { moduleId: instanceKey.moduleId, instance, bytes, usedAt });
      this.#bytes += bytes;
    } else {
      this.#bytes += bytes - entry.bytes;
      entry.bytes = bytes;
      entry.usedAt = usedAt;
    }
    while (this.#entries.size > this.#maxCount || this.#bytes > this.#maxBytes) this.#dropOldest();
  }

  /** Closes an instance, which may be in here. */
  close(instanceKey: InstanceKey, instance: WarmInstance): void {
    const key = textOf(instanceKey);
    const entry = this.#entries.get(key);
    if (entry?.instance === instance) this.#drop(key, entry);
    else instance.close();
  }

  /** Closes every instance of a module. */
  forget(moduleId: number): void {
    for (const [key, entry] of this.#entries) if (entry.moduleId === moduleId) this.#drop(key, entry);
  }

  #dropOldest(): void {
    let oldest: [string, Entry] | undefined;
    for (const each of this.#entries) if (oldest === undefined || each[1].usedAt < oldest[1].usedAt) oldest = each;
    if (oldest !== undefined) this.#drop(...oldest);
  }

  #drop(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    entry.instance.close();
  }
}

function textOf({ moduleId, memoryPages, requesterNumber }: InstanceKey): string {
  return `${moduleId}/${memoryPages}/${requesterNumber}`;
}
