import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
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
  const kept = await fetch(`${requester.rest}/v1/tasks/run`, {
    method: "POST",
    headers: { "content-type": "application/json", traceparent: TRACEPARENT.replaceAll("a", "c") },
    body: JSON.stringify({ target: provider!.rpc, id: "kept", plugin: "demo", input: "hello" }),
  });
  assert.equal(kept.status, 200, await kept.text());
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
  const ofKept = spans.filter(({ traceId }) => traceId === "c".repeat(32));
  const keptRun = ofKept.find(({ name }) => name.endsWith("TaskService/Run"));
  assert.deepEqual(
    ofKept.filter(({ name }) => name === "plugin.execute").map(({ parentSpanId }) => parentSpanId),
    [keptRun!.spanId],
    "a task that is kept runs in its call's trace, too",
  );
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
      plugins: { grants: ["services:files.read"], default: "services" },
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
  const named = JSON.stringify({ plugin: "services", function: "middle", input: "abcdef" });
  const calls = [["/v1/tasks/run", named], ["/task", '{"input":"abcdef"}'], ["/v1/tasks/run", named]] as const;
  for (const [i, [path, body]] of calls.entries()) {
    const headers = { "content-type": "application/json", traceparent: `00-${traces[i]}-${"b".repeat(16)}-01` };
    const answer = await fetch(node.rest + path, { method: "POST", headers, body });
    assert.match(await answer.text(), /"cde"/);
  }
  await Promise.all([node, provider].map((each) => each.stop("SIGTERM")));
  for (const trace of traces) {
    const run = spans.filter(({ traceId, name }) => traceId === trace && name === "plugin.execute");
    assert.equal(run.length, 1);
    const call = spans.filter(({ traceId, name }) => traceId === trace && name === "HTTP POST");
    assert.deepEqual(call.map(({ spanId }) => spanId), [run[0]!.parentSpanId]);
    const reads = spans.filter(({ traceId, name }) => traceId === trace && /StorageService\//.test(name));
    assert.notEqual(reads.length, 0, "it reached the provider in this trace");
    for (const { instance, parentSpanId } of reads) {
      assert.deepEqual([instance, parentSpanId], [provider.nodeId, run[0]!.spanId]);
    }
  }
});

test("a call that is not traced is in no trace, whatever came before it on its connection", async (t) => {
  const { url, spans } = await startReceiver(t);
  const node = await startNode(t, { dataDir: join(scratch(t), "data"), config: { tracing: { otlpUrl: url } } });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const call = (path: string, { body, flags }: { readonly body: string; readonly flags: string }) =>
    new Promise<void>((done, fail) => {
      const headers = {
        "content-type": "application/json",
        "content-length": body.length,
        traceparent: `00-${TRACE}-${"b".repeat(16)}-${flags}`,
      };
      request(node.rest + path, { method: "POST", agent, headers }, (answer) => {
        assert.equal(answer.statusCode, 200);
        answer.resume().on("end", done);
      }).on("error", fail).end(body);
    });
  const named = { path: "/v1/tasks/run", body: '{"plugin":"demo","input":"x"}' };
  const original = { path: "/task", body: '{"input":"x"}' };
  for (const first of [named, original]) {
    for (const second of [named, original]) {
      await call(first.path, { body: first.body, flags: "01" });
      await call(second.path, { body: second.body, flags: "00" });
    }
  }
  await node.stop("SIGTERM");
  const count = (name: string) => spans.filter((span) => span.name === name).length;
  assert.deepEqual([count("HTTP POST"), count("plugin.execute")], [4, 4]);
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
