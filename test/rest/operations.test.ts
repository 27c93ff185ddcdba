import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../src/rest/mod.ts";
import { Node } from "../../src/rest/node-schemas.ts";
import { NODE_ID, NOW, serve } from "./harness.ts";

test("GET /v1/node describes this node, or with a target another", async (t) => {
  const { url } = await serve(t);
  const own = Node.parse(await (await fetch(`${url}/v1/node`)).json());
  assert.deepEqual([own.nodeId, own.issuedAt], [NODE_ID, new Date(NOW).toISOString()]);
  const other = Node.parse(await (await fetch(`${url}/v1/node?target=peer:8081`)).json());
  assert.equal(other.name, "peer:8081");
  const down = await fetch(`${url}/v1/node?target=127.0.0.1:1`);
  assert.equal(down.status, 502);
  assert.equal((await down.json()).code, "target_unreachable");
});

test("health and readiness answer 200 or 503 with why", async (t) => {
  let live = true;
  let reasons: string[] = [];
  const { url } = await serve(t, {
    health: { live: () => live, ready: () => ({ ready: reasons.length === 0, reasons }) },
  });
  const ask = async (path: string): Promise<[number, unknown]> => {
    const answer = await fetch(url + path);
    assert.equal(answer.headers.get("cache-control"), "no-store");
    return [answer.status, await answer.json()];
  };
  assert.deepEqual(await ask("/healthz"), [200, { status: "ok" }]);
  assert.deepEqual(await ask("/readyz"), [200, { ready: true, reasons: [] }]);
  live = false;
  reasons = ["The node is shutting down"];
  assert.deepEqual(await ask("/healthz"), [503, { status: "failing" }]);
  assert.deepEqual(await ask("/readyz"), [503, { ready: false, reasons }]);
});

test("GET /metrics counts requests by route pattern, not by path", async (t) => {
  const { url } = await serve(t);
  for (const path of ["/v1/tasks/a", "/v1/tasks/b", "/v1/tasks/missing-1", "/nowhere/1", "/nowhere/2", "/task"]) {
    await (await fetch(url + path)).body?.cancel();
  }
  await (await fetch(`${url}/v1/run/p/f`, { method: "POST", body: "x" })).body?.cancel();
  await (await fetch(`${url}/info`, { method: "PROPFIND" })).body?.cancel();
  const answer = await fetch(`${url}/metrics`);
  assert.match(answer.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  const text = await answer.text();
  for (
    const line of [
      'velas_http_requests_total{method="GET",route="/v1/tasks/:id",status="200"} 2',
      'velas_http_requests_total{method="GET",route="/v1/tasks/:id",status="404"} 1',
      'velas_http_requests_total{method="GET",route="none",status="404"} 2',
      'velas_http_requests_total{method="GET",route="none",status="405"} 1',
      'velas_http_requests_total{method="POST",route="/v1/run/:plugin/:function",status="200"} 1',
      'velas_http_requests_total{method="other",route="none",status="405"} 1',
      'velas_http_request_seconds_count{method="GET",route="/v1/tasks/:id"} 3',
    ]
  ) {
    assert.ok(text.includes(line + "\n"), `${line}\n\n${text}`);
  }
});

test("createMetrics() gives counters, gauges and histograms, each name once", async () => {
  const metrics = createMetrics({ processMetrics: false });
  metrics.counter("a_total", "Help", ["x"]).add(2, { x: "1" });
  metrics.counter("a_total", "Help", ["x"]).add(undefined, { x: "1" });
  metrics.counter("plain_total", "Help").add();
  metrics.gauge("g", "Help").set(7);
  metrics.gauge("h", "Help", ["x"]).set(-1, { x: 'q"\n' });
  metrics.histogram("s_seconds", "Help", [1, 2]).observe(1.5);
  metrics.histogram("t_seconds", "Help", [1], ["x"]).observe(5, { x: "1" });
  const text = await metrics.render();
  for (
    const line of [
      'a_total{x="1"} 3',
      "plain_total 1",
      "g 7",
      'h{x="q\\"\\n"} -1',
      's_seconds_bucket{le="1"} 0',
      's_seconds_bucket{le="2"} 1',
      "s_seconds_sum 1.5",
      't_seconds_bucket{le="+Inf",x="1"} 1',
    ]
  ) {
    assert.ok(text.includes(line), `${line}\n\n${text}`);
  }
});

test("createMetrics() measures the process on every runtime, and two registries do not meet", async () => {
  const [one, two] = [createMetrics(), createMetrics()];
  one.counter("only_total", "Help").add();
  const text = await one.render();
  for (
    const name of ["process_cpu_seconds_total", "process_resident_memory_bytes", "nodejs_eventloop_lag_p99_seconds"]
  ) {
    assert.match(text, new RegExp(`^${name} `, "m"));
  }
  assert.doesNotMatch(await two.render(), /only_total/);
});
