import { NodeError } from "../core/mod.ts";

/** What is kept of an input so that it can be read again. */
const MOST_KEPT_BYTES = 1 << 20; // 1 MiB

/**
 * An input that can be read from its start again, until {@link settle} or until more of it was read than is kept. Only the newest reading goes
 * on; what an older one was still waiting for is not lost.
 */
export class ReplayInput {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #keeps = true;
  #pending: Promise<IteratorResult<Uint8Array>> | undefined;
  #newest: object | undefined;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Whether another reading would get all of it. */
  get replayable(): boolean {
    return this.#keeps;
  }

  /** Nobody will read it again: no more of it is kept. */
  settle(): void {
    this.#keeps = false;
  }

  /** Lets go of the source. */
  close(): void {
    this.#keeps = false;
    // Not awaited: it may be waiting for the caller.
    this.#source.return?.().catch(() => {});
  }

  /** Reads it from its start. A reading that another one has followed fails, so that nobody takes what it got for the whole. */
  read(): AsyncIterable<Uint8Array> {
    const me = {};
    this.#newest = me;
    let at = 0;
    const next = async (): Promise<IteratorResult<Uint8Array>> => {
      const isNewest = this.#newest === me;
      if (isNewest && at < this.#kept.length) return { done: false, value: this.#kept[at++]! };
      // All that was kept has been read, and nothing more will be: it need not stay.
      if (isNewest && !this.#keeps && this.#pending === undefined) this.#kept.length = 0;
      const result = isNewest ? await this.#pull() : undefined;
      if (result === undefined || this.#newest !== me) {
        throw new NodeError("canceled", "The input is sent to another provider");
      }
      if (result.done !== true && this.#kept[at] === result.value) at++;
      return result;
    };
    const stop = (): Promise<IteratorResult<Uint8Array>> => {
      // A reading that ends early may be followed by another.
      if (this.#newest === me && !this.#keeps) this.close();
      return Promise.resolve({ done: true, value: undefined });
    };
    return { [Symbol.asyncIterator]: () => ({ next, return: stop }) };
  }

  #pull(): Promise<IteratorResult<Uint8Array>> {
    if (this.#pending !== undefined) return this.#pending;
    const keeps = this.#keeps;
    const pending = this.#source.next().then((result) => {
      if (result.done !== true && keeps) {
        this.#kept.push(result.value);
        this.#keptBytes += result.value.length;
        if (this.#keptBytes > MOST_KEPT_BYTES) this.#keeps = false;
      }
      return result;
    }).finally(() => this.#pending = undefined);
    return this.#pending = pending;
  }
}
