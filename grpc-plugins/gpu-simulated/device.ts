import { NodeError } from "../../src/core/mod.ts";

/** Multiplications and additions that the device does in a second. */
export const OPERATIONS_PER_SECOND = 2e9;
/** How often a kernel looks whether it is still wanted. */
const STEP_MS = 10;

export interface Kernel {
  readonly operations: number;
  /** Aborting stops the kernel. */
  readonly signal: AbortSignal;
  readonly onProgress: (fraction: number) => void;
}

/**
 * A GPU that is not there: a kernel takes the time that such a device would need, and occupies it meanwhile. As a real one in its
 * exclusive mode it refuses a second kernel, which shows whether the node lets two jobs at it at once.
 */
export class SimulatedDevice {
  readonly name = "Simulated GPU: no device does this work";
  #isBusy = false;

  /** Runs a kernel and returns how long it occupied the device, in microseconds. Throws `overloaded` when another runs. */
  async run({ operations, signal, onProgress }: Kernel): Promise<number> {
    if (this.#isBusy) throw new NodeError("overloaded", "The device is in use: it takes one kernel at a time");
    this.#isBusy = true;
    try {
      const wantedMs = operations / OPERATIONS_PER_SECOND * 1000;
      const startedAt = performance.now();
      for (;;) {
        signal.throwIfAborted();
        const ranMs = performance.now() - startedAt;
        if (ranMs >= wantedMs) return Math.round(ranMs * 1000);
        onProgress(ranMs / wantedMs);
        await new Promise((resolve) => setTimeout(resolve, Math.min(STEP_MS, wantedMs - ranMs)));
      }
    } finally {
      this.#isBusy = false;
    }
  }
}
