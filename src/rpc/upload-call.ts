import type { ServerHttp2Stream } from "node:http2";
import { create, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type ErrorCode, NodeError, notSigned } from "../core/mod.ts";
import type { Call, CallOpening, Calls } from "./calls.ts";
import { answerFrame, answerStatus } from "./grpc-answer.ts";
import { FrameError, frameOf, statusOf, statusTrailers } from "./grpc-frame.ts";
import { type Frame, parseRequest, type UploadRoute } from "./route.ts";
import { StreamAnswer } from "./stream-answer.ts";
import { UploadBody } from "./upload-body.ts";
import type { WriteBodyOptions } from "./write-body.ts";

export interface UploadCallInit {
  readonly route: UploadRoute;
  readonly opening: CallOpening;
  readonly options: WriteBodyOptions & {
    readonly calls: Calls;
    readonly maxMessageBytes: number;
    /** While it gives an error, calls are refused with it. */
    readonly refusal: () => NodeError | undefined;
  };
}

/**
 * Serves a stream of requests that carry large bytes: these go from the connection to the service without being made messages first, which Connect
 * does with a copy or more and a pipeline of generators for each. The answer is sent whole at its end or, where the route is direct, message by message.
 * All else of the call is as on the way through Connect, and so is the function that answers it.
 */
export async function serveUpload(
  stream: ServerHttp2Stream,
  { route, opening, options }: UploadCallInit,
): Promise<void> {
  const direct = route.direct === undefined ? undefined : new StreamAnswer(stream, options);
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
    const code = reason instanceof FrameError ? reason.code : undefined;
    const trailers = status === undefined ? statusTrailers(known, code) : statusOf(status);
    if (direct !== undefined) direct.fail(trailers, call.answer);
    else answerStatus(stream, { ...call.answer?.headers, ...call.answer?.trailers, ...trailers });
  };
  const call: Call = options.calls.open(route, { ...opening, onAbort: refuse });
  // An error on a stream is the peer's doing (a reset, a broken connection); `close` follows and ends the call.
  stream.on("error", () => {});
  stream.on("close", () => call.abort(new NodeError("canceled", "The caller went away before the answer")));
  try {
    const refusal = options.refusal() ?? call.refusal;
    if (refusal !== undefined) throw refusal;
    if (call.signsBody) throw notSigned("a stream is signed without the digest of its body");
    const body = new UploadBody(stream, {
      field: route.bytes?.number ?? NO_FIELD,
      maxMessageBytes: options.maxMessageBytes,
    });
    const frames: Frame[] = [];
    await answerInto(call, route, {
      body,
      // A call that was stopped has its answer.
      take: (frame) =>
        direct === undefined ? void frames.push(frame) : answered ? GONE : direct.write(frame, call.answer),
    });
    if (!finish("ok")) return;
    if (direct === undefined) answerFrame(stream, frames.flat(), call.answer);
    else direct.end(call.answer);
  } catch (reason) {
    refuse(reason);
  }
}

/** No field has this number, so that every message is handed on whole. */
const NO_FIELD = -1;
const GONE = Promise.resolve(false);

interface AnswerPlan {
  readonly body: UploadBody;
  /** Takes a frame of the answer; a promise of false means that nobody takes more. */
  take(frame: Frame): void | Promise<boolean>;
}

/** Runs the call, and hands on the frames of its answer as they come. */
async function answerInto(call: Call, route: UploadRoute, { body, take }: AnswerPlan): Promise<void> {
  const { output } = route.method;
  const source = route.handle(requestsOf(body, route), call)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await call.traced(() => source.next());
      if (next.done === true) return;
      const frame = route.direct?.frame(next.value) ?? frameOf(toBinary(output, create(output, next.value)));
      const wait = take(frame);
      if (wait !== undefined && !await wait) {
        throw new NodeError("canceled", "The caller went away, or has not read the answer for long");
      }
    }
  } finally {
    // Not awaited: a source that waits for something else would never let go. It has its signal.
    source.return?.().catch(() => {});
  }
}

async function* requestsOf(
  body: UploadBody,
  { method, bytes }: UploadRoute,
): AsyncGenerator<MessageShape<DescMessage>> {
  try {
    for (let item = await body.next(); item !== undefined; item = await body.next()) {
      yield item.kind === "bytes" ? bytes!.wrap(item.bytes) : parseRequest(method.input, item.message);
    }
  } finally {
    body.stop();
  }
}
