import type { Buffer } from "node:buffer";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { plainTimeout } from "../fast-path.ts";
import { answerFrame, answerStatus } from "../grpc-answer.ts";
import { BatchWriter, encodeOpening, readBatch, RECORD } from "./batch.ts";

/** A call of this front that has no answer yet. */
interface OpenCall {
  readonly id: number;
  readonly opening: string;
  /** What has come of the body and is not handed over. */
  parts: Buffer[];
  /** Whether the main thread knows of it. */
  told: boolean;
  answered: boolean;
}

/** The call of a stream until it has closed, as on the main thread's own fast path. */
const CALL = Symbol("call");
type CallStream = ServerHttp2Stream & { [CALL]: OpenCall | undefined };

const NO_PARTS: Buffer[] = [];

/**
 * The unary calls of a front. Each goes to the main thread as it comes: as one record when all of it has come within a turn of the event loop, which
 * is nearly always, and as several otherwise, so that deadlines and refusals are in time.
 */
export class FrontCalls {
  readonly #paths: ReadonlySet<string>;
  readonly #out: BatchWriter;
  readonly #streams = new Map<number, CallStream>();
  /** Those of this turn. */
  #fresh: CallStream[] = [];
  #lastId = 0;

  /** Serves the methods of these paths. */
  constructor(paths: readonly string[], send: (batch: Uint8Array) => void) {
    this.#paths = new Set(paths);
    this.#out = new BatchWriter({ send, beforeFlush: () => this.#tellOfFresh() });
  }

  /** Takes a stream if it is a gRPC call of such a method in its plain form; returns false, having touched nothing, if not. */
  take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, address: string): boolean {
    if (!this.#paths.has(headers[":path"] as string) || plainTimeout(headers) === undefined) return false;
    const opening = encodeOpening(address, headers);
    if (opening === undefined) return false;
    const id = this.#lastId = (this.#lastId + 1) % 2 ** 32;
    const own = stream as CallStream;
    own[CALL] = { id, opening, parts: [], told: false, answered: false };
    this.#streams.set(id, own);
    this.#fresh.push(own);
    this.#out.schedule();
    stream.on("error", ignore);
    stream.on("data", (chunk: Buffer) => this.#onData(own, chunk));
    stream.on("end", () => this.#onEnd(own));
    stream.on("close", () => this.#onClose(own));
    return true;
  }

  /** Sends the answers of a batch to their callers. */
  answer(batch: Uint8Array): void {
    readBatch(batch, ({ kind, id, head, body }) => {
      const stream = this.#streams.get(id);
      if (stream === undefined) return;
      this.#streams.delete(id);
      const call = stream[CALL]!;
      call.answered = true;
      call.parts = NO_PARTS;
      if (kind === RECORD.answer) answerFrame(stream, body, head === "" ? undefined : JSON.parse(head));
      else answerStatus(stream, JSON.parse(head));
    });
  }

  #tellOfFresh(): void {
    for (const stream of this.#fresh) {
      const call = stream[CALL];
      if (call !== undefined && !call.told) this.#tell(call, RECORD.open);
    }
    this.#fresh = [];
  }

  #tell(call: OpenCall, kind: typeof RECORD.call | typeof RECORD.open): void {
    call.told = true;
    this.#out.add(kind, call.id, { head: call.opening, parts: call.parts });
    call.parts = NO_PARTS;
  }

  #onData(stream: CallStream, chunk: Buffer): void {
    const call = stream[CALL];
    if (call === undefined || call.answered) return;
    if (call.told) this.#out.add(RECORD.data, call.id, { parts: [chunk] });
    else call.parts.push(chunk);
  }

  #onEnd(stream: CallStream): void {
    const call = stream[CALL];
    if (call === undefined || call.answered) return;
    if (call.told) this.#out.add(RECORD.end, call.id);
    else this.#tell(call, RECORD.call);
  }

  /** The stream is gone, with or without an answer. */
  #onClose(stream: CallStream): void {
    const call = stream[CALL]!;
    stream[CALL] = undefined;
    if (call.answered) return;
    this.#streams.delete(call.id);
    if (!call.told) this.#tell(call, RECORD.open);
    this.#out.add(RECORD.gone, call.id);
  }
}

function ignore(): void {}
