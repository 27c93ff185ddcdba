import assert from "node:assert/strict";
import { OutcomeWatch } from "../../src/plugins/outcome-watch.ts";
import { test } from "../testing.ts";

/** A worker whose calls end when the test says so. */
class Worker {
  load = 0;
  stalled = false;
  ended = 0;
  looks = 0;
  ringsPool = true;

  harvest(): boolean {
    this.looks++;
    const any = this.ended > 0;
    this.load -= this.ended;
    this.ended = 0;
    return any;
  }
}

function setUp({ cores = 2, others = [] }: { cores?: number; others?: readonly Worker[] } = {}) {
  const worker = new Worker();
  const clock = { ms: 1000 };
  const seen = { progress: 0 };
  const watch = new OutcomeWatch({
    workers: () => [worker, ...others],
    cores,
    onProgress: () => void seen.progress++,
    now: () => clock.ms,
  });
  return { worker, clock, seen, watch };
}

function turns(count: number): Promise<void> {
  return new Promise((resolve) => {
    const next = (left: number) => void (left === 0 ? resolve() : setImmediate(() => next(left - 1)));
    next(count);
  });
}

test("outcomes are seen in the next turn, without that the worker rings", async () => {
  const { worker, seen, watch } = setUp();
  worker.load = 2;
  watch.start();
  await turns(2);
  assert.equal(worker.ringsPool, false);
  worker.ended = 1;
  await turns(2);
  assert.deepEqual([worker.load, seen.progress, worker.ringsPool], [1, 1, false]);
  worker.ended = 1;
  await turns(3);
  assert.deepEqual([worker.load, seen.progress], [0, 2]);
  assert.equal(worker.ringsPool, true, "with nothing to wait for workers ring again");
  const { looks } = worker;
  await turns(3);
  assert.equal(worker.looks, looks, "and nobody looks");
});

test("what ends while the watch ends is not left lying", async () => {
  const { worker, clock, seen, watch } = setUp();
  worker.load = 1;
  watch.start();
  await turns(2);
  // The call ends after the last look and before the worker may ring.
  Object.defineProperty(worker, "ringsPool", {
    set(rings: boolean) {
      if (rings) worker.ended = 1;
    },
  });
  clock.ms += 1;
  await turns(3);
  assert.deepEqual([worker.load, seen.progress], [0, 1]);
});

test("a watch that helps nothing is left off for longer and longer, until one helps", async () => {
  const { worker, clock, watch } = setUp();
  worker.load = 1;
  /** Lets the watch that is on see nothing for long, and tells how long none can be begun after that. */
  const pauseOf = async () => {
    clock.ms += 1;
    await turns(2);
    assert.equal(worker.ringsPool, true);
    for (let pauseMs = 0;; pauseMs += 0.05) {
      watch.start();
      await turns(2);
      if (!worker.ringsPool) return Number(pauseMs.toFixed(2));
      clock.ms += 0.05;
    }
  };
  watch.start();
  await turns(2);
  const pauses = [];
  for (let i = 0; i < 9; i++) pauses.push(await pauseOf());
  assert.deepEqual(pauses.map(Math.round), [0, 0, 0, 1, 2, 3, 6, 8, 8]);
  worker.load = 2;
  worker.ended = 1;
  await turns(2);
  assert.equal(Math.round(await pauseOf()), 0);
  worker.load = 0; // ends the watch
});

test("outcomes are not watched where long calls leave no core for it", async () => {
  const [long, longer] = [new Worker(), new Worker()];
  for (
    const { cores, stalled, watches } of [
      { cores: 1, stalled: [], watches: false },
      { cores: 2, stalled: [], watches: true },
      { cores: 2, stalled: [long], watches: false },
      { cores: 3, stalled: [long], watches: true },
      { cores: 3, stalled: [long, longer], watches: false },
      { cores: 4, stalled: [long, longer], watches: true },
    ]
  ) {
    for (const one of [long, longer]) one.stalled = stalled.includes(one);
    const { worker, watch } = setUp({ cores, others: [long, longer] });
    worker.load = 1;
    watch.start();
    await turns(2);
    assert.equal(!worker.ringsPool, watches, `${cores} cores, ${stalled.length} long calls`);
    worker.ended = 1;
    await turns(3);
    assert.equal(worker.ringsPool, true);
  }
});

test("a watch ends with the last call that may end soon, and does not wait for long ones", async () => {
  const long = new Worker();
  long.load = 1;
  long.stalled = true;
  const { worker, watch } = setUp({ cores: 3, others: [long] });
  worker.load = 1;
  watch.start();
  await turns(2);
  assert.equal(worker.ringsPool, false);
  worker.ended = 1;
  await turns(3);
  assert.deepEqual([worker.ringsPool, long.ringsPool], [true, true]);
  const { looks } = long;
  await turns(3);
  assert.equal(long.looks, looks);
});
