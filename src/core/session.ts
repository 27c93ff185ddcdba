import { Buffer } from "node:buffer";
import {
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomFillSync,
  sign,
  timingSafeEqual,
  verify,
} from "node:crypto";
import { NodeError } from "./errors.ts";
import { type NodeKey, recoverDigestSigner, SIGNATURE_BYTES } from "./identity.ts";
import type { NodeId } from "./ids.ts";
import { MAC_BYTES, type RequestMac } from "./request-mac.ts";
import {
  isSessionVersion,
  SESSION_BODY_BYTES,
  sessionBody,
  sessionDigest,
  sessionPublicKey,
  type SessionTerms,
  sessionTerms,
} from "./session-form.ts";

/*
 * Sessions: a node proves who it is with its secp256k1 key once, by signing (EIP-712) the public half of an Ed25519 key that it keeps in
 * memory, and then signs each request with that, which is many times cheaper and leaves the node key alone. docs/protocol.md specifies both.
 */

/** How far the clocks of two nodes may be apart, in milliseconds: by more, signed requests and leases are refused. */
export const MAX_SKEW_MS = 60_000;

const CERTIFICATE_BYTES = SESSION_BODY_BYTES + SIGNATURE_BYTES;

const NONCE_BYTES = 16;
const DIGEST_AT = 8 + NONCE_BYTES;
const DIGEST_BYTES = 32;
const SIGNATURE_AT = DIGEST_AT + DIGEST_BYTES;
const ED25519_SIGNATURE_BYTES = 64;
const PROOF_BYTES = SIGNATURE_AT + ED25519_SIGNATURE_BYTES;
const MAC_PROOF_BYTES = SIGNATURE_AT + MAC_BYTES;

/** What an Ed25519 public key in SubjectPublicKeyInfo begins with (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const REQUEST_CONTEXT = Buffer.from("velas-sphere request v1\n");

/** The digest of a request whose body is a stream, which its signature does not cover. */
export const STREAM_DIGEST: Uint8Array = new Uint8Array(DIGEST_BYTES);

/** A session as its requester has it. */
export interface SessionKey extends SessionTerms {
  /** Says whose the key is; it goes with each request. */
  readonly certificate: Uint8Array;
  /** SHA-256 of the certificate. */
  readonly certificateHash: Uint8Array;
  readonly privateKey: KeyObject;
  /** With a provider that has a key for it: what requests bear instead of signatures. */
  readonly mac?: RequestMac;
}

/** A session as its provider has it. */
export interface Session extends SessionTerms {
  readonly requester: NodeId;
  readonly certificate: Uint8Array;
  readonly certificateHash: Uint8Array;
  readonly publicKey: KeyObject;
  /** Needed for requests that bear one. */
  readonly mac?: RequestMac;
}

/** Draws a session key and has the node key vouch for it. */
export function openSession(key: NodeKey, terms: SessionTerms): SessionKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(SPKI_PREFIX.length);
  const body = sessionBody(raw, terms);
  const certificate = Buffer.concat([body, key.signDigest(sessionDigest(body))]);
  return { ...sessionTerms(body), certificate, certificateHash: sha256(certificate), privateKey };
}

/** Reads a certificate and finds who vouches for it, which takes about a millisecond. Throws `unauthenticated`. */
export function readCertificate(certificate: Uint8Array): Session {
  if (certificate.length !== CERTIFICATE_BYTES || !isSessionVersion(certificate[0])) {
    throw notSigned(
      `its session certificate has ${certificate.length} bytes of version ${
        certificate[0] ?? 0
      }, not ${CERTIFICATE_BYTES} of version 1`,
    );
  }
  const body = Buffer.from(certificate.subarray(0, SESSION_BODY_BYTES));
  const raw = sessionPublicKey(body);
  try {
    return {
      ...sessionTerms(body),
      requester: recoverDigestSigner(sessionDigest(body), certificate.subarray(SESSION_BODY_BYTES)),
      certificate,
      certificateHash: sha256(certificate),
      publicKey: createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" }),
    };
  } catch (cause) {
    throw notSigned("the signature of its session certificate is none", cause);
  }
}

/** What a request's signature covers, beside time, nonce and session. */
export interface RequestHead {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** SHA-256 of the body as it is on the wire, or {@link STREAM_DIGEST}. */
  readonly digest: Uint8Array;
}

/**
 * Signs a request. The proof is: creation time in milliseconds (8 bytes) ‖ nonce (16) ‖ digest (32) ‖ Ed25519 signature (64), or the MAC (32)
 * when the session has one.
 */
export function signRequest(session: SessionKey, head: RequestHead, nowMs: number): Uint8Array {
  const start = Buffer.alloc(SIGNATURE_AT);
  start.writeBigUInt64BE(BigInt(nowMs));
  drawNonce().copy(start, 8);
  start.set(head.digest, DIGEST_AT);
  const text = signedText(session, head, start);
  return Buffer.concat([start, session.mac?.of(text) ?? sign(null, text, session.privateKey)]);
}

/** What is known of a request whose signature is right; whether it is fresh is for the reader to judge. */
export interface RequestProof {
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Hex. */
  readonly nonce: string;
  /** SHA-256 that the body must have; undefined for a stream. */
  readonly bodyDigest: Uint8Array | undefined;
}

/** Checks a request's proof under a session. Throws `unauthenticated`. */
export function checkRequest(
  session: Session,
  proof: Uint8Array,
  { method, path }: Omit<RequestHead, "digest">,
): RequestProof {
  if (proof.length !== PROOF_BYTES && !isMacProof(proof)) {
    throw notSigned(`its signature has ${proof.length} bytes, not ${PROOF_BYTES} or, with a MAC, ${MAC_PROOF_BYTES}`);
  }
  const bytes = Buffer.from(proof);
  const start = bytes.subarray(0, SIGNATURE_AT);
  const digest = start.subarray(DIGEST_AT);
  const text = signedText(session, { method, path, digest }, start);
  const signature = bytes.subarray(SIGNATURE_AT);
  const isRight = isMacProof(proof)
    ? session.mac !== undefined && timingSafeEqual(session.mac.of(text), signature)
    : verify(null, text, session.publicKey, signature);
  if (!isRight) {
    throw notSigned("its signature is of another request, or not made with the session's key");
  }
  return {
    createdAt: Number(start.readBigUInt64BE()),
    nonce: start.toString("hex", 8, DIGEST_AT),
    bodyDigest: digest.every((byte) => byte === 0) ? undefined : digest,
  };
}

/** Whether a proof bears a MAC, which a session with one is needed for. */
export function isMacProof(proof: Uint8Array): boolean {
  return proof.length === MAC_PROOF_BYTES;
}

/** The error of a request that is not from whom it says. */
export function notSigned(why: string, cause?: unknown): NodeError {
  return new NodeError("unauthenticated", `The request is not accepted: ${why}`, { cause });
}

/**
 * The error of a short proof that names a session which the node does not know, or no longer: the requester sends its certificate along and is
 * served. Nothing was done.
 */
export function unknownSession(): NodeError {
  return new NodeError("unauthenticated", "The request's session is not known here: send its certificate along", {
    data: { session: "unknown" },
  });
}

/** Whether an error is that of {@link unknownSession}. */
export function isUnknownSession({ code, data }: Pick<NodeError, "code" | "data">): boolean {
  return code === "unauthenticated" && data["session"] === "unknown";
}

function signedText(
  { certificateHash, provider }: { readonly certificateHash: Uint8Array; readonly provider: NodeId },
  { method, path }: RequestHead,
  start: Uint8Array,
): Uint8Array {
  const lines = Buffer.from(`${method}\n${path}\n${provider.toLowerCase()}\n`);
  return Buffer.concat([REQUEST_CONTEXT, lines, start, certificateHash]);
}

/** Random bytes are drawn many at a time, since each draw costs the same. */
const randomness = Buffer.alloc(256 * NONCE_BYTES);
let nonceAt = randomness.length;

function drawNonce(): Buffer {
  if (nonceAt >= randomness.length) {
    randomFillSync(randomness);
    nonceAt = 0;
  }
  return randomness.subarray(nonceAt, nonceAt += NONCE_BYTES);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}
