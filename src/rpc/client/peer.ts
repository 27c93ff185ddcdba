import { Code, ConnectError } from "@connectrpc/connect";
import {
  ANONYMOUS,
  type CallContext,
  type Clock,
  currentSpan,
  NodeError,
  type NodeId,
  type TargetAddress,
  TRACEPARENT,
} from "../../core/mod.ts";
import { ErrorDetailSchema } from "../../gen/velas/sphere/v1/error_pb.ts";
import { REQUEST_ID_HEADER, REQUESTER_HEADER } from "../calls.ts";
import { explain } from "./failures.ts";
import type { Metadata, PeerTransport } from "./transport.ts";

/** How calls to peers behave. Times are in milliseconds. */
export interface PeerCallOptions {
  readonly clock: Clock;
  /** This node's id, in whose name calls go out that have no requester of their own. */
  readonly requester?: NodeId | undefined;
  /** For calls that only read or queue something, when their caller sets no deadline. */
  readonly requestTimeoutMs: number;
  /** For running a task, when its caller sets no deadline. */
  readonly taskTimeoutMs: number;
  /** How long a refused connection is left alone before the one retry. */
  readonly retryDelayMs: number;
  /** How long a target is remembered to speak the original protocol only. */
  readonly legacyMemoryMs: number;
}

/** What one unary call needs. */
export interface Attempt {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly metadata: Metadata;
}

export interface CallRules {
  /** The limit when the caller has no deadline. */
  readonly timeoutMs: number;
  /** Whether the call may be repeated although the peer may have served it. */
  readonly repeatable: boolean;
  /** The call is signed, so that it need not name its requester. */
  readonly signed?: boolean;
}

/** One peer: its transport, and the rules of calling it. */
export class Peer {
  readonly address: TargetAddress;
  readonly transport: PeerTransport;
  readonly options: PeerCallOptions;
  #legacyUntil = 0;

  constructor(address: TargetAddress, transport: PeerTransport, options: PeerCallOptions) {
    this.address = address;
    this.transport = transport;
    this.options = options;
  }

  get target(): string {
    return this.address.name;
  }

  /** Whether the peer was lately found to serve the original protocol only. */
  get isLegacy(): boolean {
    return this.#legacyUntil > this.options.clock.now();
  }

  rememberLegacy(): void {
    this.#legacyUntil = this.options.clock.now() + this.options.legacyMemoryMs;
  }

  /** The metadata that every call carries; one that is signed names its requester by that. */
  metadata(ctx: CallContext, signed = false): Metadata {
    const requester = ctx.requester === ANONYMOUS ? this.options.requester : ctx.requester;
    // Names in place of the constants: V8 makes literals with computed keys many times slower.
    const metadata: Metadata = requester === undefined || signed
      ? { "velas-request-id": ctx.requestId } satisfies Record<typeof REQUEST_ID_HEADER, string>
      : {
        "velas-requester": requester,
        "velas-request-id": ctx.requestId,
      } satisfies Record<typeof REQUESTER_HEADER | typeof REQUEST_ID_HEADER, string>;
    const span = ctx.span ?? currentSpan();
    return span === undefined ? metadata : { ...metadata, [TRACEPARENT]: span.traceparent };
  }

  /** What is left of the caller's time, or the default. Throws `deadline_exceeded` when nothing is. */
  timeLeft(ctx: CallContext, defaultMs: number): number {
    if (ctx.deadlineAt === undefined) return defaultMs;
    const leftMs = ctx.deadlineAt - this.options.clock.now();
    if (leftMs > 0) return leftMs;
    throw new NodeError("deadline_exceeded", `The deadline passed before the call to ${this.target} was made`, {
      data: { target: this.target },
    });
  }

  /**
   * Makes a unary call, and makes it once more when the connection failed and repeating is harmless: because the request never
   * left, or because the call is repeatable. Throws NodeErrors, and ConnectErrors that {@link isUnknownService} wants to see.
   */
  async call<T>(ctx: CallContext, rules: CallRules, attempt: (attempt: Attempt) => Promise<T>): Promise<T> {
    const metadata = this.metadata(ctx, rules.signed);
    const { signal } = ctx;
    try {
      return await attempt({ signal, metadata, timeoutMs: this.timeLeft(ctx, rules.timeoutMs) });
    } catch (reason) {
      const waitMs = this.#retryAfter(explain(reason, this.target), rules.repeatable);
      if (waitMs === undefined) throw reason;
      await delay(waitMs, signal);
      return await attempt({ signal, metadata, timeoutMs: this.timeLeft(ctx, rules.timeoutMs) });
    }
  }

  #retryAfter(error: NodeError, repeatable: boolean): number | undefined {
    if (error.code !== "target_unreachable") return undefined;
    if (error.data["requestSent"] === true) return repeatable ? 0 : undefined;
    const waitMs = error.retryAfterMs ?? this.options.retryDelayMs;
    return error.data["requestSent"] === false && waitMs <= this.options.retryDelayMs ? waitMs : undefined;
  }
}

/** Whether the peer itself answered that it does not serve the method, as a gRPC server that is no node of ours does. */
export function isUnknownService(reason: unknown): boolean {
  return reason instanceof ConnectError && reason.code === Code.Unimplemented && !(reason.cause instanceof NodeError) &&
    reason.findDetails(ErrorDetailSchema).length === 0;
}

/** Waits; ends early without an error when the signal aborts, which the next step then sees. */
function delay(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
