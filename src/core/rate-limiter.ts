import { NodeError } from "./errors.ts";
import type { Counter } from "./metrics.ts";

export interface Rate {
  /** 0 is no limit. */
  readonly perSecond: number;
  /** How many may come at once after a pause. */
  readonly burst: number;
}

export interface RateLimiterOptions extends Rate {
  /** The setting that holds the rate, named to those who are refused. */
  readonly setting: string;
  /** How many callers are told apart at least; the memory is bounded by twice as many. */
  readonly maxCallers?: number;
  /** Counts refusals, by the sort of caller. */
  readonly refusals?: Counter;
}

/** What a caller is known by: what it proved to be, or where it calls from. */
export type CallerSort = "peer" | "token" | "address";

const MAX_CALLERS = 50_000;

/**
 * A token bucket for each caller, as GCRA (ITU-T I.371): of each only the time is kept at which its bucket will be full again, so a
 * caller costs one number. Callers that did not call for a while are forgotten, in two generations, however many there are.
 */
export class RateLimiter {
  readonly #options: RateLimiterOptions;
  readonly #maxCallers: number;
  #rate: Rate;
  #young = new Map<string, number>();
  #old = new Map<string, number>();

  constructor(options: RateLimiterOptions) {
    this.#options = options;
    this.#rate = options;
    this.#maxCallers = options.maxCallers ?? MAX_CALLERS;
  }

  /** Whether there is a limit now. */
  get active(): boolean {
    return this.#rate.perSecond > 0;
  }

  /** How many callers are remembered. */
  get callers(): number {
    return this.#young.size + this.#old.size;
  }

  /** Changes the rate, from the next call on. */
  configure(rate: Rate): void {
    this.#rate = rate;
  }

  /** Takes one call out of the caller's bucket, or gives the error to refuse it with: `overloaded`, with the time to wait. */
  refusal(sort: CallerSort, caller: string, nowMs: number): NodeError | undefined {
    const waitMs = this.#take(`${sort}:${caller}`, nowMs);
    if (waitMs === 0) return undefined;
    this.#options.refusals?.add(1, { by: sort });
    const { perSecond } = this.#rate;
    return new NodeError(
      "overloaded",
      `More than ${perSecond} calls a second come from ${
        OF[sort]
      }; wait, or let the node's operator raise ${this.#options.setting}`,
      { retryAfterMs: Math.ceil(waitMs), data: { limitPerSecond: perSecond } },
    );
  }

  /** How long the caller must wait, in milliseconds; 0 when it need not, and then the call is counted. */
  #take(key: string, nowMs: number): number {
    const { perSecond, burst } = this.#rate;
    if (perSecond <= 0) return 0;
    const intervalMs = 1000 / perSecond;
    const known = this.#young.get(key) ?? this.#old.get(key) ?? 0;
    // A time beyond what a full burst costs comes of a clock that was set back, or of a rate that was raised.
    const fullAt = known < nowMs || known > nowMs + burst * intervalMs ? nowMs : known;
    const waitMs = fullAt - nowMs - (burst - 1) * intervalMs;
    this.#remember(key, waitMs > 0 ? fullAt : fullAt + intervalMs);
    return Math.max(0, waitMs);
  }

  #remember(key: string, fullAt: number): void {
    if (this.#young.size >= this.#maxCallers && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, fullAt);
  }
}

const OF: Readonly<Record<CallerSort, string>> = {
  peer: "this requester",
  token: "this token",
  address: "this address",
};

/** What stands for a caller's address: of IPv6 the network of 64 bits, since one host has all of it. */
export function callerAddress(address: string | undefined): string {
  if (address === undefined || !address.includes(":")) return address ?? "";
  if (address.startsWith("::ffff:") && address.includes(".")) return address.slice(7);
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const missing = tail === undefined ? 0 : 4 - groups.length;
  return [...groups, ...new Array<string>(Math.max(0, missing)).fill("0")].slice(0, 4).join(":");
}
