import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { textOf } from "./headers.ts";
import { Http2Stream, type StreamPort } from "./stream.ts";

const { HTTP2_HEADER_METHOD, HTTP2_HEADER_STATUS } = constants;

/** Statuses that have no body (RFC 9110 §6.4.1). */
const BODILESS = new Set([204, 205, 304]);

/** How long the date of an answer is that of the one before, in milliseconds. */
const DATE_MS = 1000;

/** Options of {@link ServerStream.respond}. */
export interface RespondOptions {
  readonly endStream?: boolean;
  readonly waitForTrailers?: boolean;
  readonly sendDate?: boolean;
}

/** A request as its server has it: node:http2's ServerHttp2Stream. */
export class ServerStream extends Http2Stream {
  readonly headRequest: boolean;
  readonly pushAllowed = false;
  readonly pending = false;
  sentHeaders: OutgoingHttpHeaders | undefined;
  sentTrailers: OutgoingHttpHeaders | undefined;
  /** The request has no body. */
  readonly endAfterHeaders: boolean;

  constructor(id: number, { session, port, headers, ends }: {
    readonly session: object;
    readonly port: StreamPort;
    readonly headers: IncomingHttpHeaders;
    /** Whether nothing follows the headers. */
    readonly ends: boolean;
  }) {
    super(id, session, port);
    this.endAfterHeaders = ends;
    this.headRequest = headers[HTTP2_HEADER_METHOD] === "HEAD";
  }

  get headersSent(): boolean {
    return this.sentHeaders !== undefined;
  }

  /** Sends the headers of the answer. Throws a TypeError for headers that cannot be sent, and an Error for a stream that is gone. */
  respond(headers: OutgoingHttpHeaders = {}, options: RespondOptions = {}): void {
    this.#checkUnanswered();
    const sent: OutgoingHttpHeaders = { [HTTP2_HEADER_STATUS]: 200, ...headers };
    if (options.sendDate !== false) sent["date"] ??= dateNow();
    const hasBody = options.endStream !== true && !this.headRequest && !BODILESS.has(Number(sent[HTTP2_HEADER_STATUS]));
    const text = textOf(sent);
    this.sentHeaders = sent;
    this.waitsForTrailers = options.waitForTrailers === true && hasBody;
    if (!this.port.respond(this.id, text, hasBody)) throw new Error(`Stream ${this.id} cannot be answered any more`);
    if (hasBody) return;
    this.bodyIsOut = true;
    this.end();
  }

  /** Sends headers with a status below 200. */
  additionalHeaders(headers: OutgoingHttpHeaders): void {
    this.#checkUnanswered();
    this.port.inform(this.id, textOf(headers));
  }

  /** Ends the answer, once it asked for trailers by `wantTrailers`. Throws as {@link respond} does. */
  sendTrailers(headers: OutgoingHttpHeaders): void {
    this.checkOpen();
    if (this.hasTrailers) throw new Error(`Stream ${this.id} has its trailers already`);
    if (!this.bodyIsOut) throw new Error(`Stream ${this.id} is not ready for its trailers`);
    const text = textOf(headers);
    this.sentTrailers = headers;
    this.hasTrailers = true;
    this.port.trailers(this.id, text);
  }

  protected override whenUnread(drop: () => void): void {
    setImmediate(drop);
  }

  protected override askForTrailers(): void {
    if (!this.emit("wantTrailers")) this.sendTrailers({});
  }

  #checkUnanswered(): void {
    this.checkOpen();
    if (this.headersSent) throw new Error(`Stream ${this.id} has its headers already`);
  }
}

let date = "";
let dateAt = -Infinity;

/** The time as a header has it. */
function dateNow(): string {
  const now = performance.now();
  if (now - dateAt >= DATE_MS) {
    date = new Date().toUTCString();
    dateAt = now;
  }
  return date;
}
