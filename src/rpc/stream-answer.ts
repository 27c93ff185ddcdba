import { Buffer } from "node:buffer";
import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { AnswerMetadata } from "./calls.ts";
import { answerStatus, OK_HEADERS, OK_TRAILERS } from "./grpc-answer.ts";
import type { Frame } from "./route.ts";
import { drained, type WriteBodyOptions } from "./write-body.ts";

/** Parts of a frame that are shorter than this together are sent as one. */
const JOINED_BYTES = 16 << 10; // 16 KiB

/**
 * The answer of a call that goes out message by message, no faster than its client reads. A peer may reset its stream at any moment, which
 * then throws; a stream that is gone needs no answer.
 */
export class StreamAnswer {
  readonly #stream: ServerHttp2Stream;
  readonly #options: WriteBodyOptions;
  #trailers: OutgoingHttpHeaders = OK_TRAILERS;

  constructor(stream: ServerHttp2Stream, options: WriteBodyOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /**
   * Sends a message, behind the headers if it is the first. The promise, if any, has to be waited for: it gives false when the client is gone
   * or has read nothing for the stall timeout.
   */
  write(frame: Frame, answer: AnswerMetadata | undefined): void | Promise<boolean> {
    const stream = this.#stream;
    if (!this.#begin(answer)) return Promise.resolve(false);
    const parts = frame instanceof Uint8Array ? [frame] : frame;
    const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0);
    let hasRoom = true;
    if (parts.length > 1 && sizeBytes <= JOINED_BYTES) hasRoom = stream.write(Buffer.concat(parts));
    else {
      stream.cork();
      for (const part of parts) hasRoom = stream.write(part);
      stream.uncork();
    }
    if (!hasRoom) return drained(stream, this.#options.stallTimeoutMs);
  }

  /** Ends the answer with the status OK. */
  end(answer: AnswerMetadata | undefined): void {
    if (!this.#begin(answer)) return;
    if (answer !== undefined) this.#trailers = { ...OK_TRAILERS, ...answer.trailers };
    this.#stream.end();
  }

  /** Ends the answer with another status, after what was sent. Without metadata of the service, one block of headers is all that is sent. */
  fail(status: OutgoingHttpHeaders, answer: AnswerMetadata | undefined): void {
    const stream = this.#stream;
    if (!stream.headersSent && answer === undefined) return answerStatus(stream, status);
    if (!this.#begin(answer)) return;
    this.#trailers = { ...answer?.trailers, ...status };
    stream.end();
  }

  /** Sends the headers, once. Returns whether there is still somebody to answer. */
  #begin(answer: AnswerMetadata | undefined): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed || stream.writableEnded) return false;
    if (stream.headersSent) return true;
    try {
      stream.on("wantTrailers", () => {
        try {
          stream.sendTrailers(this.#trailers);
        } catch {
          stream.destroy();
        }
      });
      stream.respond(answer === undefined ? OK_HEADERS : { ...OK_HEADERS, ...answer.headers }, {
        waitForTrailers: true,
      });
      return true;
    } catch {
      stream.destroy();
      return false;
    }
  }
}
