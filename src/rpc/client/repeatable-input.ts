/** Requests kept for a second time; each has at most 256 KiB of input. */
const MAX_KEPT = 16;

/**
 * Requests that can be sent again while few of them were taken and nothing was answered. One iteration follows the other; the source is closed
 * by {@link close} only.
 */
export class RepeatableInput<T> implements AsyncIterable<T> {
  readonly #source: AsyncIterator<T>;
  readonly #kept: Promise<IteratorResult<T>>[] = [];
  #keeps = true;
  #taken = 0;

  constructor(requests: AsyncIterable<T>) {
    this.#source = requests[Symbol.asyncIterator]();
  }

  /** Whether all that was taken is still there. */
  get repeatable(): boolean {
    return this.#keeps;
  }

  /** The peer has begun: nothing will be sent again. */
  accept(): void {
    this.#keeps = false;
    if (this.#taken >= this.#kept.length) this.#kept.length = 0;
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    this.#taken = 0;
    return { next: () => this.#next() };
  }

  close(): void {
    this.#source.return?.().catch(() => {});
  }

  #next(): Promise<IteratorResult<T>> {
    const place = this.#taken++;
    if (place < this.#kept.length) return this.#kept[place]!;
    const next = this.#source.next();
    if (this.#keeps && place < MAX_KEPT) this.#kept.push(next);
    else this.#keeps = false;
    return next;
  }
}
