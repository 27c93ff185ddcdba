import assert from "node:assert/strict";
import { get } from "node:http";
import type { IncomingMessage } from "node:http";
import { keepHistory } from "../../src/rest/history.ts";
import { createMetrics } from "../../src/rest/mod.ts";
import { READING_NAMES } from "../../src/rest/readings.ts";
import { test } from "../testing.ts";
import { NOW, serve } from "./harness.ts";

interface SampleJson {
  readonly at: number;
  readonly ready: { readonly ready: boolean };
  readonly values: Record<string, number>;
}

/** Opens an event stream and waits for its first sample. */
function open(
  t: { after(f: () => unknown): void },
  url: string,
): Promise<{ answer: IncomingMessage; first: SampleJson }> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (answer) => {
      t.after(() => answer.destroy());
      let text = "";
      const onData = (chunk: Buffer) => {
        text += chunk;
        const data = /^data: (.*)\n\n/m.exec(text)?.[1];
        if (data === undefined) return;
        answer.off("data", onData);
        resolve({ answer, first: JSON.parse(data) as SampleJson });
      };
      if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`));
      answer.on("data", onData);
    }).on("error", reject);
  });
}

test("/v1/stats has a point at once, and only readings that something measures", async (t) => {
  const { url, options } = await serve(t);
  options.metrics.gauge("velas_tasks_running", "").set(3);
  const stats = await (await fetch(`${url}/v1/stats`)).json() as { at: number[]; values: Record<string, number[]> };
  assert.deepEqual(stats.at, [NOW]);
  assert.ok("cpuSeconds" in stats.values && "memoryBytes" in stats.values);
  assert.ok(!("tasksQueued" in stats.values));
  assert.equal((await fetch(`${url}/v1/stats?span=2h`)).status, 400);
});

test("a history keeps the latest points and lets the oldest go", (t) => {
  let now = 0;
  const stopping = new AbortController();
  t.after(() => stopping.abort());
  const metrics = createMetrics({ processMetrics: false });
  const running = metrics.gauge("velas_tasks_running", "");
  const tick: (() => void)[] = [];
  const realSetInterval = globalThis.setInterval;
  globalThis.setInterval = ((run: () => void) => {
    tick.push(run);
    return { unref() {} };
  }) as unknown as typeof setInterval;
  const history = keepHistory({ metrics, clock: { now: () => now }, stopping: stopping.signal });
  globalThis.setInterval = realSetInterval;
  for (let i = 1; i <= 720; i++) {
    now = i * 5000;
    running.set(i);
    tick[0]!();
  }
  const hour = history.read("1h");
  assert.equal(hour.at.length, 720);
  assert.deepEqual([hour.at[0], hour.at[719]], [5000, 3_600_000]);
  assert.deepEqual([hour.values.tasksRunning![0], hour.values.tasksRunning![719]], [1, 720]);
  const day = history.read("24h");
  assert.deepEqual(day.at.slice(0, 3), [0, 120_000, 240_000]);
  assert.equal(hour.values.tasksQueued, undefined);
});

test("/v1/events tells the present readings at once", async (t) => {
  const { url, options } = await serve(t);
  options.metrics.gauge("velas_tasks_running", "").set(5);
  const { answer, first } = await open(t, `${url}/v1/events`);
  assert.equal(answer.headers["content-type"], "text/event-stream");
  assert.equal(first.values["tasksRunning"], 5);
  assert.deepEqual(first.ready, { ready: true, reasons: [] });
  assert.ok(Object.keys(first.values).every((name) => READING_NAMES.some((known) => known === name)));
});

test("/v1/events refuses one page more than the limit, and takes it when one has gone", async (t) => {
  const { url } = await serve(t, { limits: { maxEventStreams: 2 } });
  const first = await open(t, `${url}/v1/events`);
  await open(t, `${url}/v1/events`);
  const refused = await fetch(`${url}/v1/events`);
  assert.equal(refused.status, 503);
  await refused.body?.cancel();
  first.answer.destroy();
  for (;;) {
    const again = await fetch(`${url}/v1/events`);
    await again.body?.cancel();
    if (again.status === 200) break;
  }
});

test("1,000 pages watch a node at once, and each gets the next sample", async (t) => {
  const { url, stopping, options } = await serve(t, { limits: { maxEventStreams: 1000, maxConnections: 2000 } });
  const running = options.metrics.gauge("velas_tasks_running", "");
  running.set(1);
  const streams = await Promise.all(Array.from({ length: 1000 }, () => open(t, `${url}/v1/events`)));
  assert.deepEqual(new Set(streams.map(({ first }) => first.values["tasksRunning"])), new Set([1]));
  // Only a sample that is taken from now on has this number.
  const later = streams.map(({ answer }) =>
    new Promise<void>((resolve) => {
      let text = "";
      const onData = (piece: Buffer) => {
        text += piece;
        if (!/^event: sample\ndata: .*"tasksRunning":2[,}].*\n\n/m.test(text)) return;
        answer.off("data", onData);
        resolve();
      };
      answer.on("data", onData);
    })
  );
  running.set(2);
  await Promise.all(later);
  const ends = streams.map(({ answer }) => new Promise((resolve) => answer.once("end", resolve).resume()));
  stopping.abort();
  await Promise.all(ends);
});

test("reading a metric sums the cells that have the labels", () => {
  const metrics = createMetrics({ processMetrics: false });
  const total = metrics.counter("velas_tasks_total", "", ["state"]);
  total.add(2, { state: "succeeded" });
  total.add(3, { state: "failed" });
  assert.equal(metrics.read("velas_tasks_total"), 5);
  assert.equal(metrics.read("velas_tasks_total", { state: "failed" }), 3);
  assert.equal(metrics.read("velas_tasks_total", { state: "expired" }), 0);
  assert.equal(metrics.read("velas_none"), undefined);
});
