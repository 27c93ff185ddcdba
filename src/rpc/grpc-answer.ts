import { constants } from "node:http2";
import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { AnswerMetadata } from "./calls.ts";
import type { Frame } from "./route.ts";

/*
 * Answers of gRPC over the stream API of node:http2. A peer may reset its stream at any moment, also between two lines here, and node:http2 then
 * throws from respond() or sendTrailers(). So each of these calls is guarded: a stream that is gone needs no answer.
 */

const { HTTP2_HEADER_CONTENT_TYPE, NGHTTP2_NO_ERROR } = constants;

export const OK_HEADERS: OutgoingHttpHeaders = {
  ":status": 200,
  [HTTP2_HEADER_CONTENT_TYPE]: "application/grpc+proto",
};
export const OK_TRAILERS: OutgoingHttpHeaders = { "grpc-status": "0" };
const WAIT_FOR_TRAILERS = { waitForTrailers: true } as const;
const END_STREAM = { endStream: true } as const;

/** Answers with headers, frames of messages, and trailers that say OK. */
export function answerFrame(stream: ServerHttp2Stream, frame: Frame, answer?: AnswerMetadata): void {
  if (stream.destroyed || stream.closed) return;
  try {
    stream.on("wantTrailers", answer === undefined ? sendOkTrailers : () => sendTrailers(stream, answer.trailers));
    stream.respond(answer === undefined ? OK_HEADERS : { ...OK_HEADERS, ...answer.headers }, WAIT_FOR_TRAILERS);
    const parts = frame instanceof Uint8Array ? [frame] : frame;
    if (parts.length === 1) {
      stream.end(parts[0]);
      return;
    }
    stream.cork();
    for (const part of parts) stream.write(part);
    stream.end();
    stream.uncork();
  } catch {
    stream.destroy();
  }
}

/** Answers with headers that are trailers too, and wants no more of the request. */
export function answerStatus(stream: ServerHttp2Stream, trailers: OutgoingHttpHeaders): void {
  if (stream.destroyed || stream.closed) return;
  try {
    stream.respond({ ...OK_HEADERS, ...trailers }, END_STREAM);
    // The rest of a body that nobody wants would keep the stream open: a reset without an error says so (RFC 9113 §8.1).
    if (stream.readableEnded) return;
    stream.resume();
    stream.close(NGHTTP2_NO_ERROR);
  } catch {
    stream.destroy();
  }
}

function sendOkTrailers(this: ServerHttp2Stream): void {
  sendTrailers(this, undefined);
}

function sendTrailers(stream: ServerHttp2Stream, more: OutgoingHttpHeaders | undefined): void {
  try {
    stream.sendTrailers(more === undefined ? OK_TRAILERS : { ...OK_TRAILERS, ...more });
  } catch {
    stream.destroy();
  }
}
