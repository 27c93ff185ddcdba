import { Buffer } from "node:buffer";
import type { IncomingHttpHeaders } from "node:http2";

/*
 * What fronts and the main thread tell each other of calls: records, of which those of one turn of the event loop go together, since a message
 * between threads costs as much as a call. A record is a kind (one byte), a call's number, the lengths of head and body (four bytes each,
 * little-endian), the head, and the body.
 */

/** What a record says; those up to `gone` are for the main thread, the others for a front. */
export const RECORD = {
  /** A call with its whole body. Its head is {@link encodeOpening}'s. */
  call: 1,
  /** A call whose body follows. */
  open: 2,
  /** More of a body. */
  data: 3,
  /** The end of a body. */
  end: 4,
  /** The caller is gone. */
  gone: 5,
  /** An answer with a message: metadata in JSON if there is any, and the frame. */
  answer: 6,
  /** An answer without one: its trailers in JSON. */
  refusal: 7,
} as const;

export type RecordKind = typeof RECORD[keyof typeof RECORD];

export interface RecordHandler {
  (record: { readonly kind: RecordKind; readonly id: number; readonly head: string; readonly body: Buffer }): void;
}

const HEAD_BYTES = 13;
const FIRST_BYTES = 1 << 13; // 8 KiB
const NO_PARTS: readonly Uint8Array[] = [];

/** Collects the records of a turn of the event loop. */
export class BatchWriter {
  readonly #send: (batch: Uint8Array) => void;
  readonly #beforeFlush: () => void;
  readonly #flush = () => this.#flushNow();
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;
  #scheduled = false;

  constructor({ send, beforeFlush = () => {} }: {
    /** Takes a batch, and may keep its memory. */
    readonly send: (batch: Uint8Array) => void;
    /** Adds what there is to add at the end of a turn. */
    readonly beforeFlush?: () => void;
  }) {
    this.#send = send;
    this.#beforeFlush = beforeFlush;
  }

  /** The head is latin1, as what HTTP headers hold. */
  add(
    kind: RecordKind,
    id: number,
    { head = "", parts = NO_PARTS }: { head?: string; parts?: readonly Uint8Array[] } = {},
  ): void {
    let bodyBytes = 0;
    for (const part of parts) bodyBytes += part.length;
    const start = this.#length;
    const end = start + HEAD_BYTES + head.length + bodyBytes;
    if (end > this.#bytes.length) this.#grow(end);
    const bytes = this.#bytes;
    bytes[start] = kind;
    bytes.writeUInt32LE(id, start + 1);
    bytes.writeUInt32LE(head.length, start + 5);
    bytes.writeUInt32LE(bodyBytes, start + 9);
    let at = start + HEAD_BYTES;
    if (head.length > 0) bytes.write(head, at, "latin1");
    at += head.length;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#length = end;
    this.schedule();
  }

  /** Flushes at the end of this turn. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  #flushNow(): void {
    this.#beforeFlush();
    this.#scheduled = false;
    if (this.#length === 0) return;
    const batch = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.#length = 0;
    this.#send(batch);
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** What a front knows of a call before its body: the caller's address, and the headers. Undefined for headers with several values, of which gRPC has none. */
export function encodeOpening(address: string, headers: IncomingHttpHeaders): string | undefined {
  // No header of HTTP/2 holds a newline (RFC 9113 §8.2.1).
  let text = address;
  for (const name in headers) {
    const value = headers[name];
    if (typeof value !== "string") return undefined;
    text += `\n${name}\n${value}`;
  }
  return text;
}

export function decodeOpening(text: string): { readonly address: string; readonly headers: IncomingHttpHeaders } {
  const fields = text.split("\n");
  const headers = Object.create(null) as IncomingHttpHeaders;
  for (let i = 1; i < fields.length; i += 2) headers[fields[i]!] = fields[i + 1];
  return { address: fields[0]!, headers };
}

/** Hands on the records of a batch. */
export function readBatch(batch: Uint8Array, handler: RecordHandler): void {
  const bytes = Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength);
  for (let at = 0; at < bytes.length;) {
    const headAt = at + HEAD_BYTES;
    const bodyAt = headAt + bytes.readUInt32LE(at + 5);
    const end = bodyAt + bytes.readUInt32LE(at + 9);
    handler({
      kind: bytes[at] as RecordKind,
      id: bytes.readUInt32LE(at + 1),
      head: bytes.toString("latin1", headAt, bodyAt),
      body: bytes.subarray(bodyAt, end),
    });
    at = end;
  }
}
