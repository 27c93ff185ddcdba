import assert from "node:assert/strict";
import { EvacuationQueue } from "../../src/requester/evacuation-queue.ts";
import { test } from "../testing.ts";

/** A queue whose steps the test ends. */
function fixture() {
  const closing = new AbortController();
  const steps: string[] = [];
  const ends: (() => void)[] = [];
  const step = (name: string) => {
    steps.push(name);
    return new Promise<void>((resolve) => ends.push(resolve));
  };
  const queue = new EvacuationQueue({ quiet: () => step("quiet"), work: (id) => step(id), closing: closing.signal });
  /** Ends the step that is under way, and returns all that have begun. */
  const next = async () => {
    ends.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
    return steps.join(" ");
  };
  return { queue, steps, ends, next, close: () => closing.abort() };
}

test("files are moved in the order in which they came, one at a time, each when no lost shard is rebuilt", async () => {
  const { queue, steps, ends, next } = fixture();
  for (const id of ["a", "b", "a", "c"]) queue.add(id);
  assert.deepEqual(steps, ["quiet"]);
  assert.equal(await next(), "quiet a");
  assert.equal(ends.length, 1);
  assert.equal(await next(), "quiet a quiet");
  assert.equal(await next(), "quiet a quiet b");
  assert.equal(await next(), "quiet a quiet b quiet");
  assert.equal(await next(), "quiet a quiet b quiet c");
  assert.equal(await next(), "quiet a quiet b quiet c");
  await queue.settle();
  queue.add("a");
  assert.equal(await next(), "quiet a quiet b quiet c quiet a");
  await next();
  await queue.settle();
});

test("a file that comes again while it is moved is moved again", async () => {
  const { queue, next } = fixture();
  queue.add("a");
  await next();
  queue.add("a");
  assert.equal(await next(), "quiet a quiet");
  assert.equal(await next(), "quiet a quiet a");
  await next();
  await queue.settle();
});

test("after the node began to close no other file is begun", async () => {
  const { queue, next, close } = fixture();
  queue.add("a");
  queue.add("b");
  await next();
  close();
  assert.equal(await next(), "quiet a quiet");
  assert.equal(await next(), "quiet a quiet");
  await queue.settle();
});
