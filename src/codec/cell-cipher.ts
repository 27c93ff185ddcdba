import { createCipheriv, createDecipheriv, createSecretKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { isDeno, NodeError, release } from "../core/mod.ts";
import { CELL_BYTES, CELL_PLAINTEXT_BYTES, TAG_BYTES } from "./layout.ts";
import { openSsl } from "./openssl.ts";

/** The place of a cell in its file. Both numbers are part of the nonce, so that no cell can stand for another. */
export interface CellPlace {
  readonly index: number;
  /** Whether this is the last cell of the file. */
  readonly last: boolean;
}

/**
 * Seals and opens the cells of one file: AES-256-GCM under the payload key, nonce = the index as eleven big-endian bytes ‖ 1 for the
 * last cell, else 0; additional data = the header's hash. This is the STREAM construction (V. T. Hoang et al., "Online
 * Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015) as age cuts it (C2SP age.md, "Payload"). Cells can be opened in any order;
 * a changed, moved, missing or added cell does not open.
 */
export interface CellCipher {
  /** Writes the sealed form of `plaintext` into `target`, which must be 16 bytes longer. */
  seal(plaintext: Uint8Array, place: CellPlace, target: Uint8Array): Promise<void>;
  /** The plaintext of a sealed cell. Rejects with `data_corrupt` when it is not this file's cell of that place. */
  open(sealed: Uint8Array, place: CellPlace): Promise<Uint8Array>;
}

export interface CellKeys {
  /** 32 bytes, used for this file only. */
  readonly payloadKey: Uint8Array;
  /** The additional data of every cell. */
  readonly headerHash: Uint8Array;
}

/**
 * The cipher for this runtime, whichever measured faster: node:crypto on Node; on Deno the system's OpenSSL, and without it WebCrypto, which
 * works outside the thread. All write the same bytes.
 */
export function cellCipher(keys: CellKeys): CellCipher {
  if (!isDeno) return new NodeCellCipher(keys);
  return openSsl() === undefined ? new WebCellCipher(keys) : new OpenSslCellCipher(keys);
}

/** {@link CellCipher} by node:crypto. */
export class NodeCellCipher implements CellCipher {
  // A KeyObject spares each call the import of the key.
  readonly #key: KeyObject;
  readonly #headerHash: Uint8Array;

  constructor(keys: CellKeys) {
    this.#key = createSecretKey(keys.payloadKey);
    this.#headerHash = keys.headerHash;
  }

  seal(plaintext: Uint8Array, place: CellPlace, target: Uint8Array): Promise<void> {
    const misfit = misfitOf(plaintext, target);
    if (misfit !== undefined) return Promise.reject(misfit);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonceOf(place));
    cipher.setAAD(this.#headerHash);
    const sealed = cipher.update(plaintext);
    target.set(sealed);
    release(sealed);
    cipher.final();
    target.set(cipher.getAuthTag(), plaintext.length);
    return Promise.resolve();
  }

  open(sealed: Uint8Array, place: CellPlace): Promise<Uint8Array> {
    if (!isCellLength(sealed)) return Promise.reject(damaged(place));
    const decipher = createDecipheriv("aes-256-gcm", this.#key, nonceOf(place), { authTagLength: TAG_BYTES });
    decipher.setAAD(this.#headerHash);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const plaintext = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      return Promise.reject(damaged(place));
    }
    return Promise.resolve(plaintext);
  }
}

/** {@link CellCipher} by the system's OpenSSL, where it has one. */
export class OpenSslCellCipher implements CellCipher {
  readonly #openSsl = openSsl()!;
  readonly #keys: CellKeys;

  constructor(keys: CellKeys) {
    this.#keys = { payloadKey: Uint8Array.from(keys.payloadKey), headerHash: Uint8Array.from(keys.headerHash) };
  }

  seal(plaintext: Uint8Array, place: CellPlace, target: Uint8Array): Promise<void> {
    const misfit = misfitOf(plaintext, target);
    if (misfit !== undefined) return Promise.reject(misfit);
    this.#openSsl.seal(plaintext, this.#options(place), target);
    return Promise.resolve();
  }

  open(sealed: Uint8Array, place: CellPlace): Promise<Uint8Array> {
    const plaintext = isCellLength(sealed) ? this.#openSsl.open(sealed, this.#options(place)) : undefined;
    return plaintext === undefined ? Promise.reject(damaged(place)) : Promise.resolve(plaintext);
  }

  #options(place: CellPlace) {
    const { payloadKey, headerHash } = this.#keys;
    return { key: payloadKey, nonce: nonceOf(place), additionalData: headerHash };
  }
}

type WebKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** {@link CellCipher} by WebCrypto. */
export class WebCellCipher implements CellCipher {
  readonly #key: Promise<WebKey>;
  readonly #headerHash: Uint8Array<ArrayBuffer>;

  constructor(keys: CellKeys) {
    this.#key = crypto.subtle.importKey("raw", Uint8Array.from(keys.payloadKey), "AES-GCM", false, [
      "encrypt",
      "decrypt",
    ]);
    this.#headerHash = Uint8Array.from(keys.headerHash);
  }

  async seal(plaintext: Uint8Array, place: CellPlace, target: Uint8Array): Promise<void> {
    const misfit = misfitOf(plaintext, target);
    if (misfit !== undefined) throw misfit;
    const sealed = new Uint8Array(
      await crypto.subtle.encrypt(this.#parameters(place), await this.#key, plaintext as Uint8Array<ArrayBuffer>),
    );
    target.set(sealed);
    release(sealed);
  }

  async open(sealed: Uint8Array, place: CellPlace): Promise<Uint8Array> {
    if (!isCellLength(sealed)) throw damaged(place);
    const key = await this.#key;
    try {
      return new Uint8Array(
        await crypto.subtle.decrypt(this.#parameters(place), key, sealed as Uint8Array<ArrayBuffer>),
      );
    } catch {
      throw damaged(place);
    }
  }

  #parameters(place: CellPlace) {
    return {
      name: "AES-GCM",
      iv: nonceOf(place),
      additionalData: this.#headerHash,
      tagLength: 8 * TAG_BYTES,
    };
  }
}

/** The nonce of a cell. An index has at most 53 bits, so the upper bytes are zero. */
function nonceOf({ index, last }: CellPlace): Uint8Array<ArrayBuffer> {
  const nonce = new Uint8Array(12);
  const view = new DataView(nonce.buffer);
  view.setUint32(3, Math.floor(index / 2 ** 32));
  view.setUint32(7, index % 2 ** 32);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

function misfitOf(plaintext: Uint8Array, target: Uint8Array): NodeError | undefined {
  if (plaintext.length <= CELL_PLAINTEXT_BYTES && target.length === plaintext.length + TAG_BYTES) return undefined;
  return new NodeError(
    "invalid_argument",
    `Cannot seal ${plaintext.length} bytes into ${target.length}: a cell takes at most ${CELL_PLAINTEXT_BYTES} and grows by ${TAG_BYTES}`,
  );
}

function isCellLength(sealed: Uint8Array): boolean {
  return sealed.length >= TAG_BYTES && sealed.length <= CELL_BYTES;
}

function damaged({ index }: CellPlace): NodeError {
  return new NodeError(
    "data_corrupt",
    `Cell ${index} does not open: it was changed, moved or cut, or belongs to another file. Read it from other shards`,
    { data: { cell: index } },
  );
}
