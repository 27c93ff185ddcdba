import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RequesterId } from "../../src/core/mod.ts";
import { FairQueue } from "../../src/provider/fair-queue.ts";
import { Scheduler } from "../../src/provider/scheduler.ts";
import type { Job } from "../../src/provider/task-queue.ts";

const requester = (digit: number): RequesterId => `0x${String(digit).repeat(40)}`;
const [ALICE, BOB, CAROL] = [requester(1), requester(2), requester(3)] as const;
let lastSeq = 0;

interface TestJob extends Job {
  started: boolean;
}

function job(by: RequesterId, fields: Partial<Job> = {}): TestJob {
  return {
    requester: by,
    priority: 0,
    seq: ++lastSeq,
    sizeBytes: 1,
    queuedAt: 0,
    ...fields,
    place: -1,
    started: false,
    start() {
      this.started = true;
    },
    expire() {},
  };
}

/** Whose jobs leave, in order. */
function order(queue: FairQueue, count = Infinity): RequesterId[] {
  const all: RequesterId[] = [];
  for (let next: Job | undefined; all.length < count && (next = queue.pop()) !== undefined;) all.push(next.requester);
  return all;
}

test("requesters take turns, however many jobs each has", () => {
  const queue = new FairQueue();
  for (let i = 0; i < 5; i++) queue.push(job(ALICE));
  for (let i = 0; i < 2; i++) queue.push(job(BOB));
  queue.push(job(CAROL));
  assert.deepEqual(order(queue), [ALICE, BOB, CAROL, ALICE, BOB, ALICE, ALICE, ALICE]);
  assert.deepEqual([queue.size, queue.bytes], [0, 0]);
});

test("who comes later is not made to wait for who came before, and has no turns saved up", () => {
  const queue = new FairQueue();
  for (let i = 0; i < 100; i++) queue.push(job(ALICE));
  order(queue, 50);
  for (let i = 0; i < 3; i++) queue.push(job(BOB));
  const next = order(queue, 6);
  assert.deepEqual([next.filter((by) => by === ALICE).length, next.filter((by) => by === BOB).length], [3, 3]);
  assert(next.indexOf(BOB) <= 1);
});

test("who always has one job waiting gets no more turns than who has many", () => {
  const queue = new FairQueue();
  for (let i = 0; i < 50; i++) queue.push(job(ALICE));
  queue.push(job(BOB));
  const turns = new Map<RequesterId, number>();
  for (let i = 0; i < 40; i++) {
    const { requester: by } = queue.pop()!;
    turns.set(by, (turns.get(by) ?? 0) + 1);
    if (by === BOB) queue.push(job(BOB));
  }
  assert.deepEqual([turns.get(ALICE), turns.get(BOB)], [20, 20]);
});

test("a higher priority goes first; within it requesters take turns", () => {
  const queue = new FairQueue();
  queue.push(job(ALICE, { priority: -1 }));
  for (let i = 0; i < 2; i++) queue.push(job(BOB, { priority: 1 }));
  for (let i = 0; i < 2; i++) queue.push(job(CAROL, { priority: 1 }));
  assert.deepEqual(order(queue), [BOB, CAROL, BOB, CAROL, ALICE]);
});

test("whatever is pushed, dropped and popped, the queue counts right and gives every job once", () => {
  const action = fc.record({
    what: fc.constantFrom("push", "push", "pop", "remove", "older"),
    who: fc.nat(4),
    time: fc.nat(20),
  });
  fc.assert(fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
    const queue = new FairQueue();
    const waiting = new Set<Job>();
    for (const { what, who, time } of actions) {
      if (what === "push") {
        const one = job(requester(who), { queuedAt: time, sizeBytes: time });
        queue.push(one);
        waiting.add(one);
      } else if (what === "pop") {
        const one = queue.pop();
        assert.equal(one !== undefined, waiting.size > 0);
        if (one !== undefined) assert(waiting.delete(one));
      } else if (what === "remove") {
        const one = [...waiting].find((w) => w.requester === requester(who));
        if (one === undefined) continue;
        assert.equal(queue.remove(one), waiting.delete(one));
        assert.equal(queue.remove(one), false);
      } else {
        const old = queue.takeOlder(time);
        assert.deepEqual(new Set(old), new Set([...waiting].filter(({ queuedAt }) => queuedAt <= time)));
        for (const one of old) waiting.delete(one);
      }
      assert.equal(queue.size, waiting.size);
      assert.equal(queue.bytes, [...waiting].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    }
    assert.equal(order(queue).length, waiting.size);
  }));
});

function scheduler(maxRunning: number, maxQueued = 100) {
  return new Scheduler({ maxRunning, maxQueued, maxQueuedBytes: 1_000, clock: { now: () => 0 } });
}

test("a quarter of the slots is kept for who has none", () => {
  const subject = scheduler(8);
  const hog = Array.from({ length: 20 }, () => job(ALICE));
  const taken = Array.from({ length: 8 }, () => subject.tryTake(ALICE));
  assert.deepEqual(taken, [true, true, true, true, true, true, false, false]);
  for (const one of hog) subject.enqueue(one);
  assert.equal(hog.some(({ started }) => started), false);
  assert.equal(subject.tryTake(BOB), true, "a newcomer starts at once");
  assert.equal(subject.tryTake(BOB), false, "and has one of the slots that are kept");
  assert.equal(subject.tryTake(CAROL), true);
  assert.equal(subject.tryTake(requester(4)), false, "all are taken");
  const fourth = job(requester(4));
  subject.enqueue(fourth);
  subject.release(ALICE);
  assert.deepEqual([fourth.started, hog[0]!.started], [true, false], "the slot goes to who has none");
  subject.release(requester(4));
  subject.release(BOB);
  assert.equal(hog[0]!.started, false, "two of eight are free, and kept");
  subject.release(CAROL);
  assert.equal(hog[0]!.started, true, "with more than those free, others may have more");
});

test("ten requesters that send a hundred tasks each get the same number of slots", () => {
  const subject = scheduler(40, 10_000);
  const jobs = Array.from({ length: 10 }, (_, i) => Array.from({ length: 100 }, () => job(requester(i))));
  for (const own of jobs) for (const one of own) subject.enqueue(one);
  const running: Job[] = [];
  const counts = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 500; i++) {
    const begun = jobs.map((own) => own.filter((one) => one.started && !running.includes(one)));
    running.push(...begun.flat());
    for (const [by, own] of begun.entries()) counts[by]! += own.length;
    // Whichever began first ends first.
    subject.release(running[i]!.requester);
  }
  // The first took three quarters before the others came.
  assert(
    Math.max(...counts.slice(1)) - Math.min(...counts.slice(1)) <= 2 && counts[0]! - counts[1]! <= 30,
    counts.join(),
  );
});

test("one requester cannot fill the queue", () => {
  const subject = scheduler(1, 8);
  subject.tryTake(ALICE);
  for (let i = 0; i < 6; i++) {
    subject.checkRoom(ALICE, 1);
    subject.enqueue(job(ALICE));
  }
  assert.throws(() => subject.checkRoom(ALICE, 1), {
    code: "overloaded",
    message: /holds 6 tasks, and the last 2 of 8/,
  });
  subject.checkRoom(BOB, 1);
  subject.enqueue(job(BOB));
  assert.throws(() => subject.checkRoom(BOB, 1), { code: "overloaded" });
  subject.checkRoom(CAROL, 1);
});

test("however many names come once each, a bounded number is remembered", () => {
  const queue = new FairQueue();
  for (let i = 0; i < 25_000; i++) {
    queue.push(job(`0x${i.toString(16).padStart(40, "0")}`));
    queue.pop();
  }
  assert.equal(queue.size, 0);
  assert.ok(queue.rested <= 10_000, String(queue.rested));
});
