import { Buffer } from "node:buffer";
import { randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";

/** A file behind an HTTP address that wants headers which nobody but this process should see. */
export interface Guarded {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

/** A guarded file, for programs that are given the relay's environment and for as long as it is open. */
export interface Relay extends Disposable {
  /**
   * Makes the relay a program's HTTP proxy, with a password of this relay alone. Every user of a machine can read the arguments of a program, but
   * only its own user (and root) its environment.
   */
  readonly env: Readonly<Record<string, string>>;
  /** How much of the file was passed on so far, in bytes. */
  readonly readBytes: number;
}

/** What FFmpeg looks at in an answer. */
const ANSWERED = ["accept-ranges", "content-length", "content-range", "content-type"] as const;

/**
 * How much of the file is asked for at first, in bytes. It doubles each time, so that a program that looks in and goes costs little of what is on its
 * way by then, and one that reads on seldom waits for an answer.
 */
const FIRST_BYTES = 1 << 20; // 1 MiB

/**
 * Opens a proxy on loopback that answers every GET with that one file, from where it is asked for, whatever the address. It reads the file as fast
 * as the program does, and no further when the program has gone. Who does not know the password gets 407.
 */
export async function openRelay(file: Guarded): Promise<Relay> {
  const password = randomBytes(32).toString("hex");
  const expected = Buffer.from(`Basic ${Buffer.from(`task:${password}`).toString("base64")}`);
  const closed = new AbortController();
  let readBytes = 0;

  const relay = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const given = Buffer.from(request.headers["proxy-authorization"] ?? "");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      return refuse(response, 407, { "proxy-authenticate": 'Basic realm="task"' });
    }
    if (request.method !== "GET") return refuse(response, 405, { allow: "GET" });
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const signal = AbortSignal.any([closed.signal, gone.signal]);
    // FFmpeg asks for all from a byte on, and hangs up when it has seen enough.
    const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
    if (asked === null) return refuse(response, 416);
    const from = Number(asked[1]);
    const first = await get(file, { from, length: FIRST_BYTES, signal }).catch(() => undefined);
    const status = first?.statusCode ?? 502;
    // FFmpeg would follow a redirection back to here.
    if (first === undefined || (status >= 300 && status < 400)) {
      gone.abort();
      return refuse(response, 502);
    }
    const headers: Record<string, string> = { connection: "close" };
    for (const name of ANSWERED) if (first.headers[name] !== undefined) headers[name] = first.headers[name];
    const size = sizeOf(first);
    if (size !== undefined) {
      headers["content-range"] = `bytes ${from}-${size - 1}/${size}`;
      headers["content-length"] = String(size - from);
    }
    response.writeHead(status, headers);
    const pieces = async function* () {
      for await (const piece of size === undefined ? first : rest(file, { first, from, size, signal })) {
        readBytes += (piece as Uint8Array).length;
        yield piece as Uint8Array;
      }
    };
    await pipeline(pieces, response, { signal });
  };

  const server = createServer((request, response) => {
    // Either side broke off: the pipeline has cut the other.
    relay(request, response).catch(() => {});
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    env: { http_proxy: `http://task:${password}@127.0.0.1:${port}` },
    get readBytes() {
      return readBytes;
    },
    [Symbol.dispose]() {
      closed.abort();
      server.close();
      server.closeAllConnections();
    },
  };
}

function refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...headers, "content-length": 0, connection: "close" }).end();
}

interface Part {
  readonly from: number;
  readonly length: number;
  /** Of the file that it must still be. */
  readonly etag?: string | undefined;
  readonly signal: AbortSignal;
}

function get({ url, headers }: Guarded, { from, length, etag, signal }: Part): Promise<IncomingMessage> {
  const range = `bytes=${from}-${from + length - 1}`;
  const options = { headers: { ...headers, range, ...(etag !== undefined && { "if-match": etag }) }, signal };
  return new Promise((resolve, reject) => {
    (url.protocol === "https:" ? httpsRequest : httpRequest)(url, options).on("response", resolve).on("error", reject)
      .end();
  });
}

/** The size of the file of which an answer gives a part, in bytes; undefined when it gives no part. */
function sizeOf({ statusCode, headers }: IncomingMessage): number | undefined {
  const size = /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1];
  return statusCode === 206 && size !== undefined ? Number(size) : undefined;
}

/** A file to its end, part by part, of which the first is there. Throws when its node gives no more of it, or of another file by then. */
async function* rest(
  file: Guarded,
  { first, from, size, signal }: { first: IncomingMessage; from: number; size: number; signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  let [part, at, length] = [first, from, FIRST_BYTES];
  for (;;) {
    const end = Math.min(at + length, size);
    for await (const piece of part) {
      at += (piece as Uint8Array).length;
      yield piece as Uint8Array;
    }
    if (at === size) return;
    length *= 2;
    if (at === end) part = await get(file, { from: at, length, etag: first.headers.etag, signal });
    if (at !== end || sizeOf(part) !== size) throw new Error(`The node gives no more of the file from byte ${at} on`);
  }
}
