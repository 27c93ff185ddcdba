import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/** Bytes that may wait for the peer to read; twice the window of a connection to our own server, so that HTTP/2 asks for no more. */
const MOST_WAITING_BYTES = 32 << 20; // 32 MiB

/** What is read before the socket is stopped; stopping and starting it costs more than the room. */
const READ_AHEAD_BYTES = 1 << 20; // 1 MiB

type Done = (error?: Error | null) => void;

/**
 * A socket that takes writes at once and keeps what the peer has not read yet, within bounds. A session of `node:http2` reads nothing
 * while a write of it waits (`Http2Session::MaybeStopReading`): with one at both ends, each waits for the other for ever once both send
 * more than the system buffers, on a Unix socket some 200 KiB. Over this, writes do not wait, so this end always reads, and that is
 * enough for both.
 */
export class WriteAhead extends Duplex {
  readonly #socket: Socket;
  #waiting: Done | undefined;

  constructor(socket: Socket) {
    super({ readableHighWaterMark: READ_AHEAD_BYTES });
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      if (!this.push(bytes)) socket.pause();
    });
    let ended = false;
    socket.once("end", () => {
      ended = true;
      this.push(null);
    });
    socket.on("drain", () => this.#proceed());
    socket.on("error", (error) => this.destroy(error));
    socket.once("close", () => {
      // What came before the end is read first.
      if (!ended || this.readableEnded) return void this.destroy();
      this.once("end", () => this.destroy());
      this.#proceed(new Error("the socket was closed"));
    });
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    this.#socket.write(chunk);
    this.#took(done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: Done): void {
    this.#socket.cork();
    for (const { chunk } of chunks) this.#socket.write(chunk);
    this.#socket.uncork();
    this.#took(done);
  }

  override _final(done: Done): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy();
    this.#proceed(error);
    done(error);
  }

  #took(done: Done): void {
    if (this.#socket.writableLength <= MOST_WAITING_BYTES) done();
    else this.#waiting = done;
  }

  #proceed(error?: Error | null): void {
    const done = this.#waiting;
    this.#waiting = undefined;
    done?.(error);
  }
}
