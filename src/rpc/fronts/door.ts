import { Buffer } from "node:buffer";
import { randomBytes, timingSafeEqual } from "node:crypto";
import net from "node:net";
import { closeServer } from "../../core/mod.ts";
import type { DoorKey } from "./protocol.ts";

const TOKEN_CHARACTERS = 64;

/** What a connection says before anything else has at most this: the token, an address with its zone, and a newline. */
const MOST_GREETING_BYTES = TOKEN_CHARACTERS + 128;
const NEWLINE = 0x0a;

/**
 * Where fronts bring connections of their callers: an abstract Unix socket of Linux, which has no file that a killed node could leave behind. Each
 * begins with the door's token and the address of the caller, which is then the connection's own.
 */
export class Door {
  readonly key: DoorKey = {
    path: `\0velas-fronts-${randomBytes(8).toString("hex")}`,
    token: randomBytes(TOKEN_CHARACTERS / 2).toString("hex"),
  };
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  /** Hands on the connections that come with the token, within the time. */
  constructor({ greetingMs, onConnection }: {
    readonly greetingMs: number;
    readonly onConnection: (socket: net.Socket) => void;
  }) {
    this.#server = net.createServer((socket) => this.#greet(socket, greetingMs, onConnection));
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ path: this.key.path }, resolve);
    });
  }

  /** Takes no more connections; those that were handed on stay. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await closeServer(this.#server);
  }

  #greet(socket: net.Socket, limitMs: number, onConnection: (socket: net.Socket) => void): void {
    let head: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => socket.destroy(), limitMs);
    const forget = () => {
      clearTimeout(timer);
      this.#sockets.delete(socket);
      socket.off("data", onData);
      socket.off("close", forget);
    };
    const onData = (chunk: Buffer) => {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      const end = head.subarray(0, MOST_GREETING_BYTES).indexOf(NEWLINE);
      if (end < 0 && head.length < MOST_GREETING_BYTES) return;
      forget();
      if (!this.#isToken(head.subarray(0, TOKEN_CHARACTERS)) || end < 0) {
        socket.destroy();
        return;
      }
      socket.pause();
      if (head.length > end + 1) socket.unshift(head.subarray(end + 1));
      const remoteAddress = head.toString("latin1", TOKEN_CHARACTERS, end);
      onConnection(Object.defineProperty(socket, "remoteAddress", { value: remoteAddress }));
      socket.resume();
    };
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", onData);
    socket.on("close", forget);
  }

  #isToken(bytes: Buffer): boolean {
    return bytes.length === TOKEN_CHARACTERS && timingSafeEqual(bytes, Buffer.from(this.key.token));
  }
}
