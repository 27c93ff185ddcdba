/**
 * Those that are open at the moment, of which many come and go: each has a slot, and gives it back.
 *
 * A `Set` would do, but for what it leaves behind in V8. Each few entries its table is made anew, and a table that was given up keeps what was in
 * it and points to the next one. Once one of them lies in the old generation, all later ones stay with all their entries until that is
 * collected, however short they live. Here a slot that is given back is empty.
 */
export class SlotList<T> implements Iterable<T> {
  readonly #slots: (T | undefined)[] = [];
  readonly #free: number[] = [];

  /** How many there are. */
  get size(): number {
    return this.#slots.length - this.#free.length;
  }

  /** Takes an entry in. The slot is what {@link remove} needs. */
  add(entry: T): number {
    const slot = this.#free.pop() ?? this.#slots.length;
    this.#slots[slot] = entry;
    return slot;
  }

  /** Lets an entry go. To be called once for each, since its slot goes to the next one. */
  remove(slot: number): void {
    this.#slots[slot] = undefined;
    this.#free.push(slot);
  }

  /** The entries, in no order; meanwhile any of them may leave, and others come. */
  *[Symbol.iterator](): Generator<T> {
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const entry = this.#slots[slot];
      if (entry !== undefined) yield entry;
    }
  }
}
