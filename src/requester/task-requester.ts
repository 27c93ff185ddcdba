import {
  type CallContext,
  type Clock,
  isEnd,
  isModuleRef,
  type Log,
  type ModuleService,
  newUlid,
  NodeError,
  type NodeId,
  type PeerWish,
  type RequesterId,
  type StoredRequest,
  targetName,
  TASK_STATES,
  type TaskRouter,
  type TaskService,
  type TaskStarter,
  toNodeError,
  type VerifiedRunner,
  type VerifyWish,
} from "../core/mod.ts";
import { AnyTasks, ChosenIds, type ProviderChooser } from "./any-tasks.ts";
import { type ModuleSource, ModuleTasks } from "./module-tasks.ts";
import { OwnTasks } from "./own-tasks.ts";
import type { Ledger, RequestStore } from "./ports.ts";
import { ReceiptCheck } from "./receipt-check.ts";
import { RemoteTasks } from "./remote-tasks.ts";
import { RequestBook } from "./request-book.ts";
import { isDoubtful } from "./request-failures.ts";
import { VerifiedTasks } from "./verified-tasks.ts";

const MAX_CACHED_TARGETS = 1000;
const STEP = 200;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;
/** Requests that have ended and are kept: some 200 MB with their receipts. */
const MAX_KEPT = 100_000;
const SWEEP_INTERVAL_MS = 60_000;

export interface TaskRequesterOptions {
  /** This node, as the requester of all its tasks. */
  readonly self: RequesterId;
  /** The provider in this process. */
  readonly local: TaskService;
  /** The task service of the provider at `host:port`, over the wire. */
  readonly dial: (target: string) => TaskService;
  readonly store: RequestStore;
  readonly ledger: Ledger;
  /** Knows which providers fit a task; without it every task names its target. */
  readonly chooser?: ProviderChooser;
  /** Which node is at a target, as it proves, so that no node verifies its own word. */
  readonly nodeAt?: (target: string, signal: AbortSignal) => Promise<NodeId>;
  /** Hears of a provider whose result of a verified task most others contradict. */
  readonly onDissent?: (target: string, error: NodeError) => void;
  /** Modules that tasks bring along, and the way to bring them to `host:port`; without it none. */
  readonly modules?: { readonly source: ModuleSource; readonly dial: (target: string) => ModuleService };
  readonly clock: Clock;
  readonly log: Log;
  /** How long requests are remembered, in milliseconds; 7 days by default. */
  readonly retentionMs?: number;
  /** How many of them, the newest, when they have ended; 100,000 by default. */
  readonly maxKept?: number;
  /** Waits between attempts to send again; for tests. */
  readonly wait?: (timeMs: number, signal: AbortSignal) => Promise<void>;
}

/** The requester role for tasks. Every call through it is this node's own, whoever makes it. */
export interface TaskRequester extends Required<TaskRouter> {
  /**
   * Sends the submissions again that an earlier process recorded and got no answer to, and returns how many there are. They go
   * on in the background, a provider that is down being asked again after 1 to 60 s, until they are forgotten.
   */
  recover(): Promise<number>;
  /** Drops requests that are older than their retention, and ended ones beyond the most that are kept. Runs by itself too. */
  sweep(): Promise<void>;
  /** Stops what goes on in the background. */
  close(): Promise<void>;
}

/** Makes the requester's side of tasks. */
export function createTaskRequester(options: TaskRequesterOptions): TaskRequester {
  return new Requester(options);
}

class Requester implements TaskRequester {
  readonly #options: TaskRequesterOptions;
  readonly #retentionMs: number;
  readonly #book: RequestBook;
  readonly #receipts: ReceiptCheck;
  readonly #own: OwnTasks;
  readonly #chosen = new ChosenIds();
  readonly #remotes = new Map<string, RemoteTasks>();
  readonly #closing = new AbortController();
  readonly #background = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  readonly #chooser: ProviderChooser | undefined;

  constructor(options: TaskRequesterOptions) {
    this.#options = options;
    this.#retentionMs = options.retentionMs ?? 7 * 86_400_000;
    this.#receipts = new ReceiptCheck(options);
    this.#chooser = options.chooser && this.#withModules(options.chooser);
    this.#book = new RequestBook({ ...options, receipts: this.#receipts });
    this.#own = new OwnTasks({
      ...options,
      book: this.#book,
      at: (target) => this.#remote(target),
      asSelf: this.#asSelf,
    });
    this.#timer = setInterval(() => {
      this.sweep().catch((error) => {
        options.log.warn("Old requests were not dropped", { error: toNodeError(error).message });
      });
    }, SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  at(target: string): TaskService {
    return target === "" ? this.#own : this.#remote(targetName(target));
  }

  any(wish: PeerWish): TaskStarter {
    const chooser = this.#chooser;
    if (chooser === undefined) throw new NodeError("unimplemented", "This node knows no peers: name the task's target");
    return new AnyTasks({
      wish,
      chooser,
      ids: this.#chosen,
      at: (target) => this.#remote(target),
      sentTo: async (id) => (await this.#book.get(id))?.record.target,
    });
  }

  verified(wish: VerifyWish): VerifiedRunner {
    const { nodeAt, onDissent, log, clock } = this.#options;
    const at = (target: string) => this.#remote(target);
    return new VerifiedTasks({ wish, chooser: this.#chooser, nodeAt, onDissent, log, now: () => clock.now(), at });
  }

  async recover(): Promise<number> {
    const byTarget = new Map<string, StoredRequest[]>();
    let count = 0;
    let last = "";
    for (;;) {
      const page = await this.#options.store.sending(last, STEP);
      if (page.length === 0) break;
      for (const request of page) {
        const { target } = request.record;
        byTarget.set(target, [...byTarget.get(target) ?? [], request]);
      }
      count += page.length;
      last = page.at(-1)!.record.id;
    }
    for (const requests of byTarget.values()) this.#goOn(this.#resume(requests));
    await this.#reserveAgain();
    if (count > 0) this.#options.log.info("Sending the submissions of an earlier run again", { count });
    return count;
  }

  async sweep(): Promise<void> {
    const { store, clock } = this.#options;
    for (;;) {
      const old = await store.olderThan(clock.now() - this.#retentionMs, STEP);
      if (old.length === 0) break;
      for (const request of old) await this.#book.remove(request);
    }
    await this.#dropExcess();
  }

  /** Drops what has ended and is behind the newest that are kept. What goes on is not forgotten. */
  async #dropExcess(): Promise<void> {
    const { store, maxKept = MAX_KEPT } = this.#options;
    let after = await store.endOfNewest(maxKept);
    while (after !== "") {
      const page = await store.list({ states: TASK_STATES.filter(isEnd), limit: STEP, after });
      for (const request of page.requests) await this.#book.remove(request);
      after = page.next;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort(new NodeError("shutting_down", "The node is stopping"));
    await Promise.all(this.#background);
  }

  /** Sets money aside again for tasks that providers have, and that will cost something when they end. */
  async #reserveAgain(): Promise<void> {
    let after = "";
    do {
      const page = await this.#options.store.list({ states: ["queued", "running"], limit: STEP, after });
      for (const { record, phase, askedLimits } of page.requests) {
        if (phase !== "sent") continue;
        // What was sent without a word on GPUs may have one.
        const limits = { noGpu: false, ...askedLimits };
        this.#goOn(this.#book.reserve({ ...record, limits, inputBytes: undefined }).then(() => {}));
      }
      after = page.next;
    } while (after !== "");
  }

  /** Sends requests to one provider, in turn; each until the provider has answered it. */
  async #resume(requests: readonly StoredRequest[]): Promise<void> {
    const { clock, store, wait = sleep } = this.#options;
    const { signal } = this.#closing;
    let retryMs = FIRST_RETRY_MS;
    for (const request of requests) {
      const { id, target, createdAt } = request.record;
      while (!signal.aborted && clock.now() < createdAt + this.#retentionMs) {
        const current = await this.#book.get(id);
        // Meanwhile somebody may have submitted it again, or canceled it.
        if (current === undefined || current.phase !== "sending" || isEnd(current.record.state)) break;
        const input = await store.input(id) ?? new Uint8Array(0);
        try {
          await this.#remote(target).send(current, input, this.#ownCall());
          retryMs = FIRST_RETRY_MS;
          break;
        } catch (cause) {
          const error = toNodeError(cause);
          if (signal.aborted) return;
          if (!isDoubtful(error) && !error.retryable) {
            await this.#book.refuse(current, error);
            break;
          }
          await wait(Math.max(retryMs, error.retryAfterMs ?? 0), signal);
          retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
        }
      }
    }
  }

  #goOn(work: Promise<void>): void {
    const watched = work
      .catch((error) =>
        this.#options.log.warn("Submissions were not sent again", { error: toNodeError(error).message })
      )
      .finally(() => this.#background.delete(watched));
    this.#background.add(watched);
  }

  #remote(target: string): RemoteTasks {
    const known = this.#remotes.get(target);
    if (known !== undefined) return known;
    const made = new RemoteTasks({
      ...this.#options,
      target,
      remote: this.#dial(target),
      book: this.#book,
      asSelf: this.#asSelf,
      receipts: this.#receipts,
    });
    if (this.#remotes.size >= MAX_CACHED_TARGETS) {
      const [oldest] = this.#remotes.keys();
      this.#remotes.delete(oldest!);
    }
    this.#remotes.set(target, made);
    return made;
  }

  #dial(target: string): TaskService {
    const { dial, modules } = this.#options;
    const tasks = dial(target);
    if (modules === undefined) return tasks;
    return new ModuleTasks({ target, tasks, modules: modules.dial(target), source: modules.source });
  }

  /** A chooser that also takes peers which lack a module that can be brought to them. */
  #withModules(chooser: ProviderChooser): ProviderChooser {
    const { modules } = this.#options;
    if (modules === undefined) return chooser;
    return {
      choose: (need, signal) => {
        const found = isModuleRef(need.plugin) ? modules.source.get(need.plugin.toLowerCase()) : undefined;
        return chooser.choose(found === undefined ? need : { ...need, moduleBytes: found.sizeBytes }, signal);
      },
    };
  }

  readonly #asSelf = (ctx: CallContext): CallContext => {
    return ctx.requester === this.#options.self ? ctx : { ...ctx, requester: this.#options.self };
  };

  #ownCall(): CallContext {
    const { self, clock } = this.#options;
    return { requester: self, signal: this.#closing.signal, requestId: newUlid(clock.now()) };
  }
}

function sleep(timeMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, timeMs);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
