import {
  ANONYMOUS,
  type CallContext,
  type Caller,
  callerAddress,
  type Clock,
  confine,
  type Counter,
  type ErrorCode,
  type Histogram,
  inSpan,
  type Log,
  type Metrics,
  NodeError,
  type NodeId,
  notSigned,
  type RateLimiter,
  type RequesterId,
  SlotList,
  type Span,
  toNodeError,
  TRACEPARENT,
  type Tracer,
} from "../core/mod.ts";
import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { ConnectError } from "@connectrpc/connect";
import type { AllowList } from "./allow-list.ts";
import { requesterFromText } from "./requester-text.ts";
import { Deadlines, type Expiring } from "./deadlines.ts";
import type { Authenticator, SignedBy } from "./authenticator.ts";
import type { Route } from "./route.ts";

/** Metadata that names the requester of a call. */
export const REQUESTER_HEADER = "velas-requester";
/** Metadata that names a call across nodes. */
export const REQUEST_ID_HEADER = "velas-request-id";

/** What a request id may look like: it ends up in logs. */
export const REQUEST_ID = /^[A-Za-z0-9._~:-]{1,128}$/;

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What a call says of itself before its body is read. */
export interface CallOpening {
  readonly requester: string | undefined;
  readonly requestId: string | undefined;
  /** The caller's own limit, in milliseconds. */
  readonly timeoutMs: number | undefined;
  /** Where the call comes from, asked only when it matters. */
  readonly address?: () => string | undefined;
  /** All metadata of the request, as it came. */
  readonly metadata: IncomingHttpHeaders | Headers;
  /** Told when the deadline passes or the server stops the call; it is told once. */
  readonly onAbort?: (error: NodeError) => void;
}

/** Finds whose token a call bears before it is served; nobody's where none is needed, or it bears none that is good and will be refused. */
export type CallerFinder = (path: string, metadata: Call["metadata"]) => Caller | undefined;

export interface CallsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The longest unary call, in milliseconds; streams have no limit of the server's own. */
  readonly requestTimeoutMs: number;
  /** Finds out who signed a call; without one nobody has. */
  readonly authenticator?: Pick<Authenticator, "identify"> | undefined;
  /** Whether an unsigned call is from whom it says (`velas-requester`), the default, or from nobody. */
  readonly believesClaims?: boolean | undefined;
  /** The node itself: an unsigned call is never from it, since its own tasks may do what others' may not. */
  readonly self?: NodeId | undefined;
  /** Refuses who calls too often; without one nobody does. */
  readonly limiter?: RateLimiter | undefined;
  /** The nodes that are served; without it everybody is. */
  readonly allow?: AllowList | undefined;
  /** Traces calls; without one none is. */
  readonly tracer?: Tracer | undefined;
  /** Which of the owner's tokens a call bears, where it matters. */
  readonly callerOf?: CallerFinder | undefined;
}

/** What a service may add to its answer. The node's own services do not; the conformance suite's does. */
export interface AnswerMetadata {
  readonly headers: Readonly<Record<string, string[]>>;
  readonly trailers: Readonly<Record<string, string[]>>;
  /** The status to fail with, exactly, whatever the service throws. */
  readonly status?: ConnectError;
}

/** One call that is being served. It is the {@link CallContext} that services see. */
export class Call implements CallContext, Expiring {
  readonly requester: RequesterId;
  readonly authenticated: boolean;
  readonly requestId: string;
  readonly signal: AbortSignal;
  readonly deadlineAt?: number;
  readonly route: Route;
  /** Why the call is not served: it is not from whom it says, or comes too often. Refused with this before the body is read. */
  readonly refusal: NodeError | undefined;
  readonly metadata: IncomingHttpHeaders | Headers;
  /** Set by the service before it gives its first message or fails. */
  answer: AnswerMetadata | undefined;
  /** Its place among the open calls. */
  slot = -1;
  readonly #startedAt = performance.now();
  readonly #controller = new AbortController();
  readonly #calls: Calls;
  readonly #onAbort: ((error: NodeError) => void) | undefined;
  readonly #tick: number;
  readonly span: Span | undefined;
  readonly #signedBy: SignedBy | undefined;
  readonly #caller: Caller | undefined;
  #ended = false;

  constructor(calls: Calls, route: Route, opening: CallOpening) {
    this.#calls = calls;
    this.route = route;
    this.metadata = opening.metadata;
    this.#onAbort = opening.onAbort;
    this.#caller = calls.callerOf?.(route.path, opening.metadata);
    try {
      const { metadata } = opening;
      this.#signedBy = calls.authenticator?.identify({ method: "POST", path: route.path, headers: metadata });
    } catch (error) {
      this.refusal = toNodeError(error);
    }
    // Wrong signatures count for the address that sends them.
    this.refusal = calls.limit(this.#signedBy?.requester, opening) ?? this.refusal ??
      calls.allow?.refusal(route.path, this.#signedBy?.requester);
    this.authenticated = this.#signedBy !== undefined;
    this.requester = this.#signedBy?.requester ??
      calls.claimed(opening.requester);
    this.requestId = opening.requestId !== undefined && REQUEST_ID.test(opening.requestId)
      ? opening.requestId
      : calls.nextRequestId();
    this.span = calls.tracer?.begin(route.spanName, {
      kind: "server",
      traceparent: headerOf(opening.metadata, TRACEPARENT),
    });
    this.signal = this.#controller.signal;
    const limitMs = route.kind === "unary" ? calls.requestTimeoutMs : Infinity;
    const timeoutMs = Math.min(opening.timeoutMs ?? Infinity, limitMs);
    if (timeoutMs !== Infinity) {
      this.deadlineAt = calls.now() + timeoutMs;
      this.#tick = calls.deadlines.add(this, timeoutMs);
    } else {
      this.#tick = -1;
    }
  }

  /** Whether the call's signature covers its body, so that {@link checkBody} must be asked. */
  get signsBody(): boolean {
    return this.#signedBy?.bodySha256 !== undefined;
  }

  /** Throws `unauthenticated` when the SHA-256 of the body, as it was on the wire and in hex, is not the one that was signed. */
  checkBody(sha256: string): void {
    const signed = this.#signedBy?.bodySha256;
    if (signed !== undefined && signed !== sha256) throw notSigned("its body is not the one that was signed");
  }

  /** Runs a part of the call, so that what it does shows as part of its trace, and reaches only what its caller may reach. */
  traced<T>(work: () => T): T {
    const caller = this.#caller;
    const run = caller === undefined ? work : () => confine(caller, work);
    const { span, route } = this;
    return span === undefined || (route.kind === "unary" && route.mindsSpan) ? run() : inSpan(span, run);
  }

  /** The deadline has passed. */
  expire(): void {
    this.abort(new NodeError("deadline_exceeded", "The call took longer than its deadline allows"));
  }

  /** Stops the call: its signal aborts with the error, and whoever answers it is told. Does nothing on an ended call. */
  abort(error: NodeError): void {
    if (this.#ended || this.signal.aborted) return;
    this.#controller.abort(error);
    this.#onAbort?.(error);
  }

  /** Tells a service that still works on an ended call that nobody waits for it. */
  stop(): void {
    if (!this.signal.aborted) {
      this.#controller.abort(new NodeError("canceled", "The caller went away before the answer"));
    }
  }

  /** Takes the call off the books. Only the first time counts. */
  end(code: ErrorCode | "ok"): void {
    if (this.#ended) return;
    this.#ended = true;
    this.span?.end(code, { "rpc.system": "grpc", "velas.request_id": this.requestId });
    if (this.#tick >= 0) this.#calls.deadlines.remove(this, this.#tick);
    this.#calls.ended(this, code, (performance.now() - this.#startedAt) / 1000);
  }

  /**
   * Turns what a service threw into the error to answer with, and logs it when it is the node's own fault. This is the one boundary
   * where failed calls are logged.
   */
  failure(reason: unknown): NodeError {
    // A service that only passes on the reason of the signal means that reason.
    const error = toNodeError(reason);
    if (error.code === "internal") {
      this.#calls.log.error("A call failed for a fault of this node", {
        method: this.route.path,
        requestId: this.requestId,
        error: error.cause ?? error,
      });
    }
    return error;
  }
}

/** The open calls of a server: their deadlines, their count, and the way to stop them all. */
export class Calls {
  readonly deadlines = new Deadlines();
  readonly log: Log;
  readonly requestTimeoutMs: number;
  readonly authenticator: Pick<Authenticator, "identify"> | undefined;
  readonly #believesClaims: boolean;
  /** In lower case. */
  readonly #self: string | undefined;
  readonly allow: AllowList | undefined;
  readonly tracer: Tracer | undefined;
  readonly callerOf: CallerFinder | undefined;
  readonly #clock: Clock;
  readonly #limiter: RateLimiter | undefined;
  readonly #open = new SlotList<Call>();
  readonly #requests: Counter;
  readonly #seconds: Histogram;
  readonly #idPrefix = randomBytes(9).toString("base64url");
  #idCounter = 0;
  #idle: (() => void) | undefined;

  constructor(options: CallsOptions) {
    this.#clock = options.clock;
    this.#limiter = options.limiter;
    this.tracer = options.tracer;
    this.callerOf = options.callerOf;
    this.log = options.log;
    this.requestTimeoutMs = options.requestTimeoutMs;
    this.authenticator = options.authenticator;
    this.#believesClaims = options.believesClaims ?? true;
    this.#self = options.self?.toLowerCase();
    this.allow = options.allow;
    this.#requests = options.metrics.counter("velas_rpc_requests_total", "RPC calls by method and outcome", [
      "method",
      "code",
    ]);
    this.#seconds = options.metrics.histogram("velas_rpc_request_seconds", "How long RPC calls took", SECONDS, [
      "method",
    ]);
  }

  /** Puts a call on the books. */
  open(route: Route, opening: CallOpening): Call {
    const call = new Call(this, route, opening);
    call.slot = this.#open.add(call);
    return call;
  }

  /** Who an unsigned call is from, by what it says. */
  claimed(text: string | undefined): RequesterId {
    if (!this.#believesClaims || text === undefined || text.toLowerCase() === this.#self) return ANONYMOUS;
    return requesterFromText(text);
  }

  /** Why who calls must wait; undefined when it need not. What is not signed counts for its address. */
  limit(signer: RequesterId | undefined, { address }: CallOpening): NodeError | undefined {
    const limiter = this.#limiter;
    if (limiter === undefined || !limiter.active) return undefined;
    return signer === undefined
      ? limiter.refusal("address", callerAddress(address?.()), this.now())
      : limiter.refusal("peer", signer, this.now());
  }

  now(): number {
    return this.#clock.now();
  }

  /** A name for a call that brought none. Cheap on purpose: only logs of this process need it. */
  nextRequestId(): string {
    return `${this.#idPrefix}.${(this.#idCounter++).toString(36)}`;
  }

  /** Called by the call itself when it ends. */
  ended(call: Call, code: string, seconds: number): void {
    this.#open.remove(call.slot);
    this.#requests.add(1, { method: call.route.path, code });
    this.#seconds.observe(seconds, call.route.labels);
    const { route: { path: method }, requestId, requester } = call;
    this.log.debug("Answered over RPC", { requestId, method, requester, code, ms: Math.round(seconds * 1000) });
    if (this.#open.size === 0) this.#idle?.();
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Aborts the open calls that `which` picks. */
  abort(error: NodeError, which: (call: Call) => boolean = () => true): void {
    for (const call of [...this.#open]) {
      if (which(call)) call.abort(error);
    }
  }

  /** Resolves with true when no call is open any more, or with false after the time. */
  async idle(limitMs: number): Promise<boolean> {
    if (this.#open.size === 0) return true;
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(this.#open.size === 0), limitMs);
      this.#idle = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}

function headerOf(headers: IncomingHttpHeaders | Headers, name: string): string | undefined {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  return typeof value === "string" ? value : undefined;
}
