import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import {
  type Clock,
  type NodeId,
  type NodeKey,
  openSession,
  type RequestHead,
  type SessionKey,
  signRequest,
  STREAM_DIGEST,
} from "../../core/mod.ts";
import { SESSION_HEADER, SIGNATURE_HEADER } from "../authenticator.ts";
import type { Metadata } from "./transport.ts";

/** How long a session is used, in milliseconds; another is opened when less than a tenth of it is left. */
const SESSION_MS = 12 * 3_600_000;
const MAX_SESSIONS = 1024;

export interface RequestSignerOptions {
  readonly key: NodeKey;
  /** 0 without a chain. */
  readonly chainId: number;
  readonly clock: Clock;
}

/** Signs requests with this node's name, under one session for each provider. */
export class RequestSigner {
  readonly #options: RequestSignerOptions;
  readonly #sessions = new Map<NodeId, SessionKey & { readonly encoded: string }>();

  constructor(options: RequestSignerOptions) {
    this.#options = options;
  }

  /** The metadata that signs a request to a provider whose body are these bytes, or a stream. */
  sign(provider: NodeId, request: Omit<RequestHead, "digest">, body: Uint8Array | "stream"): Metadata {
    const now = this.#options.clock.now();
    const session = this.#session(provider, now);
    const digest = body === "stream" ? STREAM_DIGEST : createHash("sha256").update(body).digest();
    const proof = signRequest(session, { ...request, digest }, now);
    return { [SESSION_HEADER]: session.encoded, [SIGNATURE_HEADER]: Buffer.from(proof).toString("base64url") };
  }

  #session(provider: NodeId, now: number) {
    const known = this.#sessions.get(provider);
    if (known !== undefined && known.expiresAt - now > SESSION_MS / 10) return known;
    const { key, chainId } = this.#options;
    const session = openSession(key, { provider, chainId, expiresAt: now + SESSION_MS });
    const entry = { ...session, encoded: Buffer.from(session.certificate).toString("base64url") };
    if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(provider, entry);
    return entry;
  }
}
