/** Something that has to be told when its time is over. */
export interface Expiring {
  /** Called once, at or after the deadline. */
  expire(): void;
}

/** How exact deadlines are. A call may get up to this much more time than it asked for, never less. */
const TICK_MS = 16;

/**
 * Deadlines of many calls behind one timer. Nearly every call ends long before its deadline, so adding and removing one is a set
 * operation, and the timer runs only for the earliest tick that anybody waits for.
 *
 * It measures with the monotonic clock of the timers, so a jump of the wall clock ends no call.
 */
export class Deadlines {
  readonly #ticks = new Map<number, Set<Expiring>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerTick = Infinity;

  /** Watches an entry; the returned tick is what {@link remove} needs. */
  add(entry: Expiring, delayMs: number): number {
    const now = performance.now();
    const tick = Math.ceil((now + Math.max(0, delayMs)) / TICK_MS);
    const entries = this.#ticks.get(tick);
    if (entries === undefined) {
      this.#ticks.set(tick, new Set([entry]));
      if (tick < this.#timerTick) this.#arm(tick, now);
    } else {
      entries.add(entry);
    }
    return tick;
  }

  /** Forgets an entry that needs no deadline any more. */
  remove(entry: Expiring, tick: number): void {
    const entries = this.#ticks.get(tick);
    if (entries === undefined) return;
    entries.delete(entry);
    if (entries.size === 0) this.#ticks.delete(tick);
    // The timer stays: when it fires it finds the next tick, or nothing.
  }

  /** Forgets all entries and stops the timer. */
  clear(): void {
    this.#ticks.clear();
    clearTimeout(this.#timer);
    this.#timerTick = Infinity;
  }

  #arm(tick: number, now: number): void {
    clearTimeout(this.#timer);
    this.#timerTick = tick;
    // A timer counts at most 2^31-1 ms; a longer wait is armed again when it fires.
    const delayMs = Math.min(Math.max(1, Math.ceil(tick * TICK_MS - now)), 0x7fffffff);
    this.#timer = setTimeout(() => this.#fire(), delayMs);
    this.#timer.unref?.();
  }

  #fire(): void {
    const now = performance.now();
    const due = Math.floor(now / TICK_MS);
    this.#timerTick = Infinity;
    const expired: Expiring[] = [];
    let next = Infinity;
    for (const [tick, entries] of this.#ticks) {
      if (tick <= due) {
        expired.push(...entries);
        this.#ticks.delete(tick);
      } else if (tick < next) {
        next = tick;
      }
    }
    if (next !== Infinity) this.#arm(next, now);
    for (const entry of expired) entry.expire();
  }
}
