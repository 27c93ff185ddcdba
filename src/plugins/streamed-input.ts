import { Buffer } from "node:buffer";
import { NodeError } from "../core/mod.ts";
import type { PluginCall } from "../core/mod.ts";
import { ANSWER_BYTES } from "./host-request.ts";

const NOTHING = new Uint8Array(0);

/**
 * The input of a call, handed to its plugin part by part as it asks: no more of the source is read than that, and a piece. How the source
 * was cut does not show, so that a plugin does the same for the same bytes.
 */
export class StreamedInput {
  /** What the source gave so far. */
  sizeBytes = 0;
  /** What the source failed with, which the caller must get as it is. */
  failure: { readonly reason: unknown } | undefined;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#giveUp?.(canceled());
  /** Ends the present wait. A promise of the abort for all waits together would keep every piece that they gave. */
  #giveUp: ((reason: NodeError) => void) | undefined;
  #piece: Uint8Array = NOTHING;
  #ended = false;

  constructor({ input, signal }: Pick<PluginCall, "input" | "signal">) {
    this.#source = (input instanceof Uint8Array ? once(input) : input)[Symbol.asyncIterator]();
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Waits for the first piece, or the end. Throws what the source throws, or `canceled`. */
  async begin(): Promise<void> {
    await this.#fill();
  }

  /**
   * The next so many bytes, up to 16 MiB; fewer only where the input ends, and undefined behind its end. Throws what the source throws,
   * or `canceled`.
   */
  async read(length: number): Promise<Uint8Array | undefined> {
    const wanted = Math.min(length, ANSWER_BYTES);
    const parts: Uint8Array[] = [];
    let have = 0;
    while (have < wanted && await this.#fill()) {
      const part = this.#piece.subarray(0, wanted - have);
      this.#piece = this.#piece.subarray(part.length);
      parts.push(part);
      have += part.length;
    }
    if (have === 0 && wanted > 0) return undefined;
    return parts.length === 1 ? parts[0] : Buffer.concat(parts, have);
  }

  /** Lets go of the source, whether or not it has ended. */
  close(): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
    if (this.#ended) return;
    this.#ended = true;
    this.#piece = NOTHING;
    // Not awaited: a source that hangs must not keep the caller from its answer.
    this.#source.return?.(undefined)?.catch(() => {});
  }

  /** Whether there is something at hand, after waiting for it. */
  async #fill(): Promise<boolean> {
    while (this.#piece.length === 0 && !this.#ended) {
      if (this.#signal.aborted) throw canceled();
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        this.#giveUp = reject;
        this.#next().then(resolve, reject);
      });
      this.#giveUp = undefined;
      if (next.done === true) this.#ended = true;
      else this.#piece = next.value;
      this.sizeBytes += this.#piece.length;
    }
    return this.#piece.length > 0;
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    try {
      return await this.#source.next();
    } catch (reason) {
      this.#ended = true;
      this.failure ??= { reason };
      throw reason;
    }
  }
}

function canceled(): NodeError {
  return new NodeError("canceled", "The call was canceled");
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
