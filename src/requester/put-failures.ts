import { NodeError } from "../core/mod.ts";
import type { ShardLane } from "./shard-lane.ts";
import type { Piece } from "./upload-journal.ts";

/** Throws `invalid_argument` as soon as a source has other bytes than were announced. */
export function checkSize(announced: number | undefined, sizeBytes: number, last: boolean): void {
  if (announced === undefined || (last ? sizeBytes === announced : sizeBytes <= announced)) return;
  throw new NodeError(
    "invalid_argument",
    `The file has ${last ? "" : "at least "}${sizeBytes} bytes, not ${announced} as announced`,
    { data: { sizeBytes, announced } },
  );
}

/** Pieces whose bytes are counted against what was announced. */
export async function* sizeChecked(
  pieces: AsyncIterable<Piece>,
  announced: number | undefined,
): AsyncGenerator<Piece, void, undefined> {
  let sizeBytes = 0;
  for await (const piece of pieces) {
    sizeBytes += piece.sizeBytes;
    checkSize(announced, sizeBytes, piece.last);
    yield piece;
  }
}

/** Why an aborted call ended: what its signal says, when that is an error of ours. */
export function canceled(signal: AbortSignal, what = "The put"): NodeError {
  if (signal.reason instanceof NodeError) return signal.reason;
  return new NodeError("canceled", `${what} was canceled`, { cause: signal.reason });
}

/** The same error, with the id under which the upload can go on. */
export function withId(error: NodeError, id: string): NodeError {
  const { code, message, data, retryable, retryAfterMs } = error;
  return new NodeError(code, message, {
    data: { ...data, id },
    cause: error,
    retryable,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

export function tooFewDurable(
  lanes: readonly ShardLane[],
  { durable, wanted }: { durable: number; wanted: number },
): NodeError {
  const failures = lanes.flatMap(({ failure, provider }) =>
    failure === undefined ? [] : [`${provider.target}: ${failure.message}`]
  );
  return new NodeError(
    "shards_missing",
    `Only ${durable} of the ${wanted} shards that a put waits for are durable (${
      failures.slice(0, 5).join("; ")
    }). Put it again, or go on with it, when more providers answer`,
    { data: { durable, needed: wanted, missing: wanted - durable } },
  );
}

/** Somebody removed the file while it was put: what was asked for last holds. */
export function removedMeanwhile(id: string): NodeError {
  return new NodeError("failed_precondition", `File ${id} was removed while it was put; put it anew if it is wanted`, {
    data: { id },
  });
}
