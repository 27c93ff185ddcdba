import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeError, type TaskEvent } from "../../src/core/mod.ts";
import { EventChannel } from "../../src/provider/event-channel.ts";
import { failure, readAll } from "../contract-suites/task-fixtures.ts";
import { moved, storedTask } from "../contract-suites/task-store.ts";

function channel(options: { bufferBytes?: number; signal?: AbortSignal } = {}) {
  const closed = { count: 0 };
  const { bufferBytes = 100, signal = new AbortController().signal } = options;
  return { closed, subject: new EventChannel({ bufferBytes, signal, onClose: () => closed.count++ }) };
}

const running: TaskEvent = { type: "state", task: moved(storedTask(), "running").record };
const over: TaskEvent = { type: "state", task: moved(storedTask(), "succeeded").record };
const log = (message: string): TaskEvent => ({ type: "log", level: "info", message, at: 1 });
const progress = (fraction: number): TaskEvent => ({ type: "progress", fraction, message: "", at: 1 });
const chunk = (size: number): TaskEvent => ({ type: "chunk", bytes: new Uint8Array(size) });

test("events arrive in order and end behind the end state", async () => {
  const { subject, closed } = channel();
  for (const event of [running, log("a"), progress(0.5), over, log("late")]) subject.push(event);
  assert.deepEqual(await readAll(subject), [running, log("a"), progress(0.5), over]);
  assert.equal(closed.count, 1);
});

test("a reader that waits gets the next event at once", async () => {
  const { subject } = channel();
  const next = subject.next();
  subject.push(log("a"));
  assert.deepEqual(await next, { done: false, value: log("a") });
});

test("of progress reports in a row the newest is kept", async () => {
  const { subject } = channel();
  for (const event of [progress(0.1), progress(0.2), log("a"), progress(0.3), progress(0.4), over]) subject.push(event);
  assert.deepEqual(await readAll(subject), [progress(0.2), log("a"), progress(0.4), over]);
});

test("a slow reader loses log lines with a notice, but no states and no output", async () => {
  const { subject } = channel({ bufferBytes: 1e6 });
  subject.push(running);
  for (let i = 0; i < 1000; i++) subject.push(log(`line ${i}`));
  subject.push(chunk(5));
  subject.push(over);
  const events = await readAll(subject);
  assert.deepEqual(events[0], running);
  assert.deepEqual(events.slice(1, 257), Array.from({ length: 256 }, (_, i) => log(`line ${i}`)));
  const notice = events[257]!;
  assert(notice.type === "log" && notice.level === "warn");
  assert.match(notice.message, /^744 log lines/);
  assert.deepEqual(events.slice(258), [chunk(5), over]);
});

test("long log lines are bounded by their size", async () => {
  const { subject } = channel();
  for (let i = 0; i < 100; i++) subject.push(log("x".repeat(10_000)));
  subject.push(over);
  const events = await readAll(subject);
  assert.equal(events.filter((event) => event.type === "log" && event.level === "info").length, 26);
});

test("a reader that catches up gets the notice before what comes next", async () => {
  const { subject } = channel();
  for (let i = 0; i < 300; i++) subject.push(log(`${i}`));
  for (let i = 0; i < 256; i++) await subject.next();
  subject.push(log("after"));
  const notice = (await subject.next()).value;
  assert.match(notice.message, /^44 log lines/);
  assert.deepEqual((await subject.next()).value, log("after"));
});

test("output beyond the buffer holds the plugin until the reader has caught up", async () => {
  const { subject } = channel({ bufferBytes: 100 });
  assert.equal(subject.push(chunk(100)), undefined);
  let free = false;
  const held = subject.push(chunk(1))!.then(() => free = true);
  await subject.next();
  await held;
  assert.equal(free, true);
  assert.equal(subject.push(chunk(99)), undefined);
});

test("a held plugin is let go when the reader leaves", async () => {
  const { subject, closed } = channel({ bufferBytes: 1 });
  const held = subject.push(chunk(10))!;
  await subject.return();
  await held;
  assert.equal(closed.count, 1);
  assert.equal(subject.push(chunk(10)), undefined);
  assert.deepEqual(await subject.next(), { done: true, value: undefined });
});

test("a reader that leaves while it waits is not kept waiting", async () => {
  const { subject } = channel();
  const next = subject.next();
  await subject.return();
  assert.equal((await next).done, true);
});

test("an abort ends the reading with its reason, once", async () => {
  const leaving = new AbortController();
  const { subject, closed } = channel({ signal: leaving.signal });
  subject.push(running);
  const waiting = subject.next().then(() => subject.next());
  await Promise.resolve();
  leaving.abort(new NodeError("deadline_exceeded", "too late"));
  await assert.rejects(waiting, failure("deadline_exceeded", /too late/));
  assert.equal((await subject.next()).done, true);
  assert.equal(closed.count, 1);
});

test("an abort lets a held plugin go, even when nobody reads any more", async () => {
  const leaving = new AbortController();
  const { subject, closed } = channel({ bufferBytes: 1, signal: leaving.signal });
  const held = subject.push(chunk(10))!;
  leaving.abort();
  await held;
  assert.equal(closed.count, 1);
  await assert.rejects(subject.next(), failure("canceled"));
});

test("an abort from before fails the first read", async () => {
  const { subject } = channel({ signal: AbortSignal.abort() });
  await assert.rejects(subject.next(), failure("canceled"));
});

test("fail() comes behind what is already there", async () => {
  const { subject } = channel();
  subject.push(log("a"));
  subject.fail(new NodeError("shutting_down", "stop"));
  assert.deepEqual((await subject.next()).value, log("a"));
  await assert.rejects(subject.next(), failure("shutting_down"));
});
