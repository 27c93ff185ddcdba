import { Buffer } from "node:buffer";
import { createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto";
import { addressNumber, NodeError } from "../core/mod.ts";

/*
 * A certificate that is signed by its own key (RFC 5280), in its one form: P-256, for servers only and no authority, since callers are told to
 * trust it for what it is. Node makes keys and signatures but no certificates.
 */

export interface SelfSignedOptions {
  /** The private key, on P-256. */
  readonly key: KeyObject;
  /** Whom it names as its subject, in up to 64 characters. */
  readonly commonName: string;
  /** DNS names, in ASCII and lower case, and IP addresses that it is for. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch; whole seconds of it count. */
  readonly notBefore: number;
  readonly notAfter: number;
}

const ECDSA_WITH_SHA256 = sequence(oid("2a8648ce3d040302"));
const COMMON_NAME = oid("550403");
const SUBJECT_ALT_NAME = oid("551d11");
const BASIC_CONSTRAINTS = oid("551d13");
const KEY_USAGE = oid("551d0f");
const EXTENDED_KEY_USAGE = oid("551d25");
const SERVER_AUTH = oid("2b06010505070301");
const TRUE = der(0x01, Buffer.of(0xff));
const DIGITAL_SIGNATURE = der(0x03, Buffer.of(7, 0x80));

/** Makes the certificate, in PEM. Throws `config_invalid` for a name that is neither a DNS name nor an address. */
export function selfSigned({ key, commonName, names, notBefore, notAfter }: SelfSignedOptions): string {
  const subject = sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(commonName)))));
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.of(2))), // version 3
    der(0x02, serial()),
    ECDSA_WITH_SHA256,
    subject,
    sequence(time(notBefore), time(notAfter)),
    subject,
    createPublicKey(key).export({ type: "spki", format: "der" }),
    der(
      0xa3,
      sequence(
        extension(SUBJECT_ALT_NAME, sequence(...names.map(generalName))),
        extension(BASIC_CONSTRAINTS, sequence(), TRUE),
        extension(KEY_USAGE, DIGITAL_SIGNATURE, TRUE),
        extension(EXTENDED_KEY_USAGE, sequence(SERVER_AUTH)),
      ),
    ),
  );
  const signature = der(0x03, Buffer.of(0), sign("sha256", toBeSigned, key));
  const lines = sequence(toBeSigned, ECDSA_WITH_SHA256, signature).toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** A tag, the length of what follows, and that. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80
    ? Buffer.of(length)
    : length < 0x100
    ? Buffer.of(0x81, length)
    : Buffer.of(0x82, length >> 8, length & 0xff);
  return Buffer.concat([Buffer.of(tag), size, content]);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(0x30, ...parts);
}

/** An object identifier from its encoded form. */
function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

/** A positive number of 16 random bytes. */
function serial(): Buffer {
  const number = randomBytes(16);
  number[0] = (number[0]! & 0x7f) | 0x40;
  return number;
}

/** UTCTime up to 2049 and GeneralizedTime from then on, as RFC 5280 §4.1.2.5 wants. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return digits < "2050" ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

function extension(id: Uint8Array, value: Uint8Array, ...critical: readonly Uint8Array[]): Buffer {
  return sequence(id, ...critical, der(0x04, value));
}

function generalName(name: string): Buffer {
  const address = addressNumber(name);
  if (address !== undefined) {
    const digits = address.family === 4 ? 8 : 32;
    return der(0x87, Buffer.from(address.bits.toString(16).padStart(digits, "0"), "hex"));
  }
  if (!/^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/.test(name)) {
    throw new NodeError("config_invalid", `"${name}" is neither a DNS name nor an IP address`, { data: { name } });
  }
  return der(0x82, Buffer.from(name));
}
