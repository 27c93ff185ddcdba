import { Buffer } from "node:buffer";
import type { IncomingHttpHeaders } from "node:http";
import {
  checkRequest,
  type Clock,
  isMacProof,
  type MacKeys,
  MAX_SESSION_MS,
  MAX_SKEW_MS,
  type NodeId,
  notSigned,
  providerMac,
  readCertificate,
  type Session,
} from "../core/mod.ts";
import { NonceMemory } from "./nonce-memory.ts";

/** Metadata that holds the certificate of a signed request's session, in base64url. */
export const SESSION_HEADER = "velas-session";
/** Metadata that holds a request's proof, in base64url. */
export const SIGNATURE_HEADER = "velas-signature";

/** Sessions that are remembered, so that their certificates are checked once. */
const MAX_SESSIONS = 10_000;
/** Requests whose nonces are remembered for as long as they could be replayed. */
const MAX_NONCES = 2_000_000;

/** Who signed a request, and what its body must be. */
export interface SignedBy {
  readonly requester: NodeId;
  /** SHA-256 of the body; undefined for a stream, which the signature does not cover. */
  readonly bodyDigest: Uint8Array | undefined;
}

export interface AuthenticatorOptions {
  /** The node that requests must be meant for. */
  readonly self: NodeId;
  /** 0 without a chain. */
  readonly chainId: number;
  /** The node's keys for MACs; without them only signatures are taken. */
  readonly macKeys?: MacKeys;
  readonly clock: Clock;
}

/** A request as it is known before its body. */
export interface UnreadRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders | Headers;
}

/** Finds out who signed a request, before its body is read. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #macs = new WeakMap<Session, Session>();
  readonly #nonces = new NonceMemory({ keepMs: 2 * MAX_SKEW_MS, maxNonces: MAX_NONCES });

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /**
   * Who signed the request; undefined when nobody did. Throws `unauthenticated` for a signature that is wrong, stale, replayed or meant for
   * another node, and `overloaded` when more requests come than can be remembered.
   */
  identify(request: UnreadRequest): SignedBy | undefined {
    const signature = headerOf(request.headers, SIGNATURE_HEADER);
    if (signature === undefined) return undefined;
    const session = this.#session(headerOf(request.headers, SESSION_HEADER));
    const now = this.#options.clock.now();
    if (session.expiresAt <= now) throw notSigned("its session is over: open another");
    if (session.expiresAt > now + MAX_SESSION_MS + MAX_SKEW_MS) throw notSigned("its session lasts longer than a day");
    const bytes = Buffer.from(signature, "base64url");
    const proof = checkRequest(isMacProof(bytes) ? this.#withMac(session) : session, bytes, request);
    const ageMs = now - proof.createdAt;
    if (Math.abs(ageMs) > MAX_SKEW_MS) {
      throw notSigned(
        `it was made ${Math.abs(ageMs)} ms ${ageMs > 0 ? "ago" : "in the future"}: set the clocks of both nodes`,
      );
    }
    if (!this.#nonces.add(session.requester + proof.nonce, now)) throw notSigned("it has come before (a replay)");
    return { requester: session.requester, bodyDigest: proof.bodyDigest };
  }

  /** The session with its MAC, made when it is first needed. */
  #withMac(session: Session): Session {
    const { macKeys } = this.#options;
    if (macKeys === undefined) throw notSigned("it bears a MAC, and this node takes signatures only");
    const known = this.#macs.get(session);
    if (known !== undefined) return known;
    try {
      const made = { ...session, mac: providerMac(macKeys, session) };
      this.#macs.set(session, made);
      return made;
    } catch (cause) {
      throw notSigned("no MAC can be made with its session's key", cause);
    }
  }

  #session(encoded: string | undefined): Session {
    if (encoded === undefined) throw notSigned(`it has ${SIGNATURE_HEADER} but no ${SESSION_HEADER}`);
    const known = this.#sessions.get(encoded);
    if (known !== undefined) return known;
    const { self, chainId } = this.#options;
    const session = readCertificate(Buffer.from(encoded, "base64url"));
    if (session.provider !== self) throw notSigned(`its session is with ${session.provider}, and this is ${self}`);
    if (session.chainId !== chainId) {
      throw notSigned(`its session is for chain ${session.chainId}, and this node is on ${chainId}`);
    }
    if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(encoded, session);
    return session;
  }
}

function headerOf(headers: IncomingHttpHeaders | Headers, name: string): string | undefined {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  return typeof value === "string" ? value : undefined;
}
