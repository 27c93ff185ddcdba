import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { scratch, startNode } from "./harness.ts";
import { test } from "../testing.ts";

test("a node that has too little disk says so in log, metric, REST, events and webhook", async (t) => {
  let take: (body: string) => void;
  const told = new Promise<string>((resolve) => take = resolve);
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    response.end();
    take(body);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: {
      alerts: { minFreeBytes: "8000TiB", webhookUrl: `http://127.0.0.1:${port}/hook` },
      node: { allowNetworks: ["127.0.0.1"], name: "small" },
    },
  });
  const message = JSON.parse(await told);
  assert.equal(message.type, "alert.raised");
  assert.deepEqual([message.data.name, message.data.nodeName], ["low_disk", "small"]);
  const { alerts } = await (await fetch(`${node.rest}/v1/alerts`)).json();
  assert.deepEqual(alerts.map(({ name }: { name: string }) => name), ["low_disk"]);
  const metrics = await (await fetch(`${node.rest}/metrics`)).text();
  assert.match(metrics, /velas_alert\{name="low_disk"\} 1/);
  assert.match(metrics, /velas_alert\{name="chain_stale"\} 0/);
  const events = await fetch(`${node.rest}/v1/events`);
  const reader = events.body!.getReader();
  let text = "";
  while (!text.includes("\n\nevent: sample") && !/event: sample\ndata: .*\n/.test(text)) {
    text += new TextDecoder().decode((await reader.read()).value);
  }
  await reader.cancel();
  assert.match(text, /"alerts":\[\{"name":"low_disk"/);
  assert.equal((await fetch(`${node.rest}/readyz`)).status, 200, "it serves all the same");
  assert(node.log.some((line) => line.includes("Alert raised") && line.includes("low_disk")));
});
