import { NodeError, type TaskResult } from "../core/mod.ts";

/** What outputs that wait for their readers may take of memory; those that are being read come on top. */
const MAX_HELD_BYTES = 256 << 20; // 256 MiB
const MAX_READING = 4;
const RETRY_MS = 2000;

/** Bounds what readers of stored outputs, who may be slow on purpose, make the node hold: each output is in memory until it is sent. */
export class HeldOutputs {
  #heldBytes = 0;
  #reading = 0;
  readonly #waiting: (() => void)[] = [];

  /** Reads an output when it is its turn, and holds it while it is used. Throws `overloaded` when too much is held. */
  async hold<T>(read: () => Promise<TaskResult>, use: (output: TaskResult) => Promise<T>): Promise<T> {
    const output = await this.#inTurn(read);
    try {
      return await use(output);
    } finally {
      this.#heldBytes -= output.output.length;
    }
  }

  async #inTurn(read: () => Promise<TaskResult>): Promise<TaskResult> {
    if (this.#reading >= MAX_READING) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#reading++;
    try {
      if (this.#heldBytes > MAX_HELD_BYTES) {
        throw new NodeError(
          "overloaded",
          `Outputs of ${this.#heldBytes} bytes wait for their readers, which is as much as this node holds; ask again later`,
          { data: { heldBytes: this.#heldBytes, limitBytes: MAX_HELD_BYTES }, retryAfterMs: RETRY_MS },
        );
      }
      const result = await read();
      this.#heldBytes += result.output.length;
      return result;
    } finally {
      // A turn is handed on; only the last one is given back.
      const next = this.#waiting.shift();
      if (next === undefined) this.#reading--;
      else next();
    }
  }
}
