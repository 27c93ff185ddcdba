import type { Clock } from "./clock.ts";

export interface SteadyClockOptions {
  /** The wall clock, which may jump. */
  readonly clock: Clock;
  /** What it begins with, by default the wall clock's time. One that was kept from an earlier run is not overtaken by what came between. */
  readonly startMs?: number;
  /** Milliseconds that pass while the process runs, from any beginning; by default the machine's monotonic clock. */
  readonly monotonicMs?: () => number;
}

/** By how much it may run faster or slower than time passes, to meet the wall clock. */
const SLEW = 0.25;

/**
 * The time as a process that runs has felt it pass: it never goes back, and follows the wall clock by running at most a quarter faster or slower.
 * When the wall clock jumps, by error or by correction, what is waited for still takes about as long as was meant.
 */
export class SteadyClock implements Clock {
  readonly #clock: Clock;
  readonly #monotonicMs: () => number;
  #nowMs: number;
  #felt: number;

  constructor({ clock, startMs, monotonicMs = () => performance.now() }: SteadyClockOptions) {
    this.#clock = clock;
    this.#monotonicMs = monotonicMs;
    this.#nowMs = startMs ?? clock.now();
    this.#felt = monotonicMs();
  }

  now(): number {
    const felt = this.#monotonicMs();
    const passed = Math.max(0, felt - this.#felt);
    this.#felt = felt;
    const least = this.#nowMs + passed * (1 - SLEW);
    const most = this.#nowMs + passed * (1 + SLEW);
    this.#nowMs = Math.min(Math.max(this.#clock.now(), least), most);
    return Math.floor(this.#nowMs);
  }
}
