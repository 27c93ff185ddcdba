import { Buffer } from "node:buffer";
import type { IncomingHttpHeaders } from "node:http";
import {
  checkRequest,
  type Clock,
  isMacProof,
  type MacKeys,
  MAX_SESSION_MS,
  MAX_SKEW_MS,
  type NodeError,
  type NodeId,
  notSigned,
  providerMac,
  providerShortMac,
  readCertificate,
  type Session,
  type ShortMac,
  shortName,
  unknownSession,
} from "../core/mod.ts";
import { hexOf } from "./hex.ts";
import { NonceMemory } from "./nonce-memory.ts";
import { NumberMemory } from "./number-memory.ts";

/** Metadata that holds the certificate of a signed request's session, in base64url. */
export const SESSION_HEADER = "velas-session";
/** Metadata that holds a request's proof, in base64url. */
export const SIGNATURE_HEADER = "velas-signature";

/** Sessions that are remembered, so that their certificates are checked once. */
const MAX_SESSIONS = 10_000;
/** Requests whose nonces are remembered for as long as they could be replayed, and entries of numbers in their place. */
const MAX_NONCES = 2_000_000;

/** Who signed a request, and what its body must be. */
export interface SignedBy {
  readonly requester: NodeId;
  /** SHA-256 of the body, in hex; undefined for a stream, which the signature does not cover. */
  readonly bodySha256: string | undefined;
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

/** A session whose requester sends short proofs. */
interface ShortSession {
  readonly session: Session;
  readonly mac: ShortMac;
}

/** Finds out who signed a request, before its body is read. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #macs = new WeakMap<Session, Session>();
  readonly #nonces = new NonceMemory({ keepMs: 2 * MAX_SKEW_MS, maxNonces: MAX_NONCES });
  /** By what short proofs name them. */
  readonly #named = new Map<string, ShortSession>();
  readonly #shortSessions = new WeakMap<Session, ShortSession>();
  /** Not kept with the sessions: one that has to make room must not be open to replays. */
  readonly #numbers = new NumberMemory({ keepMs: 2 * MAX_SKEW_MS, maxEntries: MAX_NONCES });

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
    const now = this.#options.clock.now();
    const name = shortName(signature);
    if (name !== undefined) return this.#identifyShort(request, { name, proof: signature, now });
    const session = this.#session(headerOf(request.headers, SESSION_HEADER));
    checkTerm(session, now);
    const bytes = Buffer.from(signature, "base64url");
    const proof = checkRequest(isMacProof(bytes) ? this.#withMac(session) : session, bytes, request);
    checkFresh(proof.createdAt, now);
    if (!this.#nonces.add(session.requester + proof.nonce, now)) throw replayed();
    return { requester: session.requester, bodySha256: proof.bodyDigest && hexOf(proof.bodyDigest) };
  }

  #identifyShort(
    request: UnreadRequest,
    { name, proof, now }: { readonly name: string; readonly proof: string; readonly now: number },
  ): SignedBy {
    const encoded = headerOf(request.headers, SESSION_HEADER);
    const known = encoded === undefined ? this.#named.get(name) : this.#introduce(encoded);
    if (known === undefined) throw unknownSession();
    const { session, mac } = known;
    if (mac.name !== name) throw notSigned("its proof names another session, or is of another version");
    checkTerm(session, now);
    const { createdAt, number, bodySha256 } = mac.check(proof, request);
    checkFresh(createdAt, now);
    if (!this.#numbers.add(mac.name, number, now)) throw replayed();
    return { requester: session.requester, bodySha256 };
  }

  /** The session of a certificate, by its name from now on. */
  #introduce(encoded: string): ShortSession {
    const { macKeys } = this.#options;
    if (macKeys === undefined) throw notSigned("it bears a MAC, and this node takes signatures only");
    const session = this.#session(encoded);
    let known = this.#shortSessions.get(session);
    if (known === undefined) {
      known = { session, mac: macOf(() => providerShortMac(macKeys, session)) };
      this.#shortSessions.set(session, known);
    }
    const { name } = known.mac;
    if (!this.#named.has(name)) {
      dropOldest(this.#named);
      this.#named.set(name, known);
    }
    return known;
  }

  /** The session with its MAC, made when it is first needed. */
  #withMac(session: Session): Session {
    const { macKeys } = this.#options;
    if (macKeys === undefined) throw notSigned("it bears a MAC, and this node takes signatures only");
    const known = this.#macs.get(session);
    if (known !== undefined) return known;
    const made = { ...session, mac: macOf(() => providerMac(macKeys, session)) };
    this.#macs.set(session, made);
    return made;
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
    dropOldest(this.#sessions);
    this.#sessions.set(encoded, session);
    return session;
  }
}

function checkTerm({ expiresAt }: Session, now: number): void {
  if (expiresAt <= now) throw notSigned("its session is over: open another");
  if (expiresAt > now + MAX_SESSION_MS + MAX_SKEW_MS) throw notSigned("its session lasts longer than a day");
}

function checkFresh(createdAt: number, now: number): void {
  const ageMs = now - createdAt;
  if (Math.abs(ageMs) <= MAX_SKEW_MS) return;
  throw notSigned(
    `it was made ${Math.abs(ageMs)} ms ${ageMs > 0 ? "ago" : "in the future"}: set the clocks of both nodes`,
  );
}

function replayed(): NodeError {
  return notSigned("it has come before (a replay)");
}

function macOf<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw notSigned("no MAC can be made with its session's key", cause);
  }
}

/** Makes room for one more session. */
function dropOldest(sessions: Map<string, unknown>): void {
  if (sessions.size >= MAX_SESSIONS) sessions.delete(sessions.keys().next().value!);
}

function headerOf(headers: IncomingHttpHeaders | Headers, name: string): string | undefined {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  return typeof value === "string" ? value : undefined;
}
