import type { DescMessage, DescMethodStreaming, MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse, type Transport } from "@connectrpc/connect";
import { NodeError } from "../../core/mod.ts";
import { abortFailure, deadlineFailure, failed, misbehaved } from "./failures.ts";

const MAX_TIMER_MS = 0x7fffffff;

export interface StreamCallInit<I extends DescMessage, O extends DescMessage> {
  readonly target: string;
  readonly method: DescMethodStreaming<I, O>;
  readonly headers: Headers;
  readonly input: AsyncIterable<MessageInitShape<I>>;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
}

/**
 * Makes a streaming call through Connect's transport, and adds what that leaves out: whoever leaves the iteration of the answer
 * ends the call; the deadline's timer ends with the call, however that ends; and errors tell the peer's own status from a breach
 * of the protocol.
 */
export async function callStreaming<I extends DescMessage, O extends DescMessage>(
  transport: Transport,
  { target, method, headers, input, signal, timeoutMs }: StreamCallInit<I, O>,
): Promise<StreamResponse<I, O>> {
  const stop = new AbortController();
  const startedAt = performance.now();
  const onAbort = () => stop.abort(abortFailure(signal!));
  const timer = timeoutMs === undefined
    ? undefined
    : setTimeout(() => stop.abort(deadlineFailure(target, timeoutMs)), Math.min(timeoutMs, MAX_TIMER_MS));
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  const finish = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  };
  const fail = (reason: unknown): ConnectError => {
    finish();
    const error = translate(reason, target);
    // A server ends a call that is over its deadline by a reset, which may be here before the timer.
    const isOver = timeoutMs !== undefined && performance.now() - startedAt >= timeoutMs;
    return isOver && isReset(error) ? deadlineFailure(target, timeoutMs) : error;
  };

  let response: StreamResponse<I, O>;
  try {
    response = await transport.stream(method, stop.signal, undefined, headers, input);
  } catch (reason) {
    throw fail(reason);
  }
  const source = response.message[Symbol.asyncIterator]();
  const message: StreamResponse<I, O>["message"] = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        try {
          const next = await source.next();
          if (next.done === true) finish();
          return next;
        } catch (reason) {
          throw fail(reason);
        }
      },
      return() {
        finish();
        stop.abort(failed(new NodeError("canceled", "The caller wants no more of the answer")));
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
  return { ...response, message };
}

/** Whether Connect read the error from the peer's status; it marks such errors with a field that its types do not show. */
function isPeersOwn(error: ConnectError): boolean {
  return (error as { isWireError?: boolean }).isWireError === true;
}

function isReset(error: ConnectError): boolean {
  return error.code === Code.Canceled && !isPeersOwn(error);
}

/** An error of Connect's about the answer, as one that says who is to blame. */
function translate(reason: unknown, target: string): ConnectError {
  const error = ConnectError.from(reason);
  // With a cause it is of the network or of the request's source.
  if (isPeersOwn(error) || error.cause !== undefined) return error;
  if (error.code === Code.ResourceExhausted) {
    return failed(new NodeError("output_too_large", `The answer of ${target} is too large: ${error.rawMessage}`));
  }
  // Connect has the code of a malformed request for an answer that is cut off.
  const code = error.code === Code.InvalidArgument ? Code.Internal : error.code;
  return misbehaved(target, code, error.rawMessage);
}
