import {
  currentSpan,
  isEnd,
  type NodeError,
  type PluginEvent,
  type RequesterId,
  type StoredTask,
  type TaskEvent,
  type TaskKey,
  type TaskRecord,
} from "../core/mod.ts";
import type { EventChannel } from "./event-channel.ts";
import type { Reservation } from "./ports.ts";
import { RecentWords } from "./recent-words.ts";
import type { Job } from "./task-queue.ts";

/** How a task ended, for those who wait for it. */
export interface Ending {
  readonly record: TaskRecord;
  /** The output of a succeeded task, unless it was streamed. */
  readonly output?: Uint8Array;
  /** Why there is no result. */
  readonly error?: NodeError;
}

/** Where the input comes from: bytes at hand, a stream that can be read once, or (undefined) the store. */
export type InputSource = Uint8Array | AsyncIterable<Uint8Array> | undefined;

export interface LiveTaskOptions {
  readonly task: StoredTask;
  /** Whether the task is in the store, or known only while it runs. */
  readonly stored: boolean;
  readonly input: InputSource;
  readonly reservation: Reservation;
  readonly queuedAt: number;
  /** Begins the run; the task has a slot then. */
  readonly onStart: (live: LiveTask) => void;
  /** Lets go of what is kept for it, once it has ended. */
  readonly letGo?: (() => void) | undefined;
  /** It has waited too long. */
  readonly onExpire: (live: LiveTask) => void;
}

/** Gets the events of a task. */
export interface Watcher {
  push(event: TaskEvent): void | Promise<void>;
  /** There will be no end state, since the node stops or could not take the task. */
  fail(error: NodeError): void;
}

/** A task that has not ended, with who waits for it and who watches it. */
export class LiveTask implements Job {
  readonly stored: boolean;
  readonly reservation: Reservation;
  readonly queuedAt: number;
  readonly seq: number;
  readonly priority: number;
  readonly controller = new AbortController();
  /** What the task was asked for in; it runs at another's turn. */
  readonly span = currentSpan();
  /** Resolves when the task has ended, however it did. */
  readonly ending: Promise<Ending>;
  task: StoredTask;
  input: InputSource;
  place = -1;
  /** Resolves when the store has the task; rejects when it could not take it. */
  accepted: Promise<void> = Promise.resolve();
  /** Calls that wait for the result. When the last one goes away, a task that was not submitted is stopped. */
  callers = 0;
  /** Whether somebody was told that the task will run, so that it no longer depends on its callers. */
  submitted = false;
  /** Why it is being stopped. */
  stopping: NodeError | undefined;
  /** Whether a stop puts it back in the store's queue, for the next start of the node. */
  handBack = false;
  /** Whether its end is being written, after which nothing else may be. */
  endingBegun = false;
  /** The stream that gets the output as it comes. */
  stream: EventChannel | undefined;
  /** Since when it waits for the next piece of its stream of input; 0 when it does not. */
  waitsForInputSince = 0;

  readonly #watchers = new Set<Watcher>();
  /** Made with the first word: most tasks say nothing. */
  #said: RecentWords | undefined;
  readonly #onStart: (live: LiveTask) => void;
  readonly #onExpire: (live: LiveTask) => void;
  readonly #finish: (ending: Ending) => void;
  #letGo: (() => void) | undefined;

  constructor(options: LiveTaskOptions) {
    this.task = options.task;
    this.stored = options.stored;
    this.input = options.input;
    this.reservation = options.reservation;
    this.queuedAt = options.queuedAt;
    this.seq = options.task.seq;
    this.priority = options.task.record.priority;
    this.#onStart = options.onStart;
    this.#onExpire = options.onExpire;
    this.#letGo = options.letGo;
    const { promise, resolve } = Promise.withResolvers<Ending>();
    this.ending = promise;
    this.#finish = resolve;
  }

  get record(): TaskRecord {
    return this.task.record;
  }

  get key(): string {
    return liveKey(this.task.record);
  }

  get requester(): RequesterId {
    return this.task.record.requester;
  }

  get sizeBytes(): number {
    return this.task.inputBytes;
  }

  start(): void {
    this.#onStart(this);
  }

  expire(): void {
    this.#onExpire(this);
  }

  /** Moves the task on, and tells who watches. */
  advance(changes: Partial<TaskRecord>): void {
    this.task = { ...this.task, record: { ...this.task.record, ...changes } };
    if (!isEnd(this.record.state)) this.publish({ type: "state", task: this.record });
  }

  /** Tells everybody how it ended. */
  finish(ending: Ending): void {
    this.#letGo?.();
    this.#letGo = undefined;
    this.#finish(ending);
    for (const watcher of [...this.#watchers]) {
      if (isEnd(ending.record.state)) watcher.push({ type: "state", task: ending.record });
      else if (ending.error !== undefined) watcher.fail(ending.error);
    }
  }

  publish(event: TaskEvent): void {
    for (const watcher of this.#watchers) watcher.push(event);
  }

  /** What the plugin says, on its way to watchers; output goes only to the stream. */
  readonly onPluginEvent = (event: PluginEvent): void | Promise<void> => {
    if (event.type === "chunk") return this.stream?.push(event);
    (this.#said ??= new RecentWords()).add(event);
    this.publish(event);
  };

  /** Lets a watcher have all events from now on, the present state and what was said last first. */
  addWatcher(watcher: Watcher): void {
    watcher.push({ type: "state", task: this.record });
    for (const word of this.#said?.all() ?? []) watcher.push(word);
    this.#watchers.add(watcher);
  }

  removeWatcher(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }
}

/** Names a task in memory, as the store's keys do. */
export function liveKey({ requester, id }: TaskKey): string {
  return `${requester.toLowerCase()}/${id}`;
}
