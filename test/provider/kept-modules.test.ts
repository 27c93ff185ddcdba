import assert from "node:assert/strict";
import { test } from "node:test";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { caller, ended, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { FakeClock, testProvider } from "./test-node.ts";

const words = async function* () {
  yield await Promise.resolve(new TextEncoder().encode("a b"));
};

test("the plugin of each task is kept while it waits, however it came and however it ends", async (t) => {
  const host = new FakeHost();
  const store = openMemoryStore().tasks;
  const clock = new FakeClock();
  const provider = testProvider({ store, host, clock, maxRunning: 1 });
  t.after(() => provider.close());
  const kept = () => host.kept.get("fake");
  const of = (id: string, fn = "echo") => spec({ id, plugin: "fake", function: fn });

  await provider.submit(of("runs", "gate"), caller());
  const gate = await host.reached(1);
  const waiting = [
    provider.run(of(""), caller()),
    provider.run(of("named"), caller()),
    readAll(provider.runStream(of("", "words"), words(), caller())),
  ];
  await provider.submit(of("later"), caller());
  await provider.submit(of("canceled"), caller());
  assert.equal(kept(), 6);
  await provider.cancel("canceled", caller());
  assert.equal(kept(), 5);
  gate.open();
  await Promise.all(waiting);
  for (const id of ["runs", "later"]) assert.equal((await ended(provider, id)).state, "succeeded");
  assert.equal(kept(), 0);

  // Over a restart the queue keeps what it needs again.
  await provider.submit(of("runs-again", "gate"), caller());
  await host.reached(2);
  await provider.submit(of("waits"), caller());
  await provider.drain({ graceMs: 0 });
  assert.equal(kept(), 0, "nothing is kept for what was handed back");
  const nextHost = new FakeHost();
  const next = testProvider({ store, host: nextHost, clock, maxRunning: 1 });
  t.after(() => next.close());
  await next.recover();
  assert.equal(nextHost.kept.get("fake"), 2);
  (await nextHost.reached(1)).open();
  assert.equal((await ended(next, "waits")).state, "succeeded");
  assert.equal(nextHost.kept.get("fake"), 0);
});
