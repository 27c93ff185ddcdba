import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CallContext,
  moduleNotHere,
  type ModuleService,
  NodeError,
  sha256Hex,
  type TaskEvent,
  type TaskResult,
  type TaskService,
} from "../../src/core/mod.ts";
import { ModuleTasks } from "../../src/requester/module-tasks.ts";
import { ALICE, caller, spec } from "../contract-suites/task-fixtures.ts";

const MODULE = new Uint8Array(1000).fill(7);
const SHA256 = sha256Hex(MODULE);

/** A node that has what was uploaded, until it is taken away. */
class Far {
  readonly calls: string[] = [];
  readonly has = new Set<string>();
  maxBytes = 1000;
  fault: NodeError | undefined;

  readonly tasks = {
    run: ({ plugin }: { plugin: string }) => {
      this.calls.push("run");
      if (!this.has.has(plugin.toLowerCase())) return Promise.reject(moduleNotHere(plugin));
      return Promise.resolve({ id: "t1" } as TaskResult);
    },
    async *runStream({ plugin }: { plugin: string }) {
      yield await Promise.resolve({ type: "chunk", bytes: new TextEncoder().encode(plugin) } as TaskEvent);
    },
  } as unknown as TaskService;

  readonly modules: ModuleService = {
    has: (sha256) => {
      this.calls.push("has");
      if (this.fault !== undefined) return Promise.reject(this.fault);
      const module = { sha256, sizeBytes: 1, name: "", version: "", functions: [] };
      return Promise.resolve({ ...this.has.has(sha256) && { module }, maxBytes: this.maxBytes });
    },
    upload: async (source, { sha256, sizeBytes }) => {
      this.calls.push("upload");
      let bytes = 0;
      for await (const piece of source) bytes += piece.length;
      assert.equal(bytes, sizeBytes);
      this.has.add(sha256);
      return { sha256, sizeBytes, name: "", version: "", functions: [] };
    },
  };
}

function bring() {
  const far = new Far();
  const source = {
    get: (sha256: string) => sha256 === SHA256 ? { sizeBytes: MODULE.length } : undefined,
    read: () => Promise.resolve(MODULE),
  };
  const { tasks, modules } = far;
  return { far, near: new ModuleTasks({ target: "a:1", tasks, modules, source }) };
}

const ctx = (): CallContext => caller(ALICE);
const ours = spec({ plugin: SHA256 });

test("a module that the node lacks is uploaded once, however many tasks need it at once", async () => {
  const { far, near } = bring();
  await Promise.all([
    near.run(ours, ctx()),
    near.run(ours, ctx()),
    near.run(spec({ plugin: SHA256.toUpperCase() }), ctx()),
  ]);
  assert.deepEqual(far.calls, ["has", "upload", "run", "run", "run"]);
  await near.run(ours, ctx());
  assert.deepEqual(far.calls.slice(5), ["run"]);
});

test("a module that had to make room is brought once more, and no third time", async () => {
  const { far, near } = bring();
  await near.run(ours, ctx());
  far.has.clear();
  far.calls.length = 0;
  await near.run(ours, ctx());
  assert.deepEqual(far.calls, ["run", "has", "upload", "run"]);
  far.has.clear();
  far.calls.length = 0;
  far.has.add = () => far.has;
  await assert.rejects(near.run(ours, ctx()), { code: "plugin_not_found" });
  assert.deepEqual(far.calls, ["run", "has", "upload", "run"]);
});

test("other plugins, and hashes of which this node has no module, pass untouched", async () => {
  const { far, near } = bring();
  far.has.add("demo");
  await near.run(spec({ plugin: "demo" }), ctx());
  await assert.rejects(near.run(spec({ plugin: "0".repeat(64) }), ctx()), { code: "plugin_not_found" });
  assert.deepEqual(far.calls, ["run", "run"]);
});

test("a node that takes no modules, or none of this size, is told no bytes", async () => {
  const { far, near } = bring();
  for (const [maxBytes, code] of [[0, "permission_denied"], [999, "input_too_large"]] as const) {
    far.maxBytes = maxBytes;
    await assert.rejects(near.run(ours, ctx()), { code });
  }
  assert.deepEqual(far.calls, ["has", "has"]);
  // One that has it all the same, installed, runs it.
  far.has.add(SHA256);
  await near.run(ours, ctx());
});

test("that a node has no room for the module is told as what happened before the task was sent", async () => {
  const { far, near } = bring();
  far.fault = new NodeError("storage_full", "No room", { data: { needed: 5 }, retryable: true, retryAfterMs: 7 });
  await assert.rejects(near.run(ours, ctx()), {
    code: "storage_full",
    message: "No room",
    data: { needed: 5, taskSent: false },
    retryable: true,
    retryAfterMs: 7,
  });
  assert.deepEqual(far.calls, ["has"]);
});

test("a node that knows no modules is asked to run it: it may be installed there", async () => {
  const { far, near } = bring();
  far.fault = new NodeError("unimplemented", "What is that?");
  far.has.add(SHA256);
  await near.run(ours, ctx());
  assert.deepEqual(far.calls, ["has", "run"]);
});

test("a stream asks each time whether the module is there, since its input cannot be sent twice", async () => {
  const { far, near } = bring();
  async function* input() {}
  for (const expected of [["has", "upload"], ["has"]]) {
    far.calls.length = 0;
    const events = [];
    for await (const event of near.runStream(ours, input(), ctx())) events.push(event.type);
    assert.deepEqual(events, ["chunk"]);
    assert.deepEqual(far.calls, expected);
  }
});

test("a caller that goes away does not wait for another's upload", async () => {
  const { far, near } = bring();
  const uploading = Promise.withResolvers<never>();
  (far.modules as { upload: ModuleService["upload"] }).upload = () => uploading.promise;
  const first = near.run(ours, ctx());
  const gone = new AbortController();
  const second = near.run(ours, { ...ctx(), signal: gone.signal });
  gone.abort(new NodeError("canceled", "gone"));
  await assert.rejects(second, { code: "canceled" });
  uploading.reject(new NodeError("storage_full", "No room"));
  await assert.rejects(first, { code: "storage_full" });
});
