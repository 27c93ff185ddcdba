import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { NodeError } from "../core/mod.ts";
import { statusTrailers } from "./grpc-frame.ts";

/** The size of headers as HTTP/2 counts it (RFC 9113 §6.5.2). Node announces the limit, but does not enforce it. */
export function headerBytes(raw: readonly string[]): number {
  let bytes = raw.length * 16;
  for (let i = 0; i < raw.length; i++) bytes += raw[i]!.length;
  return bytes;
}

/** Answers a request with too many headers in the way of its protocol, and wants no more of it. */
export function refuseHeaders(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, limitBytes: number): void {
  stream.on("error", () => {});
  const isGrpc = headers["content-type"]?.startsWith("application/grpc") === true;
  const error = new NodeError(
    "input_too_large",
    `The request has more than ${limitBytes} bytes of headers: send fewer`,
    {
      data: { limitBytes },
    },
  );
  try {
    stream.respond(
      isGrpc
        ? { ":status": 200, "content-type": "application/grpc+proto", ...statusTrailers(error) }
        : { ":status": 431 },
      { endStream: true },
    );
    stream.resume();
    stream.close(constants.NGHTTP2_NO_ERROR);
  } catch {
    stream.destroy();
  }
}
