import type { StoredTask, TaskKey } from "../core/mod.ts";
import { liveKey, type LiveTask } from "./live-task.ts";
import type { TaskStore } from "./ports.ts";

interface Read {
  readonly stored: Promise<StoredTask | undefined>;
  /** Whether the task came to life after the read began, which may not have seen it. */
  stale: boolean;
}

/** The tasks in memory, and with them the answer to whether a task is known: in memory, in the store, or not. */
export class LiveTasks {
  readonly #store: TaskStore;
  readonly #tasks = new Map<string, LiveTask>();
  readonly #reads = new Map<string, Read>();

  constructor(store: TaskStore) {
    this.#store = store;
  }

  get(key: TaskKey): LiveTask | undefined {
    return this.#tasks.get(liveKey(key));
  }

  all(): LiveTask[] {
    return [...this.#tasks.values()];
  }

  add(live: LiveTask): void {
    this.#tasks.set(live.key, live);
    const read = this.#reads.get(live.key);
    if (read !== undefined) read.stale = true;
  }

  remove(live: LiveTask): void {
    this.#tasks.delete(live.key);
  }

  /**
   * Calls `use` with the task in memory, else the one in the store, else undefined, and returns what it gives. Nothing
   * happens to the task between the finding and `use`, so that of many calls that find nothing only the first adds it.
   */
  async find<T>(key: TaskKey, use: (found: LiveTask | StoredTask | undefined) => T): Promise<T> {
    const name = liveKey(key);
    for (;;) {
      const live = this.#tasks.get(name);
      if (live !== undefined) return use(live);
      const read = this.#read(name, key);
      const stored = await read.stored;
      if (!read.stale) return use(this.#tasks.get(name) ?? stored);
    }
  }

  #read(name: string, key: TaskKey): Read {
    const running = this.#reads.get(name);
    if (running !== undefined) return running;
    const read = { stored: this.#store.get(key).finally(() => this.#reads.delete(name)), stale: false };
    this.#reads.set(name, read);
    return read;
  }
}
