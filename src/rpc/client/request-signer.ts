import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import {
  type Clock,
  NodeError,
  type NodeId,
  type NodeInfo,
  type NodeKey,
  openSession,
  requesterMac,
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

/** What a session needs to know of its provider. */
export type SessionPeer = Pick<NodeInfo, "nodeId" | "macKey" | "chainId">;

export interface RequestSignerOptions {
  readonly key: NodeKey;
  /** This node's; 0 without one. A session names its provider's, which must be the same when both have one. */
  readonly chainId: number;
  readonly clock: Clock;
}

/** Signs requests with this node's name, under one session for each provider. */
export class RequestSigner {
  readonly #options: RequestSignerOptions;
  readonly #sessions = new Map<NodeId, Entry>();

  constructor(options: RequestSignerOptions) {
    this.#options = options;
  }

  /**
   * The metadata that signs a request to a provider whose body are these bytes, or a stream. Throws `failed_precondition` for a provider on
   * another chain.
   */
  sign(
    provider: SessionPeer,
    request: Omit<RequestHead, "digest">,
    body: Uint8Array | "stream",
  ): Metadata {
    const now = this.#options.clock.now();
    const session = this.#session(provider, now);
    const digest = body === "stream" ? STREAM_DIGEST : hash("sha256", body, "buffer");
    const proof = signRequest(session, { ...request, digest }, now);
    return { [SESSION_HEADER]: session.encoded, [SIGNATURE_HEADER]: Buffer.from(proof).toString("base64url") };
  }

  #session({ nodeId, macKey, chainId = 0 }: SessionPeer, now: number): Entry {
    const known = this.#sessions.get(nodeId);
    if (
      known !== undefined && known.expiresAt - now > SESSION_MS / 10 && isSame(known.macKey, macKey) &&
      known.chainId === chainId
    ) return known;
    const { key, chainId: own } = this.#options;
    if (own !== 0 && chainId !== 0 && own !== chainId) {
      throw new NodeError(
        "failed_precondition",
        `${nodeId} is on chain ${chainId}, and this node on ${own}: they cannot pay each other (payments.chainId); use a provider on chain ${own}`,
        { data: { nodeId, chainId, own } },
      );
    }
    const session = openSession(key, { provider: nodeId, chainId, expiresAt: now + SESSION_MS });
    const entry: Entry = {
      ...session,
      encoded: Buffer.from(session.certificate).toString("base64url"),
      ...(macKey !== undefined && { macKey, mac: macOf(session, { nodeId, macKey }) }),
    };
    if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(nodeId, entry);
    return entry;
  }
}

/** A session, its certificate as it goes on the wire, and the provider's key that its MAC is for. */
interface Entry extends SessionKey {
  readonly encoded: string;
  readonly macKey?: Uint8Array;
}

function macOf(session: SessionKey, { nodeId, macKey }: { readonly nodeId: NodeId; readonly macKey: Uint8Array }) {
  try {
    return requesterMac(session, macKey);
  } catch (cause) {
    throw new NodeError("target_misbehaved", `The key for MACs that ${nodeId} gives is none`, { cause });
  }
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === other || (one !== undefined && other !== undefined && Buffer.compare(one, other) === 0);
}
