/** What tests of task services ask with, and how they read what comes. */
import assert from "node:assert/strict";
import {
  type CallContext,
  isEnd,
  NodeError,
  type RequesterId,
  type TaskEvent,
  type TaskRecord,
  type TaskService,
  type TaskSpec,
} from "../../src/core/mod.ts";
import type { TaskSettings } from "../../src/provider/mod.ts";
import { type FakeHost, join } from "./fake-host.ts";

export const ALICE: RequesterId = "0x00000000000000000000000000000000000000A1";
export const BOB: RequesterId = "0x00000000000000000000000000000000000000B2";

export const encoder = new TextEncoder();
export const decoder = new TextDecoder();

/** A spec with defaults. */
export function spec(fields: Partial<Omit<TaskSpec, "input">> & { readonly input?: string } = {}): TaskSpec {
  return {
    id: "",
    plugin: "",
    function: "",
    contentType: "",
    limits: {},
    priority: 0,
    ...fields,
    input: encoder.encode(fields.input ?? ""),
  };
}

/** A caller who stays. */
export function caller(
  requester: RequesterId = ALICE,
  signal: AbortSignal = new AbortController().signal,
): CallContext {
  return { requester, signal, requestId: "test" };
}

/** Matches a NodeError with this code, for `assert.rejects`. */
export function failure(code: string, message = /./): (error: unknown) => true {
  return (error) => {
    assert(error instanceof NodeError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

/** All events of a stream. */
export async function readAll(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const all: TaskEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

/** Waits for a task's end. */
export async function ended(service: TaskService, id: string, ctx: CallContext = caller()): Promise<TaskRecord> {
  for await (const event of service.watch(id, ctx)) {
    if (event.type === "state" && isEnd(event.task.state)) return event.task;
  }
  throw new Error("the events ended without an end state");
}

export function output(events: readonly TaskEvent[]): string {
  const pieces = events.filter((event) => event.type === "chunk").map((event) => event.bytes);
  return decoder.decode(join(pieces));
}

export function states(events: readonly TaskEvent[]): string[] {
  return events.filter((event) => event.type === "state").map((event) => event.task.state);
}

export async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield encoder.encode(text);
}

/** Tests one sentence: `body` gets the subject before a provider of these settings, and the provider's host. */
export type Sentence = (
  sentence: string,
  settings: Partial<TaskSettings>,
  body: (service: TaskService, host: FakeHost) => Promise<void>,
) => void;
