import { constants } from "node:http2";
import { headersOf } from "./headers.ts";
import { Http2Stream, type StreamPort } from "./stream.ts";

const { HTTP2_HEADER_STATUS } = constants;

/** How long a caller may take to begin to read an answer that is there, in milliseconds. */
const UNREAD_MS = 5000;

/** A request as its caller has it: node:http2's ClientHttp2Stream. */
export class ClientStream extends Http2Stream {
  readonly #isPending: () => boolean;

  constructor(id: number, { session, port, isPending }: {
    readonly session: object;
    readonly port: StreamPort;
    readonly isPending: () => boolean;
  }) {
    super(id, session, port);
    this.#isPending = isPending;
  }

  /** Whether nothing of it has gone out, since there is no connection yet. */
  get pending(): boolean {
    return this.#isPending();
  }

  /** There is nothing to send. */
  endWithoutBody(): void {
    this.bodyIsOut = true;
    this.end();
  }

  /** Headers or trailers of the answer have come. */
  answered(raw: string[], ends: boolean): void {
    const headers: Record<string, unknown> = headersOf(raw);
    if (raw[0] !== HTTP2_HEADER_STATUS) this.emit("trailers", headers, Number(ends), raw);
    else {
      const status = Number(raw[1]);
      headers[HTTP2_HEADER_STATUS] = status;
      this.emit(status >= 200 ? "response" : "headers", headers, Number(ends), raw);
    }
    if (ends) this.arriveEnd();
  }

  protected override whenUnread(drop: () => void): void {
    setTimeout(drop, UNREAD_MS).unref();
  }
}
