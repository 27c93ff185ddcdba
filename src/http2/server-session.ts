import type { Socket } from "node:net";
import { headersOf } from "./headers.ts";
import { ServerStream } from "./server-stream.ts";
import { Http2Session } from "./session.ts";

/** What headers may have beyond the limit that a client is told, in bytes, so that who serves them can say what is wrong. */
const MORE_HEADER_BYTES = 64 << 10; // 64 KiB

/** What a server announces and allows. */
export interface ServerSettings {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly maxConcurrentStreams: number;
  /** What clients are told that the headers of a request may take, in bytes as HTTP/2 counts them. */
  readonly maxHeaderBytes: number;
  /** What may wait in the socket, in bytes, before those who answer are held back. */
  readonly maxUnsentBytes: number;
}

/** A connection that a server has accepted: node:http2's ServerHttp2Session. Emits `stream` for each request, with its headers. */
export class ServerSession extends Http2Session<ServerStream> {
  constructor(socket: Socket, settings: ServerSettings) {
    const mostHeaderBytes = settings.maxHeaderBytes + MORE_HEADER_BYTES;
    super(socket, { ...settings, mostHeaderBytes, server: settings }, true);
    socket.resume();
  }

  override headers(id: number, raw: string[], ends: boolean): void {
    const known = this.streams.get(id);
    if (known !== undefined) {
      this.later(() => {
        known.emit("trailers", headersOf(raw), Number(ends), raw);
        if (ends) known.arriveEnd();
      });
      return;
    }
    // What follows the headers of a stream that is gone already.
    if (!raw[0]?.startsWith(":")) return;
    const headers = headersOf(raw);
    const stream = new ServerStream(id, { session: this, port: this, headers, ends });
    this.streams.set(id, stream);
    if (ends) stream.arriveEnd();
    this.later(() => this.emit("stream", stream, headers, Number(ends), raw));
  }
}
