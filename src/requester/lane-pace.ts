import type { ShardWriter } from "../codec/mod.ts";

export interface LanePaceOptions {
  readonly count: number;
  /** How long one lane may hold the others up, in milliseconds. */
  readonly stallMs: number;
  /** A lane holds the others up too much. */
  readonly onSlow: (lane: number, heldMs: number) => void;
}

/** The part of the time of an upload that one lane may hold the others up without being slow. */
const FAIR_PART = 1 / 3;

/**
 * Finds the lane that holds the others up. All lanes write the same window before the next is made, so an upload is as fast as its slowest
 * provider: what the last lane of each window took longer than the one before it is counted against it.
 */
export class LanePace {
  readonly #options: LanePaceOptions;
  readonly #heldMs: number[];
  readonly #startedAt = performance.now();
  /** Lanes that are still at the present window, and when the last one and the one before it were done. */
  #writing = 0;
  #previousAt = 0;
  #lastAt = 0;

  constructor(options: LanePaceOptions) {
    this.#options = options;
    this.#heldMs = Array.from({ length: options.count }, () => 0);
  }

  /** The writer of a lane, with its time taken. */
  timed(lane: number, writer: ShardWriter): ShardWriter {
    return {
      write: async (bytes) => {
        this.#writing++;
        try {
          await writer.write(bytes);
        } finally {
          this.#done(lane);
        }
      },
    };
  }

  #done(lane: number): void {
    this.#previousAt = this.#lastAt;
    this.#lastAt = performance.now();
    if (--this.#writing > 0 || this.#previousAt === 0) return;
    const held = this.#heldMs[lane]! += this.#lastAt - this.#previousAt;
    const limit = Math.max(this.#options.stallMs, (this.#lastAt - this.#startedAt) * FAIR_PART);
    this.#lastAt = 0;
    if (held > limit) this.#options.onSlow(lane, held);
  }
}
