import assert from "node:assert/strict";
import { createHook, executionAsyncResource } from "node:async_hooks";
import process from "node:process";
import { isDeno, keepTicksFast } from "../../src/core/runtime.ts";
import { test } from "../testing.ts";

test("keeping a tick leaves ticks as they are: in order, each once, without a hook", async () => {
  keepTicksFast();
  keepTicksFast();
  const ran: number[] = [];
  await new Promise<void>((resolve) => {
    process.nextTick((one: number) => ran.push(one), 1);
    process.nextTick(() => ran.push(2));
    process.nextTick(resolve);
  });
  assert.deepEqual(ran, [1, 2]);
});

test("the object of a tick, which is what is kept, is told to hooks on Node", async () => {
  if (isDeno) return; // has no hooks
  let told: object | undefined;
  const hook = createHook({
    init: (_id, type, _trigger, resource) => void (type === "TickObject" && (told ??= resource)),
  });
  hook.enable();
  const ran = await new Promise<object>((resolve) => process.nextTick(() => resolve(executionAsyncResource())));
  hook.disable();
  assert.equal(typeof (told as { callback?: unknown }).callback, "function");
  assert.equal(ran, told);
});
