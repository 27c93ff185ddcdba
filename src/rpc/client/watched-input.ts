/** Requests whose source may fail: then the call is stopped, and the source's own error is what the caller gets. */
export class WatchedInput<T> implements AsyncIterable<T> {
  failure: { readonly reason: unknown } | undefined;
  readonly #requests: AsyncIterable<T>;
  readonly #stop: AbortController;

  constructor(requests: AsyncIterable<T>, stop: AbortController) {
    this.#requests = requests;
    this.#stop = stop;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    const source = this.#requests[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#guard(source.next());
        if (next.done === true) return;
        // Connect throws in here what went wrong with the call; only what the source throws is its own failure.
        yield next.value;
      }
    } finally {
      source.return?.().catch(() => {});
    }
  }

  async #guard<R>(next: Promise<R>): Promise<R> {
    try {
      return await next;
    } catch (reason) {
      if (!this.#stop.signal.aborted) {
        this.failure = { reason };
        this.#stop.abort(reason);
      }
      throw reason;
    }
  }
}
