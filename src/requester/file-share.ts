import { Buffer } from "node:buffer";
import { NodeError } from "../core/mod.ts";
import { KEY_BYTES, MAX_MANIFEST_BYTES, type OpenedHeader, openStream, sealStream } from "../codec/mod.ts";
import { hkdfSync } from "node:crypto";

/*
 * What an owner gives to let another node read a file (docs/files.md): a manifest whose header has a stanza for that node, and, sealed under a key
 * that only who opens the header has, a capability to read the shards.
 */

const MAGIC = Buffer.from("VSPHSHR");
const VERSION = 1;
const HEADER_BYTES = MAGIC.length + 1 + 2;

export interface Share {
  readonly manifest: Uint8Array;
  readonly capability: string;
}

/** Whether bytes that are imported are a share, and not a manifest. */
export function isShare(bytes: Uint8Array): boolean {
  return MAGIC.equals(bytes.subarray(0, MAGIC.length));
}

/** Joins a manifest and a capability. */
export async function encodeShare({ manifest, capability }: Share, header: OpenedHeader): Promise<Uint8Array> {
  const sealed = await collect(sealStream(only(Buffer.from(capability)), keysOf(header)));
  const start = Buffer.concat([MAGIC, Buffer.of(VERSION, sealed.length >> 8, sealed.length & 255)]);
  return Uint8Array.from(Buffer.concat([start, sealed, manifest]));
}

/** Takes a share apart; `open` opens the header of its manifest. Throws `invalid_argument` and `data_corrupt`. */
export async function decodeShare(bytes: Uint8Array, open: (manifest: Uint8Array) => OpenedHeader): Promise<Share> {
  const version = bytes[MAGIC.length];
  if (version !== VERSION) {
    throw new NodeError("unimplemented", `The share has version ${version}; this program reads 1`);
  }
  const sealedBytes = (bytes[MAGIC.length + 1]! << 8) | bytes[MAGIC.length + 2]!;
  const manifest = bytes.slice(HEADER_BYTES + sealedBytes);
  if (manifest.length === 0 || manifest.length > MAX_MANIFEST_BYTES) {
    throw new NodeError("invalid_argument", "The share is cut or has bytes behind it: get another copy");
  }
  const header = open(manifest);
  const sealed = bytes.subarray(HEADER_BYTES, HEADER_BYTES + sealedBytes);
  const capability = await collect(openStream(only(sealed), keysOf(header)));
  return { manifest, capability: Buffer.from(capability).toString() };
}

function keysOf({ fileKey, fileId, hash }: OpenedHeader) {
  const payloadKey = new Uint8Array(hkdfSync("sha256", fileKey, fileId, "velas-sphere/1 share", KEY_BYTES));
  return { payloadKey, headerHash: hash };
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const bytes of source) all.push(bytes);
  return Buffer.concat(all);
}
