/** Counts connections up to a limit, over all threads that have its memory, each in a place of its own. */
export class ConnectionCount {
  readonly #max: number;
  readonly #counts: Int32Array;
  readonly #place: number;
  readonly #onChange: () => void;

  constructor(options: {
    readonly max: number;
    /** Zeroed, with four bytes for each thread. */
    readonly memory: SharedArrayBuffer;
    readonly place: number;
    /** Told when this thread's number changes. */
    readonly onChange: () => void;
  }) {
    this.#max = options.max;
    this.#counts = new Int32Array(options.memory);
    this.#place = options.place;
    this.#onChange = options.onChange;
  }

  /** Counts a connection in; returns false, having counted nothing, when there are as many as may be. */
  enter(): boolean {
    Atomics.add(this.#counts, this.#place, 1);
    if (this.total > this.#max) {
      Atomics.sub(this.#counts, this.#place, 1);
      return false;
    }
    this.#onChange();
    return true;
  }

  leave(): void {
    Atomics.sub(this.#counts, this.#place, 1);
    this.#onChange();
  }

  /** Forgets the connections of a thread that is gone. */
  clear(place: number): void {
    Atomics.store(this.#counts, place, 0);
    this.#onChange();
  }

  /** Those of all threads. */
  get total(): number {
    let total = 0;
    for (let i = 0; i < this.#counts.length; i++) total += Atomics.load(this.#counts, i);
    return total;
  }
}
