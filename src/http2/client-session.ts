import { constants, type OutgoingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import { ClientStream } from "./client-stream.ts";
import { textOf } from "./headers.ts";
import { Http2Session } from "./session.ts";

const { HTTP2_HEADER_AUTHORITY, HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH, HTTP2_HEADER_SCHEME, NGHTTP2_NO_ERROR } =
  constants;

/** What the headers of an answer may take, in bytes as HTTP/2 counts them. */
const MOST_HEADER_BYTES = 128 << 10; // 128 KiB

/** What may wait in the socket before those who write requests are held back. */
const MOST_UNSENT_BYTES = 256 << 10; // 256 KiB

/** Methods whose requests have no body. */
const BODILESS = new Set(["GET", "HEAD", "DELETE"]);

/** What a client announces. */
export interface ClientSettings {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
}

/** Options of {@link ClientSession.request}. */
export interface RequestOptions {
  /** Whether it has no body; what is not said is known by its method. */
  readonly endStream?: boolean;
}

/** A connection that was opened to a server: node:http2's ClientHttp2Session. The socket may still be connecting. */
export class ClientSession extends Http2Session<ClientStream> {
  readonly #origin: OutgoingHttpHeaders;

  constructor(origin: URL, socket: Socket, settings: ClientSettings) {
    const isTls = origin.protocol === "https:";
    super(socket, { ...settings, mostHeaderBytes: MOST_HEADER_BYTES, maxUnsentBytes: MOST_UNSENT_BYTES }, false);
    this.#origin = { [HTTP2_HEADER_SCHEME]: isTls ? "https" : "http", [HTTP2_HEADER_AUTHORITY]: origin.host };
    socket.on("error", (error) => this.destroy(error));
    socket.once(isTls ? "secureConnect" : "connect", () => {
      if (this.destroyed) return;
      this.isConnected = true;
      this.emit("connect", this, socket);
      this.flushSoon();
    });
  }

  get connecting(): boolean {
    return !this.isConnected;
  }

  /** Opens a stream. Throws a TypeError for headers that cannot be sent, and an Error when there can be no more streams. */
  request(headers: OutgoingHttpHeaders, options: RequestOptions = {}): ClientStream {
    if (this.closed || this.destroyed) throw new Error("The connection takes no more requests");
    const all = { [HTTP2_HEADER_METHOD]: "GET", [HTTP2_HEADER_PATH]: "/", ...this.#origin, ...headers };
    const hasBody = !(options.endStream ?? BODILESS.has(String(all[HTTP2_HEADER_METHOD])));
    const id = this.connection.request(textOf(all), hasBody);
    if (id < 0) throw new OutOfStreams();
    const stream = new ClientStream(id, { session: this, port: this, isPending: () => !this.isConnected });
    this.streams.set(id, stream);
    if (!hasBody) stream.endWithoutBody();
    this.flushSoon();
    return stream;
  }

  override headers(id: number, raw: string[], ends: boolean): void {
    const stream = this.streams.get(id);
    if (stream !== undefined) this.later(() => stream.answered(raw, ends));
  }

  override settings(): void {
    this.later(() => this.emit("remoteSettings"));
  }

  override dismissed(code: number): void {
    super.dismissed(code);
    this.later(() => {
      this.emit("goaway", code);
      if (code === NGHTTP2_NO_ERROR) this.close();
      else this.destroy(new Dismissed(code));
    });
  }
}

/** No stream has a number left. */
class OutOfStreams extends Error {
  readonly code = "ERR_HTTP2_OUT_OF_STREAMS";

  constructor() {
    super("No stream can be opened any more");
  }
}

/** The peer ended the connection with a code. */
class Dismissed extends Error {
  readonly code = "ERR_HTTP2_SESSION_ERROR";

  constructor(code: number) {
    super(`The session was closed with the HTTP/2 code ${code}`);
  }
}
