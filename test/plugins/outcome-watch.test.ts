import assert from "node:assert/strict";
import { OutcomeWatch } from "../../src/plugins/outcome-watch.ts";
import { test } from "../testing.ts";

/** A worker whose calls end when the test says so. */
class Worker {
  load = 0;
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

function setUp() {
  const worker = new Worker();
  const clock = { ms: 1000 };
  const seen = { progress: 0 };
  const watch = new OutcomeWatch({
    workers: () => [worker],
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
