import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { packPlugin } from "../../src/plugins/mod.ts";
import { wasm } from "../plugins/host-fixture.ts";
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

test("what a plugin reads of files is in the trace of its own task, whichever task started the worker", async (t) => {
  const { url, spans } = await startReceiver(t);
  const tracing = { otlpUrl: url };
  const folder = scratch(t);
  const provider = await startNode(t, { dataDir: join(folder, "provider"), config: { tracing } });
  const node = await startNode(t, {
    dataDir: join(folder, "node"),
    config: {
      tracing,
      requester: { providers: [provider.rpc] },
      plugins: { grants: ["services:files.read"] },
    },
  });
  const functions = [{ name: "middle" }];
  const manifest = { name: "services", version: "1.0.0", functions, needs: ["files.read"] };
  const module = packPlugin(wasm("testing/services"), new TextEncoder().encode(JSON.stringify(manifest)));
  const headers = { "content-type": "application/wasm" };
  const installed = await fetch(`${node.rest}/v1/plugins`, { method: "POST", headers, body: module });
  assert.equal(installed.status, 201, await installed.text());
  const put = await fetch(`${node.rest}/v1/files/abcdef?policy=1%2B0`, { method: "PUT", body: "abcdef" });
  assert.equal(put.status, 201, await put.text());
  const traces = ["c", "d", "e"].map((digit) => digit.repeat(32));
  for (const trace of traces) {
    const answer = await fetch(`${node.rest}/v1/tasks/run`, {
      method: "POST",
      headers: { "content-type": "application/json", traceparent: `00-${trace}-${"b".repeat(16)}-01` },
      body: JSON.stringify({ plugin: "services", function: "middle", input: "abcdef" }),
    });
    assert.match(await answer.text(), /"cde"/);
  }
  await Promise.all([node, provider].map((each) => each.stop("SIGTERM")));
  for (const trace of traces) {
    const run = spans.filter(({ traceId, name }) => traceId === trace && name === "plugin.execute");
    assert.equal(run.length, 1);
    const reads = spans.filter(({ traceId, name }) => traceId === trace && /StorageService\//.test(name));
    assert.notEqual(reads.length, 0, "it reached the provider in this trace");
    for (const { instance, parentSpanId } of reads) {
      assert.deepEqual([instance, parentSpanId], [provider.nodeId, run[0]!.spanId]);
    }
  }
});

test("which calls are traced changes at a reload", async (t) => {
  const { url, spans } = await startReceiver(t);
  const dataDir = join(scratch(t), "data");
  const tracing = { otlpUrl: url, samplePercent: 0 };
  const node = await startNode(t, { dataDir, config: { tracing } });
  const call = async (name: string) => {
    const headers = { "x-request-id": name };
    await (await fetch(`${node.rest}/task`, { method: "POST", headers, body: '{"input":"x"}' })).text();
  };
  await call("before");
  writeFileSync(`${dataDir}.config.json`, JSON.stringify({ tracing: { ...tracing, samplePercent: 100 } }));
  const changes = await (await fetch(`${node.rest}/v1/config/reload`, { method: "POST" })).json();
  assert.deepEqual(changes.applied, ["tracing.samplePercent"]);
  await call("after");
  await node.stop("SIGTERM");
  const calls = spans.filter(({ name }) => name === "HTTP POST")
    .map(({ attributes }) => attributes.find(({ key }) => key === "velas.request_id")?.value["stringValue"]);
  assert.deepEqual(calls, ["after"]);
});
