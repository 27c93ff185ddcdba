import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http2";
import { Code } from "@connectrpc/connect";
import { type ErrorCode, NodeError } from "../core/mod.ts";
import type { AnswerMetadata, Call, CallOpening, Calls } from "./calls.ts";
import { FRAME_HEADER_BYTES, FrameError, statusOf, statusTrailers } from "./grpc-frame.ts";
import type { Frame, UnaryRoute } from "./route.ts";

const NO_BYTES = Buffer.alloc(0);
const COMPRESSED = "received compressed envelope, but do not know how to decompress";

/** Sends the answer of a call to its caller, who may be gone. One of the two is called, once. */
export interface Answerer {
  answer(frame: Frame, metadata: AnswerMetadata | undefined): void;
  /** Answers with a status and no message; nobody wants the rest of the body. */
  refuse(trailers: OutgoingHttpHeaders): void;
}

export interface FastCallInit {
  readonly route: UnaryRoute;
  readonly opening: CallOpening;
  readonly options: FastCallOptions;
}

export interface FastCallOptions {
  readonly calls: Calls;
  readonly maxMessageBytes: number;
  /** While it gives an error, calls are refused with it. */
  readonly refusal: () => NodeError | undefined;
}

/**
 * One unary call of gRPC, from the bytes of its body to its answer, whichever way these come and go: its deadline, its refusals, and the one message
 * that the body must have.
 */
export class FastCall {
  readonly #answerer: Answerer;
  readonly #route: UnaryRoute;
  readonly #call: Call;
  readonly #maxMessageBytes: number;
  /** What has come of the body, `#length` bytes: the first chunk itself, which is most often all, or a copy with room for more. */
  #body: Buffer = NO_BYTES;
  #length = 0;
  /** The frame's length as its header says; -1 until the header is there. */
  #expected = -1;
  #compressed = false;
  #answered = false;

  constructor(answerer: Answerer, { route, opening, options }: FastCallInit) {
    this.#answerer = answerer;
    this.#route = route;
    this.#maxMessageBytes = options.maxMessageBytes;
    this.#call = options.calls.open(route, { ...opening, onAbort: (error) => this.#fail(error) });
    const refusal = options.refusal() ?? this.#call.refusal;
    if (refusal !== undefined) this.#fail(refusal);
  }

  /** Whether it has its answer, so that the rest of its body matters to nobody. */
  get answered(): boolean {
    return this.#answered;
  }

  /** More of the body has come. */
  read(chunk: Buffer): void {
    if (this.#answered) return;
    this.#append(chunk);
    if (this.#expected < 0 && this.#length >= FRAME_HEADER_BYTES) this.#readFrameHeader();
    if (!this.#answered && this.#expected >= 0 && this.#length > this.#expected + FRAME_HEADER_BYTES) {
      this.#refuse(
        this.#compressed
          ? malformed(Code.Internal, COMPRESSED)
          : malformed(Code.Unimplemented, "protocol error: received extra input message for unary method"),
      );
    }
  }

  #readFrameHeader(): void {
    const start = this.#whole();
    this.#expected = start.readUInt32BE(1);
    this.#compressed = (start[0]! & 1) === 1;
    if (this.#expected > this.#maxMessageBytes) {
      const message = `message size ${this.#expected} is larger than configured readMaxBytes ${this.#maxMessageBytes}`;
      this.#fail(
        new NodeError("input_too_large", message, {
          data: { sizeBytes: this.#expected, limitBytes: this.#maxMessageBytes },
        }),
      );
    }
  }

  /** Adds to the body. Its memory doubles, so that a client that sends single bytes costs no more than their sum twice. */
  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (this.#length === 0) {
      this.#body = chunk;
    } else {
      if (length > this.#body.length) {
        const grown = Buffer.allocUnsafe(Math.max(length, 2 * this.#body.length));
        this.#body.copy(grown, 0, 0, this.#length);
        this.#body = grown;
      }
      chunk.copy(this.#body, this.#length);
    }
    this.#length = length;
  }

  /** The body so far. */
  #whole(): Buffer {
    return this.#body.subarray(0, this.#length);
  }

  /** The client has sent everything: take the one message from the body, and answer it. */
  run(): void {
    if (this.#answered) return;
    let response: Promise<Frame>;
    try {
      if (this.#call.signsBody) this.#call.checkBody(hash("sha256", this.#whole(), "hex"));
      const message = this.#message();
      response = this.#call.traced(() => this.#route.handleBytes(message, this.#call));
    } catch (reason) {
      this.#refuse(reason);
      return;
    }
    response.then((frame) => this.#succeed(frame), (reason) => this.#refuse(reason));
  }

  #message(): Buffer {
    // A header that nothing follows counts as nothing, as it does in Connect.
    if (this.#length === 0 || (this.#length === FRAME_HEADER_BYTES && this.#expected > 0)) {
      throw malformed(Code.Unimplemented, "protocol error: missing input message for unary method");
    }
    if (this.#expected < 0 || this.#length < this.#expected + FRAME_HEADER_BYTES) {
      throw malformed(Code.InvalidArgument, "protocol error: incomplete envelope");
    }
    if (this.#compressed) throw malformed(Code.Internal, COMPRESSED);
    return this.#whole().subarray(FRAME_HEADER_BYTES);
  }

  #succeed(frame: Frame): void {
    if (this.#answered) return;
    this.#finish("ok");
    this.#answerer.answer(frame, this.#call.answer);
  }

  #refuse(reason: unknown): void {
    if (this.#answered) return;
    const { answer } = this.#call;
    if (answer?.status !== undefined) {
      this.#end("target_failed", { ...answer.headers, ...answer.trailers, ...statusOf(answer.status) });
    } else if (reason instanceof FrameError) this.#fail(reason.error, reason.code);
    else this.#fail(this.#call.failure(reason));
  }

  #fail(error: NodeError, code?: Code): void {
    if (!this.#answered) this.#end(error.code, statusTrailers(error, code));
  }

  #end(code: ErrorCode, trailers: OutgoingHttpHeaders): void {
    this.#finish(code);
    this.#answerer.refuse(trailers);
  }

  #finish(code: ErrorCode | "ok"): void {
    this.#answered = true;
    this.#body = NO_BYTES;
    this.#call.end(code);
  }

  /** The caller is gone, with or without an answer. */
  closed(): void {
    if (this.#answered) return;
    this.#call.abort(new NodeError("canceled", "The caller went away before the answer"));
  }
}

function malformed(code: Code, message: string): FrameError {
  return new FrameError(code, new NodeError("invalid_argument", message));
}
