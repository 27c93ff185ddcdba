import {
  type Clock,
  NodeError,
  type NodeId,
  type NodeInfo,
  type NodeKey,
  openSession,
  type RequestHead,
} from "../../core/mod.ts";
import { OutgoingSession } from "./outgoing-session.ts";
import type { Metadata } from "./transport.ts";

/** How long a session is used, in milliseconds; another is opened when less than a tenth of it is left. */
const SESSION_MS = 12 * 3_600_000;
const MAX_SESSIONS = 1024;

/** What a session needs to know of its provider. */
export type SessionPeer = Pick<NodeInfo, "nodeId" | "macKey" | "macVersion" | "chainId">;

export interface RequestSignerOptions {
  readonly key: NodeKey;
  /** This node's; 0 without one. A session names its provider's, which must be the same when both have one. */
  readonly chainId: number;
  readonly clock: Clock;
}

/** Signs requests with this node's name, under one session for each provider. */
export class RequestSigner {
  readonly #options: RequestSignerOptions;
  readonly #sessions = new Map<NodeId, OutgoingSession>();

  constructor(options: RequestSignerOptions) {
    this.#options = options;
  }

  /**
   * The metadata that signs a request to a provider whose body are these bytes, or a stream, with all that the provider needs to know. Throws
   * `failed_precondition` for a provider on another chain.
   */
  sign(provider: SessionPeer, request: Omit<RequestHead, "digest">, body: Uint8Array | "stream"): Metadata {
    return this.session(provider).sign(request, body, { brief: false });
  }

  /** The session with a provider, opened when there is none to use. Throws like {@link sign}. */
  session(provider: SessionPeer): OutgoingSession {
    const now = this.#options.clock.now();
    const { nodeId, chainId = 0 } = provider;
    const known = this.#sessions.get(nodeId);
    if (known !== undefined && known.key.expiresAt - now > SESSION_MS / 10 && known.suits(chainId, provider)) {
      return known;
    }
    const { key, chainId: own } = this.#options;
    if (own !== 0 && chainId !== 0 && own !== chainId) {
      throw new NodeError(
        "failed_precondition",
        `${nodeId} is on chain ${chainId}, and this node on ${own}: they cannot pay each other (payments.chainId); use a provider on chain ${own}`,
        { data: { nodeId, chainId, own } },
      );
    }
    const { macKey, macVersion } = provider;
    const opened = openSession(key, { provider: nodeId, chainId, expiresAt: now + SESSION_MS });
    const session = new OutgoingSession(opened, { macKey, macVersion, clock: this.#options.clock });
    if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(nodeId, session);
    return session;
  }
}
