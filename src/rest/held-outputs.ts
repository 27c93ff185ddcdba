import { NodeError, type TaskResult } from "../core/mod.ts";

/** What outputs that wait for their readers may take of memory; those that are being read come on top. */
const MAX_HELD_BYTES = 256 << 20; // 256 MiB
/** How many outputs of one place, this node or a target, are read at once. */
const MAX_READING = 4;
/** How many of all targets are read at once: more places than these at a time are refused rather than kept waiting for others. */
const MAX_READING_REMOTE = 16;
/** How many may wait for their turn at one place. */
const MAX_WAITING = 1000;
const RETRY_MS = 2000;

/** Outputs of one place that are being read, and who waits. */
interface Lane {
  reading: number;
  readonly waiting: (() => void)[];
}

/**
 * Bounds what readers of stored outputs, who may be slow on purpose, make the node hold: each output is in memory until it is sent. Each
 * place has turns of its own, so that a target that stalls keeps nobody waiting for what is here, or at another.
 */
export class HeldOutputs {
  #heldBytes = 0;
  #readingRemote = 0;
  readonly #lanes = new Map<string, Lane>();

  /**
   * Reads an output of a place, empty for this node, when it is its turn, and holds it while it is used. Throws `overloaded` when too much is
   * held, or too many wait.
   */
  async hold<T>(
    place: string,
    { read, use }: { readonly read: () => Promise<TaskResult>; readonly use: (output: TaskResult) => Promise<T> },
  ): Promise<T> {
    const output = await this.#inTurn(place, read);
    try {
      return await use(output);
    } finally {
      this.#heldBytes -= output.output.length;
    }
  }

  async #inTurn(place: string, read: () => Promise<TaskResult>): Promise<TaskResult> {
    const lane = this.#lanes.get(place) ?? { reading: 0, waiting: [] };
    await this.#enter(place, lane);
    try {
      if (this.#heldBytes > MAX_HELD_BYTES) {
        throw overloaded(
          `Outputs of ${this.#heldBytes} bytes wait for their readers, which is as much as this node holds`,
          { heldBytes: this.#heldBytes, limitBytes: MAX_HELD_BYTES },
        );
      }
      const result = await read();
      this.#heldBytes += result.output.length;
      return result;
    } finally {
      this.#leave(place, lane);
    }
  }

  async #enter(place: string, lane: Lane): Promise<void> {
    if (lane.reading >= MAX_READING) {
      if (lane.waiting.length >= MAX_WAITING) {
        throw overloaded(`${MAX_WAITING} readers wait for outputs ${placeText(place)} already`, {});
      }
      return await new Promise<void>((resolve) => lane.waiting.push(resolve));
    }
    if (place !== "" && this.#readingRemote >= MAX_READING_REMOTE) {
      throw overloaded(`${this.#readingRemote} outputs at other nodes are being read`, {});
    }
    lane.reading++;
    if (place !== "") this.#readingRemote++;
    this.#lanes.set(place, lane);
  }

  /** A turn is handed on; only the last one is given back. */
  #leave(place: string, lane: Lane): void {
    const next = lane.waiting.shift();
    if (next !== undefined) return next();
    lane.reading--;
    if (place !== "") this.#readingRemote--;
    if (lane.reading === 0) this.#lanes.delete(place);
  }
}

function overloaded(why: string, data: Readonly<Record<string, number>>): NodeError {
  return new NodeError("overloaded", `${why}; ask again later`, { data, retryAfterMs: RETRY_MS });
}

function placeText(place: string): string {
  return place === "" ? "of this node" : `at ${place}`;
}
