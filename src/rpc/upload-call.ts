import { Buffer } from "node:buffer";
import type { ServerHttp2Stream } from "node:http2";
import { create, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type ErrorCode, NodeError, notSigned } from "../core/mod.ts";
import type { Call, CallOpening, Calls } from "./calls.ts";
import { answerFrame, answerStatus } from "./grpc-answer.ts";
import { FrameError, frameOf, statusOf, statusTrailers } from "./grpc-frame.ts";
import { parseRequest, type UploadRoute } from "./route.ts";
import { UploadBody } from "./upload-body.ts";

export interface UploadCallInit {
  readonly route: UploadRoute;
  readonly opening: CallOpening;
  readonly options: {
    readonly calls: Calls;
    readonly maxMessageBytes: number;
    /** While it gives an error, calls are refused with it. */
    readonly refusal: () => NodeError | undefined;
  };
}

/**
 * Serves a stream of requests that carry large bytes: these go from the connection to the service without being made messages first, which Connect
 * does with a copy or more and a pipeline of generators for each. All else of the call is as on the way through Connect, and so is the function
 * that answers it.
 */
export async function serveUpload(
  stream: ServerHttp2Stream,
  { route, opening, options }: UploadCallInit,
): Promise<void> {
  let answered = false;
  const finish = (code: ErrorCode | "ok"): boolean => {
    if (answered) return false;
    answered = true;
    call.end(code);
    return true;
  };
  const refuse = (reason: unknown) => {
    const status = call.answer?.status;
    const known = reason instanceof FrameError ? reason.error : call.failure(reason);
    if (!finish(status === undefined ? known.code : "target_failed")) return;
    call.stop();
    const { headers, trailers } = call.answer ?? { headers: {}, trailers: {} };
    const code = reason instanceof FrameError ? reason.code : undefined;
    answerStatus(stream, {
      ...headers,
      ...trailers,
      ...(status === undefined ? statusTrailers(known, code) : statusOf(status)),
    });
  };
  const call: Call = options.calls.open(route, { ...opening, onAbort: refuse });
  // An error on a stream is the peer's doing (a reset, a broken connection); `close` follows and ends the call.
  stream.on("error", () => {});
  stream.on("close", () => call.abort(new NodeError("canceled", "The caller went away before the answer")));
  try {
    const refusal = options.refusal() ?? call.refusal;
    if (refusal !== undefined) throw refusal;
    if (call.signsBody) throw notSigned("a stream is signed without the digest of its body");
    const body = new UploadBody(stream, { field: route.bytes.number, maxMessageBytes: options.maxMessageBytes });
    const frame = await answerOf(call, route, body);
    if (finish("ok")) answerFrame(stream, frame, call.answer);
  } catch (reason) {
    refuse(reason);
  }
}

/** Runs the call, and gives the frames of its answer. */
async function answerOf(call: Call, route: UploadRoute, body: UploadBody): Promise<Uint8Array> {
  const { output } = route.method;
  const frames: Uint8Array[] = [];
  const source = route.handle(requestsOf(body, route), call)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await call.traced(() => source.next());
      if (next.done === true) break;
      frames.push(frameOf(toBinary(output, create(output, next.value))));
    }
  } finally {
    // Not awaited: a source that waits for something else would never let go. It has its signal.
    source.return?.().catch(() => {});
  }
  return frames.length === 1 ? frames[0]! : Buffer.concat(frames);
}

async function* requestsOf(
  body: UploadBody,
  { method, bytes }: UploadRoute,
): AsyncGenerator<MessageShape<DescMessage>> {
  try {
    for (let item = await body.next(); item !== undefined; item = await body.next()) {
      yield item.kind === "bytes" ? bytes.wrap(item.bytes) : parseRequest(method.input, item.message);
    }
  } finally {
    body.stop();
  }
}
