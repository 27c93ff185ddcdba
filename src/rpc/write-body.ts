import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Writable } from "node:stream";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

/** What ServerResponse and Http2ServerResponse have in common, which their types do not say. */
export interface Response extends Writable {
  writeHead(status: number, headers: OutgoingHttpHeaders): unknown;
  setHeader(name: string, value: string): unknown;
  statusCode: number;
  addTrailers(trailers: OutgoingHttpHeaders): void;
  /** Over HTTP/2. */
  readonly stream?: ServerHttp2Stream;
}

export interface WriteBodyOptions {
  readonly stallTimeoutMs: number;
}

/**
 * Writes a response as its body comes, no faster than the client reads. Never throws: a client that goes away, or that reads nothing
 * for the stall timeout, ends the body's iterator, which stops the call behind it.
 */
export async function writeBody(
  answer: UniversalServerResponse,
  request: IncomingMessage | Http2ServerRequest,
  response: Response,
  options: WriteBodyOptions,
): Promise<void> {
  const body = answer.body?.[Symbol.asyncIterator]();
  try {
    let chunk = await body?.next();
    if (isGone(response)) return;
    // Only now: until its first message a service may still set headers.
    response.writeHead(answer.status, toNodeHeaders(answer.header));
    for (; chunk !== undefined && chunk.done !== true; chunk = await body!.next()) {
      if (isGone(response)) return;
      if (!response.write(chunk.value) && !await drained(response, options.stallTimeoutMs)) {
        response.destroy();
        return;
      }
    }
    if (isGone(response)) return;
    if (answer.trailer !== undefined) response.addTrailers(toNodeHeaders(answer.trailer));
    response.end();
  } catch {
    response.destroy();
  } finally {
    drainRequest(request);
    body?.return?.().catch(() => {});
  }
}

/**
 * Reads and drops what is left of a request's body. Without that, a client that is still sending would wait for ever, and Node would
 * not even notice that it leaves.
 */
export function drainRequest(request: IncomingMessage | Http2ServerRequest): void {
  if (!("stream" in request)) {
    request.resume();
    return;
  }
  // The compatibility layer stops its stream when the request object was destroyed, as reading half of it does.
  const { stream } = request;
  if (stream === undefined || stream.destroyed || stream.readableEnded) return;
  stream.removeAllListeners("data");
  stream.on("data", ignore);
  stream.resume();
}

function ignore(): void {}

function isGone(response: Response): boolean {
  return response.destroyed || response.writableEnded || (response.stream?.destroyed === true);
}

/** Resolves with true when the response takes more, with false when it is gone or has not taken anything for the time. */
export function drained(response: Writable, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (result: boolean) => {
      clearTimeout(timer);
      response.off("drain", onDrain);
      response.off("close", onClose);
      resolve(result);
    };
    const onDrain = () => done(true);
    const onClose = () => done(false);
    const timer = setTimeout(onClose, limitMs);
    response.on("drain", onDrain);
    response.on("close", onClose);
  });
}

function toNodeHeaders(headers: UniversalServerResponse["header"]): OutgoingHttpHeaders {
  const result: OutgoingHttpHeaders = {};
  if (headers === undefined) return result;
  const all = new Headers(headers);
  all.forEach((value, key) => {
    result[key] = key === "set-cookie" ? all.getSetCookie() : value;
  });
  return result;
}
