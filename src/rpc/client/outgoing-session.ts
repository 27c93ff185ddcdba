import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import {
  type Clock,
  NodeError,
  requesterMac,
  requesterShortMac,
  type RequestHead,
  type SessionKey,
  SHORT_PROOF_VERSION,
  type ShortMac,
  signRequest,
  STREAM_DIGEST,
} from "../../core/mod.ts";
import { SESSION_HEADER, SIGNATURE_HEADER } from "../authenticator.ts";
import type { Metadata } from "./transport.ts";

/** How a provider takes MACs. */
export interface MacTerms {
  /** Absent where it takes signatures only. */
  readonly macKey?: Uint8Array | undefined;
  /** The newest version that it takes; absent for the first. */
  readonly macVersion?: number | undefined;
}

/** A session with one provider, as its requester signs requests under it. */
export class OutgoingSession {
  readonly key: SessionKey;
  readonly #terms: MacTerms;
  /** Whether the provider has taken a request of the session, so that it knows its certificate unless it forgot. */
  introduced = false;
  readonly #clock: Clock;
  readonly #encoded: string;
  readonly #short: ShortMac | undefined;
  #nextNumber = 0;

  /** Throws `target_misbehaved` for a key for MACs that is none. */
  constructor(key: SessionKey, { clock, ...terms }: MacTerms & { readonly clock: Clock }) {
    const { macKey, macVersion = 1 } = terms;
    const isShort = macVersion >= SHORT_PROOF_VERSION;
    this.#clock = clock;
    this.#terms = terms;
    this.#encoded = Buffer.from(key.certificate).toString("base64url");
    try {
      this.#short = macKey !== undefined && isShort ? requesterShortMac(key, macKey) : undefined;
      this.key = macKey !== undefined && !isShort ? { ...key, mac: requesterMac(key, macKey) } : key;
    } catch (cause) {
      throw new NodeError("target_misbehaved", `The key for MACs that ${key.provider} gives is none`, { cause });
    }
  }

  /** Whether the next request of one message goes without the certificate. */
  get isBrief(): boolean {
    return this.introduced && this.#short !== undefined;
  }

  /** The metadata that signs a request whose body are these bytes, or a stream. A brief one leaves out the certificate. */
  sign(
    request: Omit<RequestHead, "digest">,
    body: Uint8Array | "stream",
    { brief }: { readonly brief: boolean },
  ): Metadata {
    const now = this.#clock.now();
    if (this.#short === undefined) {
      const digest = body === "stream" ? STREAM_DIGEST : hash("sha256", body, "buffer");
      const proof = signRequest(this.key, { ...request, digest }, now);
      return { [SESSION_HEADER]: this.#encoded, [SIGNATURE_HEADER]: Buffer.from(proof).toString("base64url") };
    }
    const proof = this.#short.prove(request, body, { number: this.#nextNumber++, createdAt: now });
    if (!brief) return { [SESSION_HEADER]: this.#encoded, [SIGNATURE_HEADER]: proof };
    // The name in place of the constant: V8 makes literals with computed keys many times slower.
    return { "velas-signature": proof } satisfies Record<typeof SIGNATURE_HEADER, string>;
  }

  /** Whether the session is good for the provider as it describes itself now. */
  suits(chainId: number, { macKey, macVersion }: MacTerms): boolean {
    return this.key.chainId === chainId && this.#terms.macVersion === macVersion && isSame(this.#terms.macKey, macKey);
  }
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === other || (one !== undefined && other !== undefined && Buffer.compare(one, other) === 0);
}
