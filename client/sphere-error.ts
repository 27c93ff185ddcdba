import { Code, ConnectError } from "@connectrpc/connect";
import { NodeError } from "../src/core/errors.ts";
import { ErrorDetailSchema } from "../src/gen/velas/sphere/v1/error_pb.ts";

/** A call that the node refused, or that did not reach it. Codes are those of docs/errors.md; `unreachable` is this side's own. */
export class SphereError extends Error {
  readonly code: string;
  readonly retryable: boolean;
  /** The values that the message names, such as `needed` of `payment_required`. */
  readonly data: Readonly<Record<string, string>>;

  constructor(
    code: string,
    message: string,
    options: {
      readonly retryable?: boolean;
      readonly data?: Readonly<Record<string, string>>;
      readonly cause?: unknown;
    } = {},
  ) {
    super(
      message,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = "SphereError";
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.data = options.data ?? {};
  }

  /** Whatever a call threw. */
  static from(error: unknown): SphereError {
    if (error instanceof SphereError) return error;
    if (error instanceof NodeError) {
      return new SphereError(error.code, error.message, { cause: error });
    }
    const failure = ConnectError.from(error);
    // What an interceptor throws arrives as the cause.
    if (failure.cause instanceof SphereError) return failure.cause;
    const detail = failure.findDetails(ErrorDetailSchema)[0];
    if (detail !== undefined) {
      return new SphereError(detail.code, failure.rawMessage, {
        retryable: detail.retryable,
        data: detail.data,
        cause: error,
      });
    }
    const code = failure.code === Code.Unavailable ? "unreachable" : Code[failure.code].replaceAll(
      /(?<=[a-z])[A-Z]/g,
      (letter) => `_${letter}`,
    ).toLowerCase();
    return new SphereError(code, failure.rawMessage, {
      retryable: failure.code === Code.Unavailable,
      cause: error,
    });
  }
}

/** Runs a call whose failure is a SphereError. */
export async function calling<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw SphereError.from(error);
  }
}

/** Goes through a stream whose failure is a SphereError. */
export async function* streaming<T>(
  stream: AsyncIterable<T>,
): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (error) {
    throw SphereError.from(error);
  }
}
