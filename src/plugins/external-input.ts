import { Buffer } from "node:buffer";
import { NodeError, type PluginCall } from "../core/mod.ts";

/** Input goes out in messages of at most this size, so that no plugin's limit on messages (4 MiB in gRPC) is met. */
const CHUNK_BYTES = 1 << 20;
/** An input that is no longer than this is copied, to go out in one piece with what opens the call. */
const SMALL_BYTES = 16 << 10; // 16 KiB

/**
 * The input of a call, cut into pieces for the wire and counted. A source that fails is kept in `failure`, and stops the call through
 * `stop`: its own error is what the caller must get, not the broken call that follows from it.
 */
export class ExternalInput implements AsyncIterable<Uint8Array> {
  sizeBytes = 0;
  failure: { readonly reason: unknown } | undefined;
  readonly #source: PluginCall["input"];
  readonly #stop: AbortController;

  constructor(source: PluginCall["input"], stop: AbortController) {
    this.#source = source;
    this.#stop = stop;
  }

  /** The whole input, counted, if it is there already and small enough to go out at once. */
  small(): Uint8Array | undefined {
    if (!(this.#source instanceof Uint8Array) || this.#source.length > SMALL_BYTES) return undefined;
    this.sizeBytes = this.#source.length;
    return this.#source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    if (this.#source instanceof Uint8Array) {
      yield* this.#cut(this.#source);
      return;
    }
    const source = this.#source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#guard(source.next());
        if (next.done === true) return;
        yield* this.#cut(next.value);
      }
    } finally {
      source.return?.().catch(() => {});
    }
  }

  *#cut(bytes: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const piece = bytes.subarray(at, at + CHUNK_BYTES);
      this.sizeBytes += piece.length;
      yield piece;
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

  /** The whole input as text, for the original protocol. Throws `input_too_large`, and `plugin_failed` when it is not UTF-8. */
  async text(maxBytes: number): Promise<string> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this) {
      if (this.sizeBytes > maxBytes) {
        throw new NodeError(
          "input_too_large",
          `The input has ${this.sizeBytes} bytes or more; a plugin of the original protocol takes at most ${maxBytes}`,
          { data: { limitBytes: maxBytes } },
        );
      }
      pieces.push(piece);
    }
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(pieces));
    } catch (cause) {
      throw new NodeError(
        "plugin_failed",
        "The input is not UTF-8 text, and a plugin of the original protocol takes nothing else",
        { cause },
      );
    }
  }
}
