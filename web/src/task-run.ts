import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { call, getJson, messageOf, query, sendJson } from "./api.ts";
import type { Task } from "./api-types.ts";

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly at: string;
}

export interface Progress {
  readonly fraction: number;
  readonly message: string;
}

/** A task that is being watched. */
export interface TaskView {
  readonly task?: Task;
  readonly log: readonly LogLine[];
  readonly progress?: Progress;
  /** Why it cannot be watched. */
  readonly error?: unknown;
}

/** Log lines that are kept; the oldest give way. */
const MAX_LINES = 500;

const EMPTY: TaskView = { log: [] };

/** Watches a task until its end. The stream comes back by itself after a break; the node ends it for good with 204. */
export class TaskWatch {
  readonly #view = signal<TaskView>(EMPTY);
  #source: EventSource | undefined;

  get view(): ReadonlySignal<TaskView> {
    return this.#view;
  }

  watch(id: string, target: string): void {
    this.stop();
    this.#view.value = EMPTY;
    const where = `v1/tasks/${encodeURIComponent(id)}`;
    const source = this.#source = new EventSource(`${where}/events${query({ target })}`);
    const on = <T>(name: string, change: (data: T) => Partial<TaskView>) =>
      source.addEventListener(name, (event) => {
        this.#view.value = { ...this.#view.peek(), ...change(JSON.parse((event as MessageEvent<string>).data) as T) };
      });
    on<Task>("state", (task) => {
      if (task.finishedAt !== undefined) this.stop();
      return { task };
    });
    let isNew = true;
    source.addEventListener("open", () => isNew = true);
    on<LogLine>("log", (line) => {
      const { log } = this.#view.peek();
      // The node begins with the lines that it said last, which may be here already.
      const before = isNew ? log.filter(({ at }) => at < line.at) : log;
      isNew = false;
      return { log: [...before.slice(1 - MAX_LINES), line] };
    });
    on<Progress>("progress", (progress) => ({ progress }));
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED || this.#source !== source) return;
      // It does not say why; the record does.
      getJson<Task>(`${where}${query({ target })}`).then(
        (task) => this.#view.value = { ...this.#view.peek(), task },
        (error: unknown) => this.#view.value = { ...this.#view.peek(), error },
      );
    });
  }

  fail(error: unknown): void {
    this.#view.value = { ...this.#view.peek(), error };
  }

  stop(): void {
    this.#source?.close();
    this.#source = undefined;
  }
}

/** What is asked of any provider: amounts in the smallest unit. */
export interface AnyWish {
  readonly maxPrice?: string;
  readonly region?: string;
}

export interface TaskForm {
  /** Where it runs; empty for this node. */
  readonly target: string;
  /** Runs it at the provider that fits best instead. */
  readonly any?: AnyWish;
  readonly plugin: string;
  readonly function: string;
  readonly input: string | File;
  readonly timeoutMs?: number;
  readonly memoryBytes?: number;
}

/** Sends a task to be run in the background. */
export async function submitTask(form: TaskForm): Promise<Task> {
  const { target, any, plugin, input, timeoutMs, memoryBytes } = form;
  return await sendJson<Task>("POST", "v1/tasks", {
    ...(any !== undefined ? { any } : target === "" ? {} : { target }),
    ...(plugin === "" ? {} : { plugin }),
    ...(form.function === "" ? {} : { function: form.function }),
    ...(typeof input === "string" ? { input } : { inputBase64: await base64Of(input), contentType: input.type }),
    limits: {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
    },
  });
}

export async function cancelTask(id: string, target: string): Promise<void> {
  await call("POST", `v1/tasks/${encodeURIComponent(id)}/cancel${query({ target })}`);
}

function base64Of(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve((reader.result as string).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read: ${messageOf(reader.error)}`));
    reader.readAsDataURL(file);
  });
}
