import assert from "node:assert/strict";
import { test } from "node:test";
import { Deadlines } from "../../src/rpc/deadlines.ts";

class Entry {
  readonly expired: Promise<number>;
  expire!: () => void;
  constructor() {
    this.expired = new Promise((resolve) => this.expire = () => resolve(performance.now()));
  }
}

/** Keeps the process alive while something that does not itself is awaited. */
async function held<T>(work: Promise<T>): Promise<T> {
  const timer = setInterval(() => {}, 1000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

test("an entry expires at its deadline, never before", async () => {
  const deadlines = new Deadlines();
  const entry = new Entry();
  const begun = performance.now();
  deadlines.add(entry, 30);
  assert.ok(await held(entry.expired) - begun >= 30);
});

test("a removed entry does not expire, and the others do", async () => {
  const deadlines = new Deadlines();
  const [kept, removed, later] = [new Entry(), new Entry(), new Entry()];
  let hit = false;
  removed.expire = () => hit = true;
  const tick = deadlines.add(removed, 20);
  deadlines.add(kept, 20);
  deadlines.add(later, 60);
  deadlines.remove(removed, tick);
  await held(kept.expired);
  await held(later.expired);
  assert.equal(hit, false);
});

test("an earlier entry that comes later expires first", async () => {
  const deadlines = new Deadlines();
  const [late, early] = [new Entry(), new Entry()];
  const order: string[] = [];
  void late.expired.then(() => order.push("late"));
  void early.expired.then(() => order.push("early"));
  deadlines.add(late, 80);
  deadlines.add(early, 10);
  await held(late.expired);
  assert.deepEqual(order, ["early", "late"]);
});

test("deadlines of zero, in the past and beyond any timer are taken", async () => {
  const deadlines = new Deadlines();
  const [zero, past, far] = [new Entry(), new Entry(), new Entry()];
  let hit = false;
  far.expire = () => hit = true;
  deadlines.add(far, 1e12);
  deadlines.add(zero, 0);
  deadlines.add(past, -5);
  await held(Promise.all([zero.expired, past.expired]));
  assert.equal(hit, false);
  deadlines.clear();
});
