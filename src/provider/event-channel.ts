import { isEnd, type NodeError, type TaskEvent } from "../core/mod.ts";
import { goneError } from "./task-failures.ts";

const MAX_WORDS = 256;
const MAX_WORD_CHARS = 256 << 10;

/** Who reads a channel and how much may wait for it. */
export interface EventChannelOptions {
  /** Unread output beyond this makes `push` return a promise, in bytes. */
  readonly bufferBytes: number;
  /** Ends the reading with an error when it aborts. */
  readonly signal: AbortSignal;
  /** Called once, when the reader stops or the channel ends. */
  readonly onClose: () => void;
}

/**
 * The events of one task on their way to one reader, who may be slow. States always arrive, pieces of output too; log lines
 * and progress reports are few at a time: of progress the newest is kept, and log lines beyond the bound are left out and
 * counted in a line of their own. Ends behind the event with an end state.
 */
export class EventChannel implements AsyncIterableIterator<TaskEvent> {
  readonly #options: EventChannelOptions;
  #events: TaskEvent[] = [];
  #words = 0;
  #wordChars = 0;
  #chunkBytes = 0;
  #leftOut = 0;
  #leftOutAt = 0;
  #ended = false;
  #closed = false;
  #failure: NodeError | undefined;
  #reader: { resolve(result: IteratorResult<TaskEvent>): void; reject(error: unknown): void } | undefined;
  #held: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(options: EventChannelOptions) {
    this.#options = options;
    if (options.signal.aborted) this.fail(goneError(options.signal));
    else options.signal.addEventListener("abort", this, { once: true });
  }

  /** Whether nobody reads any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Hands an event over. For output, a promise that resolves once the reader has caught up, when it is behind. */
  push(event: TaskEvent): void | Promise<void> {
    if (this.#ended || this.#closed) return;
    if (event.type === "log" || event.type === "progress") return this.#pushWords(event);
    if (this.#leftOut > 0) this.#noteLeftOut();
    if (event.type === "state" && isEnd(event.task.state)) {
      this.#ended = true;
      this.#events.push(event);
      return this.#serve();
    }
    this.#events.push(event);
    if (event.type === "chunk") this.#chunkBytes += event.bytes.length;
    this.#serve();
    if (this.#chunkBytes > this.#options.bufferBytes) return this.#hold();
  }

  /** Ends the reading with an error, behind what is already here. */
  fail(error: NodeError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = error;
    this.#serve();
  }

  handleEvent(): void {
    // The reader is gone, and what it has not read, nobody will. It may never ask again, so others hear of it now.
    this.#events = [];
    this.fail(goneError(this.#options.signal));
    this.#close();
  }

  next(): Promise<IteratorResult<TaskEvent>> {
    const event = this.#take();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      this.#close();
      return Promise.reject(failure);
    }
    if (this.#ended || this.#closed) {
      this.#close();
      return Promise.resolve({ done: true, value: undefined });
    }
    return new Promise((resolve, reject) => this.#reader = { resolve, reject });
  }

  return(): Promise<IteratorResult<TaskEvent>> {
    this.#events = [];
    this.#close();
    this.#reader?.resolve({ done: true, value: undefined });
    this.#reader = undefined;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #pushWords(event: TaskEvent & { type: "log" | "progress" }): void {
    const last = this.#events.at(-1);
    if (event.type === "progress" && last?.type === "progress") {
      this.#wordChars += event.message.length - last.message.length;
      this.#events[this.#events.length - 1] = event;
      return;
    }
    if (this.#words >= MAX_WORDS || this.#wordChars + event.message.length > MAX_WORD_CHARS) {
      this.#leftOut++;
      this.#leftOutAt = event.at;
      return;
    }
    if (this.#leftOut > 0) this.#noteLeftOut();
    this.#pushWord(event);
    this.#serve();
  }

  #pushWord(event: TaskEvent & { type: "log" | "progress" }): void {
    this.#words++;
    this.#wordChars += event.message.length;
    this.#events.push(event);
  }

  #noteLeftOut(): void {
    const message =
      `${this.#leftOut} log lines or progress reports were left out since they came faster than they were read`;
    this.#leftOut = 0;
    this.#pushWord({ type: "log", level: "warn", message, at: this.#leftOutAt });
  }

  #take(): TaskEvent | undefined {
    if (this.#events.length === 0 && this.#leftOut > 0) this.#noteLeftOut();
    const event = this.#events.shift();
    if (event === undefined) return undefined;
    if (event.type === "chunk") {
      this.#chunkBytes -= event.bytes.length;
      if (this.#chunkBytes <= this.#options.bufferBytes / 2) this.#letGo();
    } else if (event.type !== "state") {
      this.#words--;
      this.#wordChars -= event.message.length;
    }
    return event;
  }

  #serve(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    this.next().then(reader.resolve, reader.reject);
  }

  #hold(): Promise<void> {
    if (this.#held === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#held = { promise, resolve };
    }
    return this.#held.promise;
  }

  #letGo(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.signal.removeEventListener("abort", this);
    this.#letGo();
    this.#options.onClose();
  }
}
