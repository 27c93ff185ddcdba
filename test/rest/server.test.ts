import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeError } from "../../src/core/mod.ts";
import { createRestServer, DEFAULT_REST_LIMITS } from "../../src/rest/mod.ts";
import { aborted, bytes, gate, recordingLog, serve, taskRecord, USAGE, Wire } from "./harness.ts";

const RESULT = { id: "x", output: bytes("world"), contentType: "", usage: USAGE, replayed: false };
const TASK = "POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";

/** Longer than any test: a drain that waits for it hangs, and is seen. */
const PATIENT = { limits: { idleTimeoutMs: 3_600_000 } };

async function isOpen(port: number, t: { after(f: () => unknown): void }): Promise<boolean> {
  try {
    (await Wire.open(t, port)).socket.destroy();
    return true;
  } catch {
    return false;
  }
}

test("close() lets a running request end, then closes its connection", async (t) => {
  const { port, tasks, close } = await serve(t, PATIENT);
  const started = gate();
  const release = gate();
  tasks.script.run = async () => {
    started.resolve();
    await release.promise;
    return RESULT;
  };
  const busy = await Wire.open(t, port);
  busy.send(TASK);
  await started.promise;
  const closed = close(3_600_000);
  assert.equal(await isOpen(port, t), false);
  release.resolve();
  const answer = await busy.end();
  assert.match(answer, /^HTTP\/1\.1 200 OK/);
  assert.match(answer, /"output":"world"/);
  await closed;
});

test("close() closes idle connections at once", async (t) => {
  const { port, close } = await serve(t, PATIENT);
  const idle = await Wire.open(t, port);
  await idle.send(TASK).until(/output/);
  await close(3_600_000);
  await idle.end();
});

test("close() cuts what is left after its time", async (t) => {
  const { port, tasks, close } = await serve(t);
  const started = gate();
  const reason = gate<NodeError>();
  tasks.script.run = async (_, ctx) => {
    started.resolve();
    reason.resolve(await aborted(ctx.signal));
    throw ctx.signal.reason;
  };
  const stuck = await Wire.open(t, port);
  stuck.send(TASK);
  await started.promise;
  await close(20);
  assert.equal(await stuck.end(), "");
  assert.equal((await reason.promise).code, "canceled");
});

test("close() with event streams open is quick once the node stops", async (t) => {
  const { port, tasks, stopping, close } = await serve(t, PATIENT);
  tasks.script.watch = async function* (_, ctx) {
    yield { type: "state", task: taskRecord({ state: "running" }) };
    throw await aborted(ctx.signal);
  };
  const watcher = await Wire.open(t, port);
  await watcher.send("GET /v1/tasks/t1/events HTTP/1.1\r\nHost: x\r\n\r\n").until(/running/);
  stopping.abort();
  await close(3_600_000);
  assert.match(await watcher.end(), /\r\n0\r\n\r\n$/);
});

test("close() may be called twice, and before anything listens", async (t) => {
  const { app, close } = await serve(t);
  await Promise.all([close(), close()]);
  await close();
  const limits = DEFAULT_REST_LIMITS;
  await createRestServer({ app, host: "127.0.0.1", port: 0, limits, log: recordingLog() }).close();
});

test("a port in use and an address of another machine are told with the cure", async (t) => {
  const { app, port } = await serve(t);
  const at = (host: string, port: number) =>
    createRestServer({ app, host, port, limits: DEFAULT_REST_LIMITS, log: recordingLog() }).listen();
  await assert.rejects(at("127.0.0.1", port), (error: NodeError) => {
    assert.equal(error.code, "address_in_use");
    assert.ok(error.message.includes(`127.0.0.1:${port}`));
    assert.match(error.message, /another port \(rest\.listen\)/);
    return true;
  });
  await assert.rejects(at("192.0.2.1", 0), { code: "config_invalid", message: /192\.0\.2\.1/ });
  await assert.rejects(at("no such host", 0), { code: "config_invalid" });
});
