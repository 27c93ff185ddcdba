import { untilAborted } from "./until-aborted.ts";

/** The pieces of a source until the signal aborts, whose reason is thrown then: a source whose sender is gone may never say so. */
export async function* abortable(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await untilAborted(pieces.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not awaited: it may be waiting for its sender.
    pieces.return?.().catch(() => {});
  }
}
