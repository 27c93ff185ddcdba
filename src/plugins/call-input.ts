import { NodeError } from "../core/mod.ts";
import type { PluginCall } from "../core/mod.ts";

/** The whole input of a call. Throws `input_too_large` past the bound, and `canceled` when the signal aborts on the way. */
export function readInput({ input, signal }: PluginCall, maxBytes: number): Uint8Array | Promise<Uint8Array> {
  if (!(input instanceof Uint8Array)) return gather(input, { maxBytes, signal });
  if (input.length > maxBytes) throw tooLarge(maxBytes);
  return input;
}

async function gather(
  source: AsyncIterable<Uint8Array>,
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const iterator = source[Symbol.asyncIterator]();
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  const onAbort = (): void => aborted.reject(new NodeError("canceled", "The call was canceled"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise]);
      if (next.done === true) break;
      length += next.value.length;
      if (length > maxBytes) throw tooLarge(maxBytes);
      chunks.push(next.value);
    }
  } catch (error) {
    // Not awaited: a source that hangs must not keep the caller from its answer.
    iterator.return?.(undefined)?.catch(() => {});
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  if (chunks.length === 1) return chunks[0]!;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

function tooLarge(maxBytes: number): NodeError {
  return new NodeError(
    "input_too_large",
    `The input has more than ${maxBytes} bytes, which is all that this node takes`,
    {
      data: { maxBytes },
    },
  );
}
