import { Buffer } from "node:buffer";
import { hash, timingSafeEqual } from "node:crypto";
import { type MacKeys, type ProviderHalf, providerMacKey, type RequesterHalf, requesterMacKey } from "./request-mac.ts";
import { notSigned, type RequestHead } from "./session.ts";

/*
 * Short proofs: MACs of requests, version 2 (docs/protocol.md). A proof names its session by a few bytes, so that the certificate goes with the
 * first request only; a number in place of a random nonce lets the provider remember what came in bits. They are made and checked for every
 * small call between nodes, so nothing here allocates more than the strings that go in and out.
 */

/** The version of MACs that short proofs are; a node that takes them says so in its description. */
export const SHORT_PROOF_VERSION = 2;

const NAME_BYTES = 14;
const TIME_AT = 1 + NAME_BYTES;
const NUMBER_AT = TIME_AT + 6;
const DIGEST_AT = NUMBER_AT + 6;
const DIGEST_BYTES = 32;
const MAC_AT = DIGEST_AT + DIGEST_BYTES;
/** HMAC-SHA256-128 (RFC 2104 §5, RFC 4868 §2.6). */
const MAC_BYTES = 16;
const PROOF_BYTES = MAC_AT + MAC_BYTES;

/** Version and name together are whole groups of base64url, and so are proofs: who reads one need not decode it to find its session. */
const NAME_CHARS = TIME_AT / 3 * 4;
const PROOF_CHARS = PROOF_BYTES / 3 * 4;

const BLOCK_BYTES = 64;
const SHA256_BYTES = 32;
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;
const NO_DIGEST = "\0".repeat(DIGEST_BYTES);

/** What is hashed: a block of key and padding, the first 59 bytes of a proof, the method, a newline, the path. Grows for the longest path. */
let text = Buffer.alloc(1024);
const TEXT_AT = BLOCK_BYTES;
const HEAD_AT = TEXT_AT + MAC_AT;
const macs = Buffer.alloc(2 * MAC_BYTES);
const given = macs.subarray(0, MAC_BYTES);
const right = macs.subarray(MAC_BYTES);

/** The request that a short proof is of. */
export type ShortHead = Pick<RequestHead, "method" | "path">;

/** What a short proof says, once its MAC is right; whether it is fresh is for the reader to judge. */
export interface ShortProof {
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Each request of a session has another one. */
  readonly number: number;
  /** SHA-256 that the body must have, in hex; undefined for a stream. */
  readonly bodySha256: string | undefined;
}

/** The MAC of one session. */
export class ShortMac {
  readonly #inner = Buffer.alloc(BLOCK_BYTES, INNER_PAD);
  /** The outer block and room for the inner hash. */
  readonly #outer = Buffer.alloc(BLOCK_BYTES + SHA256_BYTES, OUTER_PAD);
  readonly #start: Buffer;
  /** What each proof of the session begins with, in base64url. */
  readonly name: string;

  /** The key has 32 bytes. */
  constructor(key: Uint8Array, certificateHash: Uint8Array) {
    key.forEach((byte, at) => {
      this.#inner[at]! ^= byte;
      this.#outer[at]! ^= byte;
    });
    this.#start = Buffer.concat([Uint8Array.of(SHORT_PROOF_VERSION), certificateHash.subarray(0, NAME_BYTES)]);
    this.name = this.#start.toString("base64url");
  }

  /** The proof of a request, in base64url. `body` is what its digest covers: the body as it goes on the wire, or a stream, which is not covered. */
  prove(head: ShortHead, body: Uint8Array | "stream", { number, createdAt }: Pick<ShortProof, "number" | "createdAt">) {
    const digest = body === "stream" ? NO_DIGEST : hash("sha256", body, "binary");
    text.set(this.#start, TEXT_AT);
    text.writeUIntBE(createdAt, TEXT_AT + TIME_AT, 6);
    text.writeUIntBE(number, TEXT_AT + NUMBER_AT, 6);
    text.write(digest, TEXT_AT + DIGEST_AT, "latin1");
    const mac = this.#mac(head);
    text.write(mac, TEXT_AT + MAC_AT, MAC_BYTES, "latin1");
    return text.toString("base64url", TEXT_AT, TEXT_AT + PROOF_BYTES);
  }

  /** Reads a proof whose {@link shortName} is this session's. Throws `unauthenticated` for one that is not the request's. */
  check(proof: string, head: ShortHead): ShortProof {
    if (text.write(proof, TEXT_AT, PROOF_BYTES, "base64url") !== PROOF_BYTES) {
      throw notSigned("its signature is cut off");
    }
    text.copy(given, 0, TEXT_AT + MAC_AT, TEXT_AT + PROOF_BYTES);
    right.write(this.#mac(head), 0, MAC_BYTES, "latin1");
    if (!timingSafeEqual(given, right)) {
      throw notSigned("its signature is of another request, or not made with the session's key");
    }
    const isStream = text.toString("latin1", TEXT_AT + DIGEST_AT, TEXT_AT + MAC_AT) === NO_DIGEST;
    return {
      createdAt: text.readUIntBE(TEXT_AT + TIME_AT, 6),
      number: text.readUIntBE(TEXT_AT + NUMBER_AT, 6),
      bodySha256: isStream ? undefined : text.toString("hex", TEXT_AT + DIGEST_AT, TEXT_AT + MAC_AT),
    };
  }

  /** HMAC-SHA256 of what stands in `text` and the head behind it, in Latin-1. The length of the whole is bounded by that of headers. */
  #mac({ method, path }: ShortHead): string {
    const line = `${method}\n${path}`;
    // A character has three bytes of UTF-8 at most.
    if (HEAD_AT + 3 * line.length > text.length) text = Buffer.concat([text], HEAD_AT + 3 * line.length);
    text.set(this.#inner);
    const end = HEAD_AT + text.write(line, HEAD_AT);
    this.#outer.write(hash("sha256", text.subarray(0, end), "binary"), BLOCK_BYTES, "latin1");
    return hash("sha256", this.#outer, "binary");
  }
}

const VERSION_2 = "velas-sphere request mac v2";

/** The requester's MAC for short proofs of a session with a provider of this key. Throws for a key that is none. */
export function requesterShortMac(session: RequesterHalf, publicKey: Uint8Array): ShortMac {
  return new ShortMac(requesterMacKey(session, publicKey, VERSION_2), session.certificateHash);
}

/** The provider's MAC for short proofs of a session. Throws for a session key of low order. */
export function providerShortMac(keys: MacKeys, session: ProviderHalf): ShortMac {
  return new ShortMac(providerMacKey(keys, session, VERSION_2), session.certificateHash);
}

/** What a short proof names its session by ({@link ShortMac.name}); undefined for a proof that is none, whose version is another. */
export function shortName(proof: string): string | undefined {
  return proof.length === PROOF_CHARS ? proof.slice(0, NAME_CHARS) : undefined;
}
