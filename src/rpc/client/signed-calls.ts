import type { NodeError, NodeId } from "../../core/mod.ts";
import type { RequestSigner, SessionPeer } from "./request-signer.ts";
import type { Metadata } from "./transport.ts";

export interface SignedCallsOptions {
  readonly signer: RequestSigner;
  /** Asks the peer who it is, proven. */
  readonly whoIs: (signal: AbortSignal) => Promise<SessionPeer>;
}

/** One gRPC call as its signature covers it. */
export interface UnsignedCall {
  readonly path: string;
  /** The frame with the message, or a stream of them. */
  readonly body: Uint8Array | "stream";
  readonly signal: AbortSignal;
}

/** Signs this node's calls to one peer, which is asked once who it is. */
export class SignedCalls {
  readonly #options: SignedCallsOptions;
  #peer: ReturnType<SignedCallsOptions["whoIs"]> | undefined;

  constructor(options: SignedCallsOptions) {
    this.#options = options;
  }

  /** Who the peer is. */
  async provider(signal: AbortSignal): Promise<NodeId> {
    return (await this.#who(signal)).nodeId;
  }

  /** The metadata that signs a call; to be asked anew for each attempt, since a nonce counts once. */
  async metadata({ path, body, signal }: UnsignedCall): Promise<Metadata> {
    return this.#options.signer.sign(await this.#who(signal), { method: "POST", path }, body);
  }

  #who(signal: AbortSignal): ReturnType<SignedCallsOptions["whoIs"]> {
    if (this.#peer === undefined) {
      const asking = this.#options.whoIs(signal);
      this.#peer = asking;
      asking.catch(() => {
        if (this.#peer === asking) this.#peer = undefined;
      });
    }
    return this.#peer;
  }

  /** Draws the consequence of an error: the peer may have another key since, so it is asked again who it is. */
  note(error: NodeError): void {
    if (error.code === "unauthenticated") this.#peer = undefined;
  }
}
