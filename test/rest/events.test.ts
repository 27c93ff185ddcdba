import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeError } from "../../src/core/mod.ts";
import type { TaskEvent } from "../../src/core/mod.ts";
import { aborted, gate, NOW, serve, taskRecord, Wire } from "./harness.ts";

const EVENTS = "/v1/tasks/t1/events";
const RUNNING: TaskEvent = { type: "state", task: taskRecord({ id: "t1", state: "running" }) };

function open(wire: Wire, headers = ""): Wire {
  return wire.send(`GET ${EVENTS} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
}

interface Event {
  id?: string;
  event?: string;
  data?: string;
}

function parse(stream: string): Event[] {
  return stream.split("\n\n").filter((block) => block.includes("data:")).map((block) =>
    Object.fromEntries(
      block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    )
  );
}

test("GET /v1/tasks/{id}/events sends every event, numbered, and ends after the task's end", async (t) => {
  const { url } = await serve(t);
  const answer = await fetch(url + EVENTS);
  assert.equal(answer.headers.get("content-type"), "text/event-stream");
  assert.match(answer.headers.get("cache-control") ?? "", /no-store/);
  const stream = await answer.text();
  assert.match(stream, /^retry: \d+\n\n/);
  const events = parse(stream);
  assert.deepEqual(events.map(({ id, event }) => [id, event]), [
    ["1", "state"],
    ["2", "log"],
    ["3", "progress"],
    ["4", "chunk"],
    ["end", "state"],
  ]);
  const data = events.map((event) => JSON.parse(event.data!));
  const at = new Date(NOW).toISOString();
  assert.equal(data[0].state, "running");
  assert.deepEqual(data[1], { level: "info", message: "half way\nthrough", at });
  assert.deepEqual(data[2], { fraction: 0.5, message: "", at });
  assert.deepEqual(data[3], { bytesBase64: "/wA=" });
  assert.equal(data[4].finishedAt, at);
});

test("a client that comes back goes on counting, and after the end it is told to stop", async (t) => {
  const { url, tasks } = await serve(t);
  const again = await fetch(url + EVENTS, { headers: { "last-event-id": "7" } });
  assert.equal(parse(await again.text())[0]?.id, "8");
  tasks.script.watch = async function* () {
    yield { type: "state", task: taskRecord({ state: "succeeded" }) };
  };
  const done = await fetch(url + EVENTS, { headers: { "last-event-id": "end" } });
  assert.equal(done.status, 204);
  const first = await fetch(url + EVENTS);
  assert.equal(parse(await first.text())[0]?.id, "end");
});

test("an unknown task is 404, not an empty stream", async (t) => {
  const { url, tasks } = await serve(t);
  tasks.script.watch = () => {
    throw new NodeError("not_found", "There is no task t1");
  };
  const answer = await fetch(url + EVENTS);
  assert.equal(answer.status, 404);
  await answer.body?.cancel();
});

test("a client that goes away stops the watch", async (t) => {
  const { port, tasks } = await serve(t);
  const reason = gate<NodeError>();
  tasks.script.watch = async function* (_, ctx) {
    yield RUNNING;
    reason.resolve(await aborted(ctx.signal));
  };
  const wire = open(await Wire.open(t, port));
  await wire.until(/"running"/);
  wire.socket.destroy();
  assert.equal((await reason.promise).code, "canceled");
});

test("a silent stream is kept open by comments", async (t) => {
  const { port, tasks } = await serve(t, { eventHeartbeatMs: 5 });
  tasks.script.watch = async function* (_, ctx) {
    yield RUNNING;
    await aborted(ctx.signal);
  };
  const wire = open(await Wire.open(t, port));
  await wire.until(/(: still here\n\n[^]*){3}/);
});

test("no more than the limit of streams is open, and a closed one makes room", async (t) => {
  const { url, port, tasks } = await serve(t, { limits: { maxEventStreams: 2 } });
  let open2 = 0;
  const closed = gate();
  tasks.script.watch = async function* (_, ctx) {
    open2++;
    yield RUNNING;
    await aborted(ctx.signal);
    closed.resolve();
  };
  const wires = [open(await Wire.open(t, port)), open(await Wire.open(t, port))];
  for (const wire of wires) await wire.until(/"running"/);
  const refused = await fetch(url + EVENTS);
  assert.deepEqual([refused.status, refused.headers.get("retry-after")], [503, "2"]);
  assert.equal((await refused.json()).code, "overloaded");
  assert.equal(open2, 2);
  wires[0]!.socket.destroy();
  await closed.promise;
  const third = open(await Wire.open(t, port));
  assert.match(await third.until(/"running"/), /^HTTP\/1\.1 200/);
});

test("a stream that breaks after it began is logged once and ended", async (t) => {
  const { url, tasks, log } = await serve(t);
  tasks.script.watch = async function* () {
    yield RUNNING;
    throw new Error("boom");
  };
  const stream = await (await fetch(url + EVENTS)).text();
  assert.equal(parse(stream).length, 1);
  assert.doesNotMatch(stream, /boom/);
  assert.equal(log.lines.filter(({ level }) => level === "error").length, 1);
});

test("draining ends open streams", async (t) => {
  const { port, tasks, stopping } = await serve(t);
  tasks.script.watch = async function* (_, ctx) {
    yield RUNNING;
    throw await aborted(ctx.signal);
  };
  const wire = open(await Wire.open(t, port));
  await wire.until(/"running"/);
  stopping.abort();
  assert.match(await wire.until(/\r\n0\r\n\r\n/), /\r\n0\r\n\r\n$/);
});

test("a watcher that reads nothing holds back the watch, then is cut off", async (t) => {
  const { port, tasks } = await serve(t, { limits: { idleTimeoutMs: 50 } });
  let sent = 0;
  const finished = gate();
  tasks.script.watch = async function* () {
    try {
      yield RUNNING;
      for (;;) {
        sent++;
        yield { type: "chunk", bytes: new Uint8Array(1 << 19) };
      }
    } finally {
      finished.resolve();
    }
  };
  const wire = await Wire.open(t, port);
  wire.socket.pause();
  open(wire);
  await finished.promise;
  assert.ok(sent < 100, `${sent} events sent to a watcher that reads nothing`);
});

test("HEAD answers with the headers alone and opens no stream", async (t) => {
  const { url, tasks } = await serve(t);
  const answer = await fetch(url + EVENTS, { method: "HEAD" });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "text/event-stream");
  assert.deepEqual(tasks.calls.map(({ method }) => method), ["get"]);
  const missing = await fetch(`${url}/v1/tasks/missing-1/events`, { method: "HEAD" });
  assert.equal(missing.status, 404);
});
