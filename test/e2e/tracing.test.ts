import assert from "node:assert/strict";
import { join } from "node:path";
import { scratch, startNode } from "./harness.ts";
import { startReceiver } from "../tracing/otlp-receiver.ts";
import { test } from "../testing.ts";

const TRACE = "a".repeat(32);
const TRACEPARENT = `00-${TRACE}-${"b".repeat(16)}-01`;

test("a task and a file are traced from the caller over two nodes into plugin and storage, under one request id", async (t) => {
  const { url, spans, bodies } = await startReceiver(t);
  const tracing = { otlpUrl: url };
  const folder = scratch(t);
  const providers = await Promise.all(
    ["b", "c"].map((name) =>
      startNode(t, { dataDir: join(folder, name), config: { tracing, log: { level: "debug" } } })
    ),
  );
  const [provider] = providers;
  const requester = await startNode(t, {
    dataDir: join(folder, "a"),
    config: { tracing, requester: { providers: providers.map(({ rpc }) => rpc) } },
  });
  const headers = { traceparent: TRACEPARENT, "x-request-id": "asked-by-the-test" };
  const body = JSON.stringify({ target: provider!.rpc, id: "1", input: "hello of a user" });
  const task = await fetch(`${requester.rest}/task`, { method: "POST", headers, body });
  assert.equal(task.status, 200);
  await task.text();
  const put = await fetch(`${requester.rest}/v1/files/x?policy=1%2B1`, {
    method: "PUT",
    headers,
    body: "bytes of a user",
  });
  assert.equal(put.status, 201, await put.text());
  await Promise.all([requester, ...providers].map((node) => node.stop("SIGTERM")));

  const traced = spans.filter(({ traceId }) => traceId === TRACE);
  const named = (name: RegExp) => traced.filter((span) => name.test(span.name));
  const [post] = named(/^HTTP POST/);
  assert.deepEqual([post!.parentSpanId, post!.instance], ["b".repeat(16), requester.nodeId]);
  const run = named(/TaskService\/Run$/)[0]!;
  assert.deepEqual([run.parentSpanId, run.instance, run.kind], [post!.spanId, provider!.nodeId, 2]);
  const requestId = (span: typeof run) => span.attributes.find(({ key }) => key === "velas.request_id")?.value;
  assert.deepEqual(requestId(run), { stringValue: "asked-by-the-test" }, "the request id crossed the nodes");
  const [plugin] = named(/^plugin\.execute$/);
  assert.deepEqual([plugin!.parentSpanId, plugin!.status.code], [run.spanId, 1]);
  const [putSpan] = named(/^HTTP PUT/);
  assert.equal(
    putSpan!.attributes.find(({ key }) => key === "http.route")?.value["stringValue"]?.includes("/v1/files"),
    true,
  );
  const stored = named(/StorageService\//).filter(({ parentSpanId }) => parentSpanId === putSpan!.spanId);
  assert.deepEqual(new Set(stored.map(({ instance }) => instance)), new Set(providers.map(({ nodeId }) => nodeId)));
  assert(!bodies.join("").includes("of a user"), "no content goes out");
});
