import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, randomBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { parseNodeId } from "../src/core/identity.ts";
import { MAX_SESSION_MS, sessionBody, sessionDigest, type SessionTerms } from "../src/core/session-form.ts";
import type { ClientKey } from "./key.ts";
import { SphereError } from "./sphere-error.ts";

/*
 * Sessions and signed requests of docs/protocol.md, in pure JavaScript, so that browsers can make them.
 */

export interface SessionOptions {
  /** The node id of the node that is called; the session is good there only. */
  readonly provider: string;
  /** The chain that the node names in its information; 0 for one without a chain, which is what counts when absent. */
  readonly chainId?: number;
  /** When it ends, in milliseconds since the epoch: a day ahead at most. */
  readonly expiresAt: number;
}

/**
 * The right to call one node in a key's name for a while. It can be handed to a program or a page that must not have the key; whoever has it
 * can sign calls, and cannot sign vouchers.
 */
export interface ClientSession extends SessionTerms {
  readonly nodeId: string;
  readonly certificate: Uint8Array;
  /** Of an Ed25519 key, drawn for the session. */
  readonly secretKey: Uint8Array;
}

/** Draws a session key and has the key vouch for it. Throws a {@link SphereError} `invalid_argument`. */
export function openSession(key: ClientKey, options: SessionOptions): ClientSession {
  const { chainId = 0, expiresAt } = options;
  if (!Number.isSafeInteger(chainId) || chainId < 0) {
    throw new SphereError("invalid_argument", `A chain id is a whole number from 0 on, not ${chainId}`);
  }
  const leftMs = expiresAt - Date.now();
  if (!(leftMs > 0 && leftMs <= MAX_SESSION_MS)) {
    throw new SphereError(
      "invalid_argument",
      `A session ends between now and a day from now; expiresAt ${expiresAt} is ${leftMs} ms ahead`,
    );
  }
  let terms: SessionTerms;
  try {
    terms = { provider: parseNodeId(options.provider), chainId, expiresAt: Math.floor(expiresAt / 1000) * 1000 };
  } catch (error) {
    throw SphereError.from(error);
  }
  const secretKey = ed25519.utils.randomSecretKey();
  const body = sessionBody(ed25519.getPublicKey(secretKey), terms);
  return {
    ...terms,
    nodeId: key.nodeId,
    certificate: concatBytes(body, key.signDigest(sessionDigest(body))),
    secretKey,
  };
}

/** A request as its signature covers it. */
export interface RequestToSign {
  /** Without a query: Connect's POSTs have none. */
  readonly path: string;
  /** As it goes on the wire; a stream is not covered. */
  readonly body: Uint8Array | "stream";
}

/** The proof that a request is the session's. Time and nonce are given by tests only. */
export function signRequest(
  { certificate, secretKey, provider }: Pick<ClientSession, "certificate" | "secretKey" | "provider">,
  { path, body }: RequestToSign,
  { nowMs = Date.now(), nonce = randomBytes(16) }: { readonly nowMs?: number; readonly nonce?: Uint8Array } = {},
): Uint8Array {
  const createdAt = new DataView(new ArrayBuffer(8));
  createdAt.setBigUint64(0, BigInt(Math.floor(nowMs)));
  const digest = body === "stream" ? new Uint8Array(32) : sha256(body);
  const start = concatBytes(new Uint8Array(createdAt.buffer), nonce, digest);
  const head = utf8ToBytes(`velas-sphere request v1\nPOST\n${path}\n${provider.toLowerCase()}\n`);
  const text = concatBytes(head, start, sha256(certificate));
  return concatBytes(start, ed25519.sign(text, secretKey));
}
