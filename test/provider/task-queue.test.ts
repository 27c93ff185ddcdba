import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ANONYMOUS, NodeError } from "../../src/core/mod.ts";
import { Scheduler } from "../../src/provider/scheduler.ts";
import { type Job, TaskQueue } from "../../src/provider/task-queue.ts";

interface TestJob extends Job {
  started: boolean;
  expired: boolean;
}

function job(fields: Partial<Job> & { readonly seq: number }): TestJob {
  return {
    requester: ANONYMOUS,
    priority: 0,
    sizeBytes: 0,
    queuedAt: 0,
    ...fields,
    place: -1,
    started: false,
    expired: false,
    start() {
      this.started = true;
    },
    expire() {
      this.expired = true;
    },
  };
}

const jobs = fc.array(
  fc.record({
    priority: fc.integer({ min: -100, max: 100 }),
    sizeBytes: fc.nat(1000),
    queuedAt: fc.nat(50),
  }),
  { maxLength: 60 },
).map((all) => all.map((fields, seq) => job({ ...fields, seq })));

function expectedOrder(all: readonly TestJob[]): TestJob[] {
  return [...all].sort((a, b) => b.priority - a.priority || a.seq - b.seq);
}

function drain(queue: TaskQueue): Job[] {
  const all: Job[] = [];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) all.push(next);
  return all;
}

test("jobs leave by priority, then by age", () => {
  fc.assert(fc.property(jobs, (all) => {
    const queue = new TaskQueue();
    for (const one of all) queue.push(one);
    assert.equal(queue.bytes, all.reduce((sum, one) => sum + one.sizeBytes, 0));
    assert.deepEqual(drain(queue), expectedOrder(all));
    assert.deepEqual([queue.size, queue.bytes], [0, 0]);
  }));
});

test("removing from the middle keeps the order of the rest", () => {
  fc.assert(fc.property(jobs, fc.array(fc.nat(59)), (all, picks) => {
    const queue = new TaskQueue();
    for (const one of all) queue.push(one);
    const left = new Set(all);
    for (const pick of picks) {
      const one = all[pick];
      if (one !== undefined) assert.equal(queue.remove(one), left.delete(one));
    }
    assert.equal(queue.bytes, [...left].reduce((sum, one) => sum + one.sizeBytes, 0));
    assert.deepEqual(drain(queue), expectedOrder([...left]));
    assert(all.every((one) => one.place === -1));
  }));
});

test("older() gives exactly those that began to wait by then", () => {
  fc.assert(fc.property(jobs, fc.nat(50), (all, time) => {
    const queue = new TaskQueue();
    for (const one of all) queue.push(one);
    const old = queue.older(time);
    assert.deepEqual(old, expectedOrder(all.filter((one) => one.queuedAt <= time)));
    for (const one of old) queue.remove(one);
    assert.deepEqual(drain(queue), expectedOrder(all.filter((one) => one.queuedAt > time)));
  }));
});

function scheduler(
  options: { maxRunning?: number; maxQueued?: number; maxQueuedBytes?: number; now?: () => number } = {},
) {
  const { maxRunning = 1, maxQueued = 2, maxQueuedBytes = 100, now = () => 0 } = options;
  return new Scheduler({ maxRunning, maxQueued, maxQueuedBytes, clock: { now } });
}

test("slots are given at once while some are free, then by turn", () => {
  const subject = scheduler({ maxRunning: 2 });
  assert.deepEqual([subject.tryTake(ANONYMOUS), subject.tryTake(ANONYMOUS), subject.tryTake(ANONYMOUS)], [
    true,
    true,
    false,
  ]);
  const low = job({ seq: 1, priority: -1 });
  const high = job({ seq: 2, priority: 1 });
  subject.enqueue(low);
  subject.enqueue(high);
  assert.deepEqual([low.started, high.started], [false, false]);
  subject.release(ANONYMOUS);
  assert.deepEqual([low.started, high.started], [false, true]);
  assert.equal(subject.tryTake(ANONYMOUS), false, "nobody overtakes those who wait");
  subject.release(ANONYMOUS);
  assert.deepEqual([subject.running, subject.queued, low.started], [2, 0, true]);
});

test("the queue is bounded by count", () => {
  const subject = scheduler({ maxQueued: 2 });
  subject.tryTake(ANONYMOUS);
  for (const seq of [1, 2]) {
    subject.checkRoom(ANONYMOUS, 0);
    subject.enqueue(job({ seq }));
  }
  assert.throws(() => subject.checkRoom(ANONYMOUS, 0), { code: "overloaded", message: /holds 2 tasks/ });
});

test("the queue is bounded by bytes, but one large job may wait alone", () => {
  const subject = scheduler({ maxQueuedBytes: 100 });
  subject.tryTake(ANONYMOUS);
  subject.checkRoom(ANONYMOUS, 1000);
  subject.enqueue(job({ seq: 1, sizeBytes: 60 }));
  subject.checkRoom(ANONYMOUS, 40);
  assert.throws(() => subject.checkRoom(ANONYMOUS, 41), { code: "overloaded", message: /60 bytes/ });
});

test("retry-after follows the recent rate, within bounds", () => {
  let now = 1_000_000;
  const subject = scheduler({ maxQueued: 100, now: () => now });
  const refused = (): number => {
    try {
      subject.checkRoom(ANONYMOUS, 0);
    } catch (error) {
      return (error as NodeError).retryAfterMs!;
    }
    throw new Error("there was room");
  };
  subject.tryTake(ANONYMOUS);
  for (let seq = 0; seq < 100; seq++) subject.enqueue(job({ seq }));
  assert.equal(refused(), 1000, "nothing has ended yet");
  for (let i = 0; i < 40; i++) {
    now += 100;
    subject.release(ANONYMOUS);
  }
  for (let seq = 100; seq < 140; seq++) subject.enqueue(job({ seq }));
  assert(refused() > 4000 && refused() < 6000, `50 tasks at 10 a second, not ${refused()} ms`);
  now += 3_600_000;
  assert.equal(refused(), 60_000);
});

test("expire() tells the jobs that waited too long, and no others", () => {
  const subject = scheduler({ maxQueued: 10 });
  subject.tryTake(ANONYMOUS);
  const old = job({ seq: 1, queuedAt: 10 });
  const young = job({ seq: 2, queuedAt: 11 });
  subject.enqueue(old);
  subject.enqueue(young);
  subject.expire(10);
  assert.deepEqual([old.expired, young.expired, subject.queued], [true, false, 1]);
});

test("a paused scheduler starts nothing and becomes idle", async () => {
  const subject = scheduler({ maxRunning: 2 });
  subject.tryTake(ANONYMOUS);
  const waiting = job({ seq: 1 });
  subject.pause();
  assert.equal(subject.tryTake(ANONYMOUS), false);
  subject.enqueue(waiting);
  const idle = subject.idle();
  subject.release(ANONYMOUS);
  await idle;
  assert.equal(waiting.started, false);
});
