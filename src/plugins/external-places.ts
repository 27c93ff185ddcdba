import { NodeError } from "../core/mod.ts";

/** Places for calls that a plugin takes at once; who finds none waits in line. */
export class Places {
  /** How many there are; 0 means no bound. A lower number takes effect as calls leave. */
  size = 0;
  #taken = 0;
  readonly #waiting = new Set<() => void>();

  /** Takes a place. Throws `canceled` when the signal aborts before one is free; then there is nothing to leave. */
  async enter(signal: AbortSignal): Promise<void> {
    if (this.size === 0 || this.#taken < this.size) {
      this.#taken++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(called);
        reject(new NodeError("canceled", "The call was canceled while it waited for the plugin"));
      };
      const called = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(called);
    });
  }

  /** Gives a place back, to the first in line if there is one. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined || (this.size > 0 && this.#taken > this.size)) {
      this.#taken--;
      return;
    }
    // The place passes on, so the count stays.
    this.#waiting.delete(next);
    next();
  }
}
