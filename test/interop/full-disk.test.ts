import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "../testing.ts";
import { NodeError, systemClock } from "../../src/core/mod.ts";
import { openStore } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { caller, ended, failure, spec } from "../contract-suites/task-fixtures.ts";
import { withSmallDisk } from "../storage/temp-folder.ts";
import { testProvider } from "../provider/test-node.ts";

test("on a full disk stored tasks are refused, others run, and all goes on once there is room", () =>
  withSmallDisk(48, async (disk) => {
    // Deno ends a test whose only work is LevelDB's closing; a node always has its listeners.
    const alive = setInterval(() => {}, 1000);
    const store = await openStore(join(disk, "db"));
    const host = new FakeHost();
    const open = () => testProvider({ store: store.tasks, host, clock: systemClock });
    const provider = open();
    const input = "x".repeat(1 << 20);
    const waiting = provider.run(spec({ id: "waiting", function: "gate", input }), caller());
    const gate = await host.reached(1);
    const done: string[] = [];
    await writeFile(join(disk, "ballast"), new Uint8Array(30 << 20));
    const fill = async () => {
      for (let i = 0; i < 100; i++) {
        await provider.run(spec({ id: `t${i}`, input: `${i}${input}` }), caller());
        done.push(`t${i}`);
      }
    };
    await assert.rejects(fill(), failure("storage_full", /is full: free some space/));
    assert(done.length > 0);
    // What needs no disk goes on, and what was stored can be read.
    assert.equal((await provider.run(spec({ input: "quick" }), caller())).output.length, 5);
    assert.equal((await provider.output("t0", caller())).output.length, input.length + 1);
    assert.equal((await provider.run(spec({ id: "t0", input: `0${input}` }), caller())).replayed, true);
    await assert.rejects(provider.submit(spec({ id: "refused" }), caller()), failure("storage_full"));
    // A result that comes now cannot be kept.
    gate.open();
    await assert.rejects(waiting, failure("storage_full"));

    await rm(join(disk, "ballast"));
    for (;;) {
      try {
        await provider.submit(spec({ id: "after" }), caller());
        break;
      } catch (error) {
        // The store tries to reopen at most once a second.
        assert(error instanceof NodeError && error.code === "storage_full", String(error));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    assert.equal((await ended(provider, "after")).state, "succeeded");
    await provider.sweep();
    await provider.close();
    await store.close();

    const again = await openStore(join(disk, "db"));
    const next = testProvider({ store: again.tasks, host, clock: systemClock });
    await next.recover();
    for (const id of done) assert.equal((await next.get(id, caller())).state, "succeeded", id);
    const record = await next.get("waiting", caller());
    assert.deepEqual([record.state, record.reason], ["failed", "storage_full"]);
    await next.close();
    await again.close();
    clearInterval(alive);
  }));
