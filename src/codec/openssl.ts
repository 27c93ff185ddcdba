import { Buffer } from "node:buffer";
import { createCipheriv, createHash } from "node:crypto";
import { isDeno, NodeError } from "../core/mod.ts";

/**
 * AES-256 and SHA-256 by the system's OpenSSL, for Deno: its own node:crypto and WebCrypto take three to ten times the processor time. All calls are
 * synchronous and write where they are told. Keys have 32 bytes. Throw `internal` for lengths that do not fit, since the library believes them.
 */
export interface OpenSsl {
  /** AES-256-GCM: writes the sealed bytes and behind them the tag of 16 bytes. */
  seal(plaintext: Uint8Array, options: GcmOptions, target: Uint8Array): void;
  /** The plaintext of what {@link OpenSsl.seal} wrote; nothing when it was made otherwise. */
  open(sealed: Uint8Array, options: GcmOptions): Uint8Array | undefined;
  /** AES-256-CTR: the bytes under the key stream that begins at a counter of 16 bytes. */
  counterMode(bytes: Uint8Array, options: { readonly key: Uint8Array; readonly counter: Uint8Array }): Uint8Array;
  /** Writes the SHA-256 of the bytes behind a prefix. */
  sha256(prefix: Uint8Array, bytes: Uint8Array, digest: Uint8Array): void;
}

export interface GcmOptions {
  readonly key: Uint8Array;
  /** 12 bytes. */
  readonly nonce: Uint8Array;
  readonly additionalData: Uint8Array;
}

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const COUNTER_BYTES = 16;
const TAG_BYTES = 16;
const DIGEST_BYTES = 32;
/** EVP_CTRL_AEAD_GET_TAG and EVP_CTRL_AEAD_SET_TAG (openssl/evp.h). */
const GET_TAG = 0x10;
const SET_TAG = 0x11;

/** The library of OpenSSL 3, whose calls are the same in all of its versions. */
const LIBRARY = "libcrypto.so.3";

const SYMBOLS = {
  EVP_CIPHER_CTX_new: { parameters: [], result: "pointer" },
  EVP_aes_256_gcm: { parameters: [], result: "pointer" },
  EVP_aes_256_ctr: { parameters: [], result: "pointer" },
  EVP_CipherInit_ex: { parameters: ["pointer", "pointer", "pointer", "buffer", "buffer", "i32"], result: "i32" },
  EVP_CipherUpdate: { parameters: ["pointer", "buffer", "buffer", "buffer", "i32"], result: "i32" },
  EVP_CipherFinal_ex: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  EVP_CIPHER_CTX_ctrl: { parameters: ["pointer", "i32", "i32", "buffer"], result: "i32" },
  EVP_MD_CTX_new: { parameters: [], result: "pointer" },
  EVP_sha256: { parameters: [], result: "pointer" },
  EVP_DigestInit_ex: { parameters: ["pointer", "pointer", "pointer"], result: "i32" },
  EVP_DigestUpdate: { parameters: ["pointer", "buffer", "usize"], result: "i32" },
  EVP_DigestFinal_ex: { parameters: ["pointer", "buffer", "pointer"], result: "i32" },
} as const;

type Pointer = object | null;
type Parameter = { pointer: Pointer; buffer: Uint8Array | null; i32: number; usize: bigint };
type Arguments<P extends readonly (keyof Parameter)[]> = { -readonly [I in keyof P]: Parameter[P[I]] };
type Symbols = {
  readonly [Name in keyof typeof SYMBOLS]: (
    ...args: Arguments<(typeof SYMBOLS)[Name]["parameters"]>
  ) => (typeof SYMBOLS)[Name]["result"] extends "i32" ? number : Pointer;
};

/** What of Deno is used; the types of Node do not have it. */
interface DenoGlobal {
  readonly build: { readonly os: string };
  readonly permissions: { querySync(permission: { readonly name: "ffi" }): { readonly state: string } };
  dlopen(path: string, symbols: typeof SYMBOLS): { readonly symbols: Symbols };
}

let known: { readonly openSsl: OpenSsl | undefined } | undefined;

/**
 * The system's OpenSSL, one a thread; nothing on Node, whose node:crypto is OpenSSL already, on systems without version 3 of it, and where Deno may not
 * load every library (`--allow-ffi`). Nobody is asked for that permission.
 */
export function openSsl(): OpenSsl | undefined {
  return (known ??= { openSsl: isDeno ? load() : undefined }).openSsl;
}

function load(): OpenSsl | undefined {
  const deno = (globalThis as unknown as { Deno: DenoGlobal }).Deno;
  if (deno.build.os !== "linux" || deno.permissions.querySync({ name: "ffi" }).state !== "granted") return undefined;
  try {
    const found = new LoadedOpenSsl(deno.dlopen(LIBRARY, SYMBOLS).symbols);
    return worksAsTold(found) ? found : undefined;
  } catch {
    // It is not there, or was built or set up without what it takes.
    return undefined;
  }
}

/** Whether it makes of a few bytes what the runtime makes of them. */
function worksAsTold(openSsl: OpenSsl): boolean {
  const bytes = Uint8Array.from({ length: 40 }, (_, i) => i);
  const key = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
  const gcm = { key, nonce: bytes.subarray(0, 12), additionalData: bytes.subarray(5) };
  const counter = bytes.subarray(0, 16);
  const sealed = new Uint8Array(bytes.length + TAG_BYTES);
  openSsl.seal(bytes, gcm, sealed);
  const digest = new Uint8Array(32);
  openSsl.sha256(key, bytes, digest);

  const cipher = createCipheriv("aes-256-gcm", key, gcm.nonce);
  cipher.setAAD(gcm.additionalData);
  const expected = Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  const masked = createCipheriv("aes-256-ctr", key, counter).update(bytes);
  return expected.equals(sealed) && masked.equals(openSsl.counterMode(bytes, { key, counter })) &&
    createHash("sha256").update(key).update(bytes).digest().equals(digest);
}

class LoadedOpenSsl implements OpenSsl {
  readonly #symbols: Symbols;
  readonly #gcm: Pointer;
  readonly #ctr: Pointer;
  readonly #sha256: Pointer;
  /** Where calls write how much they wrote. */
  readonly #written = new Uint8Array(4);
  readonly #unused = new Uint8Array(TAG_BYTES);

  constructor(symbols: Symbols) {
    this.#symbols = symbols;
    // Made once, since to find an algorithm takes longer than to hash a leaf; a thread's calls do not interleave.
    this.#gcm = symbols.EVP_CIPHER_CTX_new();
    this.#ctr = symbols.EVP_CIPHER_CTX_new();
    this.#sha256 = symbols.EVP_MD_CTX_new();
    expect(symbols.EVP_CipherInit_ex(this.#gcm, symbols.EVP_aes_256_gcm(), null, null, null, 1));
    expect(symbols.EVP_CipherInit_ex(this.#ctr, symbols.EVP_aes_256_ctr(), null, null, null, 1));
    expect(symbols.EVP_DigestInit_ex(this.#sha256, symbols.EVP_sha256(), null));
  }

  seal(plaintext: Uint8Array, options: GcmOptions, target: Uint8Array): void {
    const context = this.#gcm;
    fit(target, plaintext.length + TAG_BYTES);
    this.#beginGcm(options, 1);
    this.#update(context, plaintext, target);
    expect(this.#symbols.EVP_CipherFinal_ex(context, this.#unused, this.#written));
    const tag = target.subarray(plaintext.length, plaintext.length + TAG_BYTES);
    expect(this.#symbols.EVP_CIPHER_CTX_ctrl(context, GET_TAG, TAG_BYTES, tag));
  }

  open(sealed: Uint8Array, options: GcmOptions): Uint8Array | undefined {
    if (sealed.length < TAG_BYTES) return undefined;
    const context = this.#gcm;
    const plaintext = new Uint8Array(sealed.length - TAG_BYTES);
    this.#beginGcm(options, 0);
    this.#update(context, sealed.subarray(0, plaintext.length), plaintext);
    expect(this.#symbols.EVP_CIPHER_CTX_ctrl(context, SET_TAG, TAG_BYTES, sealed.subarray(plaintext.length)));
    return this.#symbols.EVP_CipherFinal_ex(context, this.#unused, this.#written) === 1 ? plaintext : undefined;
  }

  counterMode(bytes: Uint8Array, { key, counter }: { readonly key: Uint8Array; readonly counter: Uint8Array }) {
    const target = new Uint8Array(bytes.length);
    fit(key, KEY_BYTES);
    fit(counter, COUNTER_BYTES);
    expect(this.#symbols.EVP_CipherInit_ex(this.#ctr, null, null, key, counter, 1));
    this.#update(this.#ctr, bytes, target);
    return target;
  }

  sha256(prefix: Uint8Array, bytes: Uint8Array, digest: Uint8Array): void {
    const symbols = this.#symbols;
    fit(digest, DIGEST_BYTES);
    expect(symbols.EVP_DigestInit_ex(this.#sha256, null, null));
    expect(symbols.EVP_DigestUpdate(this.#sha256, prefix, BigInt(prefix.length)));
    expect(symbols.EVP_DigestUpdate(this.#sha256, bytes, BigInt(bytes.length)));
    expect(symbols.EVP_DigestFinal_ex(this.#sha256, digest, null));
  }

  #beginGcm({ key, nonce, additionalData }: GcmOptions, encrypts: 0 | 1): void {
    fit(key, KEY_BYTES);
    fit(nonce, NONCE_BYTES);
    expect(this.#symbols.EVP_CipherInit_ex(this.#gcm, null, null, key, nonce, encrypts));
    this.#update(this.#gcm, additionalData, null);
  }

  /** No call of it is for 2 GiB, so lengths fit. */
  #update(context: Pointer, bytes: Uint8Array, target: Uint8Array | null): void {
    if (bytes.length === 0) return;
    expect(this.#symbols.EVP_CipherUpdate(context, target, this.#written, bytes, bytes.length));
  }
}

function fit({ length }: Uint8Array, bytes: number): void {
  if (length !== bytes) throw new NodeError("internal", `${LIBRARY} wants ${bytes} bytes, not ${length}`);
}

function expect(result: number): void {
  if (result !== 1) throw new NodeError("internal", `${LIBRARY} refused a call`);
}
