import { scrypt } from "node:crypto";
import { NodeError } from "../core/mod.ts";
import { KEY_BYTES } from "./file-keys.ts";

/** How a passphrase becomes a master key; to be kept beside what the key protects, for it must be the same every time. */
export interface PassphraseParameters {
  /** At least 16 random bytes. */
  readonly salt: Uint8Array;
  /** Cost: log₂ of scrypt's N, 10 to 22. 17 takes about 128 MiB of memory and half a second. */
  readonly logN: number;
}

/** The cost for new passphrases. */
export const DEFAULT_LOG_N = 17;

/**
 * The 32-byte master key of a passphrase: scrypt (RFC 7914) over its UTF-8 bytes in Unicode form NFC, r = 8, p = 1. Rejects with
 * `invalid_argument` for an empty passphrase or parameters out of range.
 */
export function deriveMasterKey(passphrase: string, parameters: PassphraseParameters): Promise<Uint8Array> {
  const { salt, logN } = parameters;
  if (passphrase.length === 0) {
    return Promise.reject(new NodeError("invalid_argument", "The passphrase is empty; choose one"));
  }
  if (salt.length < 16 || !Number.isInteger(logN) || logN < 10 || logN > 22) {
    return Promise.reject(
      new NodeError(
        "invalid_argument",
        `scrypt with a salt of ${salt.length} bytes and cost 2^${logN}: use at least 16 bytes and 2^10 to 2^22`,
      ),
    );
  }
  const cost = 2 ** logN;
  const options = { N: cost, r: 8, p: 1, maxmem: 2 * 128 * 8 * cost };
  return new Promise((resolve, reject) => {
    scrypt(Buffer.from(passphrase.normalize("NFC")), salt, KEY_BYTES, options, (error, key) => {
      if (error === null) resolve(new Uint8Array(key));
      else reject(new NodeError("internal", "The master key could not be derived", { cause: error }));
    });
  });
}
