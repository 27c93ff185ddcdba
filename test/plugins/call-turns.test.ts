import assert from "node:assert/strict";
import { CallTurns, LONG_MS } from "../../src/plugins/call-turns.ts";
import type { Turn } from "../../src/plugins/call-turns.ts";
import { test } from "../testing.ts";

interface Call {
  readonly turn: Turn;
  readonly by: number;
  readonly ms: number;
  readonly came: number;
  began?: number;
}

/** Workers that run calls in the order of the turns, in a time of their own. */
class Simulation {
  now = 0;
  readonly ended: Call[] = [];
  readonly turns: CallTurns<Call>;
  readonly #workers: number;
  readonly #running: Call[] = [];
  readonly #coming: { readonly at: number; readonly come: () => void }[] = [];

  constructor(workers: number) {
    this.#workers = workers;
    this.turns = new CallTurns({ workers, now: () => this.now });
  }

  /** Lets a requester's call come now. Every requester has one function, or those that are named. */
  call(by: number, ms: number, functionIndex = 0, moduleId = by): void {
    const turn = this.turns.turnOf(by, { moduleId, functionIndex });
    this.turns.push({ turn, by, ms, came: this.now });
  }

  at(at: number, come: () => void): void {
    this.#coming.push({ at, come });
    this.#coming.sort((a, b) => a.at - b.at);
  }

  /** Goes on until a time, in steps of a millisecond. */
  runUntil(end: number): void {
    for (; this.now < end; this.now++) {
      for (const call of [...this.#running]) {
        const ran = this.now - call.began!;
        if (ran < call.ms) {
          this.turns.runsFor(call, ran);
          continue;
        }
        this.#running.splice(this.#running.indexOf(call), 1);
        this.turns.end(call, call.ms);
        this.ended.push(call);
      }
      while (this.#coming[0] !== undefined && this.#coming[0].at <= this.now) this.#coming.shift()!.come();
      while (this.#running.length < this.#workers) {
        const next = this.turns.peek();
        if (next === undefined) break;
        this.turns.remove(next);
        this.turns.begin(next);
        next.began = this.now;
        this.#running.push(next);
      }
    }
  }

  /** How long the calls of a requester waited that have begun since a time. */
  waits(by: number, since = 0): number[] {
    return this.ended.filter((call) => call.by === by && call.came >= since).map((call) => call.began! - call.came);
  }
}

const [HOG, SMALL, OTHER] = [1, 2, 3] as const;

test("short calls do not wait for long ones once these are known, however many there are", () => {
  const world = new Simulation(2);
  for (let i = 0; i < 64; i++) world.call(HOG, 2_000);
  for (let at = 100; at < 60_000; at += 50) world.at(at, () => world.call(SMALL, 1));
  world.runUntil(61_000);
  assert.equal(world.waits(SMALL).length, 1_198);
  // At first nothing is known, and both workers may hold long calls.
  assert(Math.max(...world.waits(SMALL)) <= 2_000);
  assert.equal(Math.max(...world.waits(SMALL, 2_001)), 0);
  // The hog has one worker all the time.
  assert(world.waits(HOG).length >= 30);
});

test("long calls have all workers when no short ones come, and again when they have ceased", () => {
  const world = new Simulation(2);
  for (let i = 0; i < 100; i++) world.call(HOG, 1_000);
  world.runUntil(10_001);
  assert.equal(world.ended.length, 20);
  world.call(SMALL, 1);
  world.runUntil(14_000);
  const before = world.ended.length;
  assert(before < 20 + 8);
  world.runUntil(30_001);
  assert(world.ended.length - before >= 26);
});

test("one worker alone is not kept free", () => {
  const world = new Simulation(1);
  world.call(SMALL, 1);
  for (let i = 0; i < 10; i++) world.call(HOG, 100);
  world.runUntil(1_100);
  assert.equal(world.ended.length, 11);
});

test("requesters share the time of the workers, not the number of calls", () => {
  const world = new Simulation(2);
  for (let i = 0; i < 400; i++) {
    world.call(HOG, 400);
    world.call(OTHER, 100);
    world.call(OTHER, 100);
  }
  world.runUntil(40_000);
  const time = (by: number) => world.ended.filter((call) => call.by === by).reduce((sum, { ms }) => sum + ms, 0);
  assert(Math.abs(time(HOG) - time(OTHER)) <= 0.1 * (time(HOG) + time(OTHER)), `${time(HOG)} and ${time(OTHER)} ms`);
});

test("ten requesters at once on two workers have equal shares, and small calls go by", () => {
  const world = new Simulation(2);
  for (let by = 10; by < 20; by++) for (let i = 0; i < 200; i++) world.call(by, by < 19 ? 200 : 1);
  world.runUntil(100_000);
  const counts = Array.from({ length: 9 }, (_, i) => world.waits(10 + i).length);
  assert(Math.max(...counts) - Math.min(...counts) <= 2, counts.join());
  assert.equal(world.waits(19).length, 200);
  assert(world.ended.findLastIndex(({ by }) => by === 19) < 240, "the small ones were through after the first round");
});

test("who was away has no time saved up", () => {
  const world = new Simulation(1);
  for (let i = 0; i < 100; i++) world.call(HOG, 100);
  world.runUntil(5_001);
  for (let i = 0; i < 100; i++) world.call(OTHER, 100);
  const before = world.ended.length;
  world.runUntil(9_001);
  const since = world.ended.slice(before).map(({ by }) => by);
  assert(Math.abs(since.filter((by) => by === HOG).length - since.filter((by) => by === OTHER).length) <= 2);
});

test("long calls in the guise of short ones take one worker at most", () => {
  const world = new Simulation(3);
  for (let i = 0; i < 300; i++) world.call(HOG, i % 6 === 0 ? 1_000 : 1);
  for (let at = 1_500; at < 20_000; at += 40) world.at(at, () => world.call(SMALL, 1));
  world.runUntil(21_000);
  assert.equal(Math.max(...world.waits(SMALL, 3_000)), 0);
});

test("whoever sends ever new functions that take long is soon kept out of the lane", () => {
  const world = new Simulation(2);
  for (let i = 0; i < 100; i++) world.call(HOG, 1_000, i);
  for (let at = 10_000; at < 40_000; at += 40) world.at(at, () => world.call(SMALL, 1));
  world.runUntil(41_000);
  assert.equal(Math.max(...world.waits(SMALL, 12_000)), 0);
});

test("a requester that runs long calls has its short ones go by them, too", () => {
  const world = new Simulation(2);
  for (let i = 0; i < 100; i++) world.call(HOG, 1_000, 0);
  for (let at = 5_000; at < 20_000; at += 40) world.at(at, () => world.call(HOG, 1, 1));
  world.runUntil(21_000);
  const waits = world.ended.filter(({ ms, came }) => ms === 1 && came > 7_000).map(({ began, came }) => began! - came);
  assert.equal(Math.max(...waits), 0);
});

test("a function that is slow once, since its instance is new, is soon taken for short again", () => {
  const world = new Simulation(2);
  world.call(SMALL, 100);
  world.runUntil(101);
  const turn = world.turns.turnOf(SMALL, { moduleId: SMALL, functionIndex: 0 });
  assert.equal(world.turns.lengthOf(turn), "untried");
  world.call(SMALL, 100);
  world.runUntil(world.now + 101);
  assert.equal(world.turns.lengthOf(turn), "long");
  world.call(SMALL, 1);
  world.runUntil(world.now + 3);
  assert.equal(world.turns.lengthOf(turn), "short");
  world.call(SMALL, 100);
  world.runUntil(world.now + 101);
  assert.equal(world.turns.lengthOf(turn), "short", "as calls are now and then on a busy machine");
});

test("what takes about as long as a long call stays one", () => {
  const world = new Simulation(2);
  for (let i = 0; i < 2_000; i++) {
    world.call(HOG, LONG_MS + (i % 3 < 2 ? 1 : -1));
    world.call(OTHER, LONG_MS * 2);
  }
  for (let at = 1_000; at < 9_000; at += 20) world.at(at, () => world.call(SMALL, 1));
  world.runUntil(10_000);
  assert.equal(Math.max(...world.waits(SMALL)), 0);
  const time = (by: number) => world.ended.filter((call) => call.by === by).reduce((sum, { ms }) => sum + ms, 0);
  assert(Math.abs(time(HOG) - time(OTHER)) <= 0.1 * (time(HOG) + time(OTHER)), `${time(HOG)} and ${time(OTHER)} ms`);
});

test("calls of which nothing is known are tried one after another beside short ones, and do not delay them", () => {
  const world = new Simulation(2);
  world.call(SMALL, 1);
  world.runUntil(10);
  for (let by = 10; by < 19; by++) for (let i = 0; i < 4; i++) world.call(by, 50);
  for (let at = 20; at < 1_500; at += 7) world.at(at, () => world.call(SMALL, 1));
  world.at(30, () => world.call(OTHER, 1));
  world.runUntil(1_600);
  assert.equal(Math.max(...world.waits(SMALL)), 0);
  assert(world.waits(OTHER)[0]! <= 9 * 50, "its turn comes with those of the other newcomers");
  const counts = Array.from({ length: 9 }, (_, i) => world.waits(10 + i).length);
  assert(Math.max(...counts) - Math.min(...counts) <= 1, counts.join());
});

test("a newcomer has the worker that is kept free, once, when long calls have held the others for a while", () => {
  const world = new Simulation(2);
  world.call(SMALL, 1);
  world.runUntil(10);
  for (let i = 0; i < 10; i++) world.call(HOG, 2_000);
  world.runUntil(4_100);
  for (let i = 0; i < 3; i++) world.call(OTHER, 300);
  const newcomer = world.turns.turnOf(OTHER, { moduleId: OTHER, functionIndex: 0 });
  assert.equal(world.turns.lengthOf(newcomer), "untried");
  world.at(4_450, () => world.call(SMALL, 1));
  world.runUntil(4_600);
  assert.equal(world.turns.lengthOf(newcomer), "long");
  assert.deepEqual(world.waits(OTHER), [110], "another might have become free until then");
  assert.deepEqual(world.waits(SMALL, 4_000), [60]);
});

test("a function that was never tried does not wait behind its requester's long calls", () => {
  const world = new Simulation(2);
  world.call(SMALL, 1);
  world.runUntil(10);
  for (let i = 0; i < 50; i++) world.call(HOG, 100, 0);
  world.at(1_000, () => {
    for (let i = 0; i < 5; i++) world.call(HOG, i === 0 ? 20 : 1, 1);
  });
  world.runUntil(1_500);
  assert.equal(world.ended.filter(({ turn, came }) => came === 1_000 && turn.kind % 2 === 1).length, 5);
});

test("ever new requesters of a function that others know to be long are not let into the lane", () => {
  const world = new Simulation(2);
  world.call(SMALL, 1);
  for (let i = 0; i < 40; i++) world.at(10 + 500 * i, () => world.call(10 + i, 1_000, 0, HOG));
  for (let at = 600; at < 20_000; at += 40) world.at(at, () => world.call(SMALL, 1));
  world.runUntil(21_000);
  assert.equal(Math.max(...world.waits(SMALL, 600)), 0);
});

test("a function that was long for one requester is soon short for those who come new", () => {
  const world = new Simulation(2);
  const lengthOf = (by: number) => world.turns.lengthOf(world.turns.turnOf(by, { moduleId: 1, functionIndex: 0 }));
  const run = (by: number, ms: number) => {
    world.call(by, ms, 0, 1);
    world.runUntil(world.now + ms + 1);
  };
  run(HOG, 100);
  assert.equal(lengthOf(OTHER), "untried", "an instance may have been made for it");
  run(HOG, 100);
  assert.equal(lengthOf(OTHER), "long");
  run(OTHER, 100);
  assert.equal(lengthOf(OTHER), "long", "as for others, so for this one");
  run(SMALL, 1);
  assert.deepEqual([SMALL, 4, HOG, OTHER].map(lengthOf), ["short", "short", "long", "long"]);
});

test("calls that are put back have their old place", () => {
  const world = new Simulation(1);
  const { turns } = world;
  for (let i = 0; i < 3; i++) world.call(SMALL, 1);
  const first = turns.peek()!;
  turns.remove(first);
  turns.begin(first);
  turns.end(first, undefined);
  turns.push(first);
  assert.equal(turns.peek(), first);
  assert.deepEqual(turns.removeAll().map(({ turn }) => turn.arrival), [2, 3, 1]);
  assert.equal(turns.size, 0);
});

test("what is remembered is bounded, and no number is lost of who waits or runs", () => {
  const world = new Simulation(2);
  world.call(SMALL, LONG_MS * 10);
  for (let by = 10; by < 30_000; by++) {
    const turn = world.turns.turnOf(by, { moduleId: 1, functionIndex: 0 });
    const call = { turn, by, ms: 1, came: 0 };
    world.turns.begin(call);
    world.turns.end(call, 1);
  }
  assert.equal(world.turns.size, 1);
  world.runUntil(300);
  assert.equal(world.ended.length, 1);
});
