import http2 from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import net from "node:net";
import { openSession } from "../../http2/mod.ts";
import { CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES } from "../listener.ts";
import type { DoorKey } from "./protocol.ts";

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } =
  http2.constants;

/** Opens a connection to the main thread for that of a caller, of whom it tells the address. */
function connectDoor({ path, token }: DoorKey, address: string): net.Socket {
  const socket = net.connect({ path });
  socket.on("error", ignore);
  socket.write(`${token}${address}\n`);
  return socket;
}

/** Joins a connection of HTTP/1.1 with one to the main thread. */
export function forwardHttp1(socket: net.Socket, door: DoorKey): void {
  const inner = connectDoor(door, socket.remoteAddress ?? "");
  // Not before what came last has gone.
  inner.on("close", () => socket.destroySoon());
  socket.on("close", () => inner.destroy());
  socket.pipe(inner);
  inner.pipe(socket);
}

/**
 * What a caller's connection has on the main thread: a session of its own, opened when it is first needed, so that the main thread knows a caller by
 * the connection and by nothing that callers can write.
 */
export class InnerSession {
  readonly #door: DoorKey;
  readonly #address: string;
  #session: ClientHttp2Session | undefined;

  constructor(door: DoorKey, address: string) {
    this.#door = door;
    this.#address = address;
  }

  /** Passes a stream on, and its answer back. */
  forward(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on("error", ignore);
    try {
      join(stream, this.#open().request(headers, { endStream: stream.endAfterHeaders }));
    } catch {
      // The main thread takes no more on this session, and has not seen the call.
      closeStream(stream, NGHTTP2_REFUSED_STREAM);
    }
  }

  /** The caller's connection is gone. */
  close(): void {
    this.#session?.destroy();
  }

  #open(): ClientHttp2Session {
    const known = this.#session;
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = openSession("http://localhost", connectDoor(this.#door, this.#address), {
      streamWindowBytes: STREAM_WINDOW_BYTES,
      connectionWindowBytes: CONNECTION_WINDOW_BYTES,
    });
    session.on("error", ignore);
    return this.#session = session;
  }
}

/** Joins a caller's stream with one to the main thread: bodies with backpressure, headers, trailers and resets in both directions. */
function join(outer: ServerHttp2Stream, inner: ClientHttp2Stream): void {
  inner.on("error", ignore);
  // A stream that is reset ends for its reader as if it were whole, so pipes may not end what they write to.
  outer.pipe(inner, { end: false });
  outer.on("end", () => {
    if (!wasReset(outer)) inner.end();
  });
  outer.on("close", () => {
    // What was broken off must not look whole.
    const isDone = inner.readableEnded && inner.writableFinished;
    closeStream(inner, outer.rstCode || (isDone ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL));
  });
  inner.on("headers", (headers) => attempt(outer, () => outer.additionalHeaders(headers)));
  let trailers: IncomingHttpHeaders = {};
  let answered = false;
  const endUnread = () => {
    // The main thread wants no more of a body that still comes.
    if (answered && inner.closed && !outer.readableEnded) closeStream(outer, NGHTTP2_NO_ERROR);
  };
  inner.on("trailers", (more) => trailers = more);
  inner.on("response", (headers, flags) => {
    answered = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    outer.on("wantTrailers", () => {
      attempt(outer, () => outer.sendTrailers(trailers));
      answered = true;
      setImmediate(endUnread);
    });
    attempt(outer, () => outer.respond(headers, answered ? { endStream: true } : { waitForTrailers: true }));
    if (answered) inner.resume();
    else inner.pipe(outer, { end: false });
  });
  inner.on("end", () => {
    if (!wasReset(inner)) outer.end();
  });
  inner.on("close", () => {
    // A session that broke has no code for its streams.
    const code = inner.rstCode || (inner.readableEnded ? NGHTTP2_NO_ERROR : NGHTTP2_INTERNAL_ERROR);
    if (code === NGHTTP2_NO_ERROR) endUnread();
    else closeStream(outer, code);
  });
}

function wasReset(stream: ServerHttp2Stream | ClientHttp2Stream): boolean {
  return (stream.rstCode ?? NGHTTP2_NO_ERROR) !== NGHTTP2_NO_ERROR;
}

function closeStream(stream: ServerHttp2Stream | ClientHttp2Stream, code: number): void {
  if (stream.closed || stream.destroyed) return;
  // What nobody reads any more would keep it open.
  stream.resume();
  stream.close(code);
}

/** A caller may reset its stream at any moment, of which a stream tells who writes by throwing. */
function attempt(stream: ServerHttp2Stream, work: () => void): void {
  if (stream.closed || stream.destroyed) return;
  try {
    work();
  } catch {
    stream.destroy();
  }
}

function ignore(): void {}
