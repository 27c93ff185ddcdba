import { isUnknownSession, NodeError, type NodeId } from "../../core/mod.ts";
import { frameOf } from "../grpc-frame.ts";
import { explain } from "./failures.ts";
import type { OutgoingSession } from "./outgoing-session.ts";
import type { Attempt } from "./peer.ts";
import type { RequestSigner, SessionPeer } from "./request-signer.ts";
import type { Metadata, PeerTransport } from "./transport.ts";

export interface SignedCallsOptions {
  readonly signer: RequestSigner;
  /** Asks the peer who it is, proven. */
  readonly whoIs: (signal: AbortSignal) => Promise<SessionPeer>;
  readonly transport: Pick<PeerTransport, "unaryFrame">;
  /** The peer's, as errors name it. */
  readonly target: string;
}

/** A call with one message and one answer. */
export interface MessageCall extends Attempt {
  readonly path: string;
  readonly message: Uint8Array;
}

/** The call as it goes on the wire. */
interface FramedCall extends Attempt {
  readonly path: string;
  readonly frame: Uint8Array;
}

/** Signs this node's calls to one peer, which is asked once who it is. */
export class SignedCalls {
  readonly #options: SignedCallsOptions;
  #asking: Promise<SessionPeer> | undefined;
  #peer: SessionPeer | undefined;

  constructor(options: SignedCallsOptions) {
    this.#options = options;
  }

  /** Who the peer is. */
  async provider(signal: AbortSignal): Promise<NodeId> {
    return (await this.#who(signal)).nodeId;
  }

  /** The metadata that signs a stream; to be asked anew for each attempt, since a proof counts once. */
  async metadata({ path, signal }: { readonly path: string; readonly signal: AbortSignal }): Promise<Metadata> {
    return this.#options.signer.sign(await this.#who(signal), { method: "POST", path }, "stream");
  }

  /**
   * Makes a call, signed. The certificate of its session is left out once the peer has taken it; a peer that does not know it any more, since it
   * was started again, gets the call once more with it. Throws what the transport throws.
   */
  async unary({ message, ...attempt }: MessageCall): Promise<Uint8Array> {
    const session = this.#options.signer.session(this.#peer ?? await this.#who(attempt.signal));
    const call = { ...attempt, frame: frameOf(message) };
    const brief = session.isBrief;
    try {
      return await this.#send(session, call, brief);
    } catch (reason) {
      if (!brief || !isUnknownSession(explain(reason, this.#options.target))) throw reason;
      session.introduced = false;
      return await this.#send(session, call, false);
    }
  }

  async #send(session: OutgoingSession, call: FramedCall, brief: boolean): Promise<Uint8Array> {
    const { path, frame, signal, timeoutMs, metadata } = call;
    const signature = session.sign({ method: "POST", path }, frame, { brief });
    const answer = await this.#options.transport.unaryFrame(path, frame, {
      signal,
      timeoutMs,
      metadata: { ...metadata, ...signature },
    });
    session.introduced = true;
    return answer;
  }

  #who(signal: AbortSignal): Promise<SessionPeer> {
    if (this.#asking === undefined) {
      const asking = this.#options.whoIs(signal);
      this.#asking = asking;
      asking.then((peer) => {
        if (this.#asking === asking) this.#peer = peer;
      }, () => {
        if (this.#asking === asking) this.#asking = undefined;
      });
    }
    return this.#asking;
  }

  /** Draws the consequence of an error: the peer may have another key since, so it is asked again who it is. */
  note(error: NodeError): void {
    if (error.code !== "unauthenticated") return;
    this.#asking = undefined;
    this.#peer = undefined;
  }
}
