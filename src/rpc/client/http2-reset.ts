import { type ClientHttp2Stream, constants } from "node:http2";

const ownClose = Symbol("close");

interface Prepared extends ClientHttp2Stream {
  [ownClose]: ClientHttp2Stream["close"];
}

/**
 * Has a stream's close() reset it without ending its request. Node ends it first (`closeStream` in its source), so that the peer sees a whole
 * request, and may have answered and charged it before the reset is there: a task would run on the part of its input that was sent.
 */
export function resetUnended(stream: ClientHttp2Stream): void {
  (stream as Prepared)[ownClose] = stream.close;
  stream.close = closeUnended;
}

function closeUnended(
  this: ClientHttp2Stream,
  code: number = constants.NGHTTP2_NO_ERROR,
  callback?: () => void,
): void {
  if (code !== constants.NGHTTP2_NO_ERROR && !this.writableEnded) this.end = () => this;
  (this as Prepared)[ownClose](code, callback);
}
