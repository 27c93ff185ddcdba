import { type Clock, NodeError, toNodeError } from "../core/mod.ts";
import type { DiscoveryMetrics } from "./discovery-metrics.ts";
import type { PeerBook } from "./peer-book.ts";
import type { PeerProber } from "./ports.ts";

export interface ProbeScheduleOptions {
  readonly book: PeerBook;
  readonly prober: PeerProber;
  readonly clock: Clock;
  readonly metrics: DiscoveryMetrics;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Between two probes of a peer that answers; half to one and a half of it, so that probes spread. */
  readonly everyMs: number;
  /** How long one probe may take. */
  readonly timeoutMs: number;
  readonly parallel: number;
}

/** A peer that does not answer is asked ever less often, down to this. */
const MAX_BACKOFF_MS = 6 * 3_600_000;
/** Newly listed peers are asked within this, each at a time of its own. */
const FIRST_SPREAD_MS = 5000;
/** A peer that failed while it was used is asked soon. */
const DOUBT_MS = 30_000;
const TICK_MS = 250;

/** Asks every peer now and then, a few at once, each for a short time only. */
export class ProbeSchedule {
  readonly #options: ProbeScheduleOptions;
  readonly #dueAt = new Map<string, number>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ProbeScheduleOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), TICK_MS);
    this.#timer.unref();
    this.tick();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort(new NodeError("shutting_down", "The node is stopping"));
    await Promise.all(this.#running.values());
  }

  /** Starts probes that are due, as many as may run at once; the most overdue first. */
  tick(): void {
    const { book, clock, parallel, random } = this.#options;
    if (this.#closing.signal.aborted) return;
    const now = clock.now();
    const due: [at: number, target: string][] = [];
    for (const target of book.targets()) {
      let at = this.#dueAt.get(target);
      if (at === undefined) {
        const named = book.isStatic(target) || book.record(target)!.added;
        at = named ? now : now + random() * FIRST_SPREAD_MS;
        this.#dueAt.set(target, at);
      }
      if (at <= now && !this.#running.has(target) && book.record(target)?.blocked === false) due.push([at, target]);
    }
    if (this.#dueAt.size > book.size) {
      for (const target of this.#dueAt.keys()) if (!book.has(target)) this.#dueAt.delete(target);
    }
    due.sort((a, b) => a[0] - b[0]);
    for (const [, target] of due.slice(0, Math.max(0, parallel - this.#running.size))) {
      void this.probe(target, this.#closing.signal);
    }
  }

  /** Has a peer asked soon, since something went wrong with it. */
  doubt(target: string): void {
    const at = this.#dueAt.get(target);
    const soon = this.#options.clock.now() + DOUBT_MS * (0.5 + this.#options.random());
    if (at !== undefined && at > soon) this.#dueAt.set(target, soon);
  }

  /** Asks a peer now. What came of it is in the book; it does not throw. */
  probe(target: string, signal: AbortSignal): Promise<void> {
    const known = this.#running.get(target);
    if (known !== undefined) return known;
    const probing = this.#probe(target, AbortSignal.any([signal, this.#closing.signal])).finally(() => {
      this.#running.delete(target);
    });
    this.#running.set(target, probing);
    return probing;
  }

  /** Asks peers that were not asked yet, up to `count` of them, a few at once, until the time is over. */
  async probeUnknown(count: number, signal: AbortSignal): Promise<void> {
    const { book, parallel } = this.#options;
    const unknown = [...book.targets()].filter((target) => {
      const record = book.record(target)!;
      return record.lastProbeAt === undefined && !record.blocked;
    }).slice(0, count);
    const queue = unknown.values();
    const lanes = Array.from({ length: Math.min(parallel, unknown.length) }, async () => {
      for (const target of queue) {
        if (signal.aborted) return;
        await this.probe(target, signal);
      }
    });
    await Promise.all(lanes);
  }

  async #probe(target: string, signal: AbortSignal): Promise<void> {
    const { book, prober, metrics, clock, timeoutMs, everyMs, random } = this.#options;
    const startedAt = performance.now();
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new AbortController();
      const limit = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          const error = new NodeError("target_unreachable", `${target} did not answer within ${timeoutMs} ms`);
          reject(error);
          late.abort(error);
        }, timeoutMs);
      });
      const answer = await Promise.race([prober.probe(target, AbortSignal.any([signal, late.signal])), limit]);
      book.answered(target, answer);
      metrics.probed("answered", performance.now() - startedAt);
    } catch (cause) {
      const error = toNodeError(cause);
      if (!signal.aborted) {
        book.silent(target, error);
        metrics.probed(
          error.code === "target_misbehaved" ? "misbehaved" : "unreachable",
          performance.now() - startedAt,
        );
      }
    } finally {
      clearTimeout(timer);
      const failures = book.record(target)?.failures ?? 0;
      const waitMs = Math.min(MAX_BACKOFF_MS, everyMs * 2 ** Math.max(0, Math.min(failures - 1, 20)));
      this.#dueAt.set(target, clock.now() + waitMs * (0.5 + random()));
    }
  }
}
