import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook, type WebhookOptions } from "../../src/alerts/mod.ts";
import { type Alert, noMetrics, OutboundRules, silentLog, systemClock } from "../../src/core/mod.ts";
import { createMetrics } from "../../src/rest/mod.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const ALERT: Alert = { name: "low_disk", message: "5 MiB are free", since: Date.UTC(2026, 10, 23) };
const SECRET = "a secret of the receiver's";
const LOOPBACK = new OutboundRules(["127.0.0.1"]);

interface Got {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A receiver; `answer` sees how many came before. */
async function receiver(t: TestScope, answer: (before: number, response: ServerResponse) => void) {
  const got: Got[] = [];
  const waiting: { count: number; done: () => void }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    got.push({ headers: request.headers, body });
    answer(got.length - 1, response);
    for (const one of waiting) if (got.length >= one.count) one.done();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const came = (count: number) =>
    got.length >= count ? Promise.resolve() : new Promise<void>((done) => waiting.push({ count, done }));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?key=url-secret`, got, came };
}

function webhook(t: TestScope, url: string, change: Partial<WebhookOptions> = {}) {
  const warned: string[] = [];
  let told = () => {};
  const failed = new Promise<void>((resolve) => told = resolve);
  const hook = new Webhook({
    url,
    secret: SECRET,
    node: { id: "0x1", name: "n" },
    outbound: LOOPBACK,
    timeoutMs: 5000,
    firstRetryMs: 1,
    clock: systemClock,
    log: {
      ...silentLog,
      warn: (message, fields) => {
        warned.push(message + JSON.stringify(fields));
        told();
      },
    },
    metrics: noMetrics,
    ...change,
  });
  t.after(() => hook.close());
  return { hook, warned, failed };
}

test("a change is posted once, signed over id, time and body", async (t) => {
  const { url, got, came } = await receiver(t, (_, response) => response.end());
  const { hook } = webhook(t, url);
  hook.send({ type: "raised", alert: ALERT });
  hook.send({ type: "cleared", alert: ALERT });
  await came(2);
  assert.deepEqual(got.map(({ body }) => JSON.parse(body).type), ["alert.raised", "alert.cleared"]);
  const [{ headers, body }] = got as [Got];
  assert.equal(JSON.parse(body).data.message, "5 MiB are free");
  assert.equal(JSON.parse(body).data.since, "2026-11-23T00:00:00.000Z");
  const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const expected = createHmac("sha256", SECRET).update(content).digest("base64");
  assert.equal(headers["webhook-signature"], `v1,${expected}`);
});

test("texts with line ends, turned writing and markup change no header and come out of the body as they were", async (t) => {
  const { url, got, came } = await receiver(t, (_, response) => response.end());
  const evil = '\r\nwebhook-id: forged\r\n\r\n{"type":"x"}\u202E\u2028<script>alert(1)</script>\u0000"\\\ud800';
  const { hook } = webhook(t, url, { node: { id: "0x1", name: evil } });
  hook.send({ type: "raised", alert: ALERT });
  const { hook: second } = webhook(t, url);
  second.send({ type: "raised", alert: { ...ALERT, message: evil, name: evil as Alert["name"] } });
  await came(2);
  const texts: string[] = [];
  for (const { headers, body } of got) {
    assert.deepEqual(Object.keys(headers).sort(), [
      "connection",
      "content-length",
      "content-type",
      "host",
      "user-agent",
      "webhook-id",
      "webhook-signature",
      "webhook-timestamp",
    ]);
    assert.match(String(headers["webhook-id"]), /^msg_[0-9A-Z]{26}$/);
    assert.equal(headers["content-length"], String(Buffer.byteLength(body)));
    assert.ok(!/[\r\n\0]/.test(body), "one line");
    const { type, data } = JSON.parse(body);
    assert.equal(type, "alert.raised");
    texts.push(data.nodeName, data.name, data.message);
    const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
    assert.equal(headers["webhook-signature"], `v1,${createHmac("sha256", SECRET).update(content).digest("base64")}`);
  }
  assert.deepEqual(texts.toSorted(), [evil, evil, evil, "n", ALERT.name, ALERT.message].toSorted());
});

test("what fails is sent again with the same id, until it is taken", async (t) => {
  const { url, got, came } = await receiver(t, (before, response) => {
    if (before === 0) response.writeHead(500).end();
    else if (before === 1) response.destroy();
    else if (before === 2) response.writeHead(429).end();
    else response.writeHead(204).end();
  });
  const { hook, warned } = webhook(t, url);
  hook.send({ type: "raised", alert: ALERT });
  await came(4);
  assert.equal(new Set(got.map(({ headers }) => headers["webhook-id"])).size, 1);
  await hook.close();
  assert.deepEqual([got.length, warned], [4, []]);
});

test("an answer that is final, one that never comes, and too many failures end it, without the URL in the log", async (t) => {
  for (const [status, attempts] of [[404, 1], [302, 1], [503, 8]] as const) {
    const { url, got } = await receiver(t, (_, response) => response.writeHead(status, { location: "/x" }).end());
    const { hook, warned, failed } = webhook(t, url);
    hook.send({ type: "raised", alert: ALERT });
    await failed;
    assert.equal(got.length, attempts, `${status}`);
    assert.match(warned[0]!, new RegExp(`answered ${status}`));
    assert(!warned[0]!.includes("url-secret"));
  }
  const silent = await receiver(t, () => {});
  const { hook, warned, failed } = webhook(t, silent.url, { timeoutMs: 20 });
  hook.send({ type: "raised", alert: ALERT });
  await failed;
  assert.match(warned[0]!, /no answer within 20 ms/);
});

test("an address that is not public is refused, by name too, and closing ends the waiting at once", async (t) => {
  const { url, got } = await receiver(t, (_, response) => response.writeHead(500).end());
  for (const host of ["127.0.0.1", "localhost"]) {
    const { hook, warned, failed } = webhook(t, url.replace("127.0.0.1", host), { outbound: new OutboundRules() });
    hook.send({ type: "raised", alert: ALERT });
    await failed;
    assert.match(warned[0]!, /node\.allowNetworks/);
  }
  assert.equal(got.length, 0);
  const { hook } = webhook(t, url, { firstRetryMs: 3_600_000 });
  hook.send({ type: "raised", alert: ALERT });
  await hook.close();
});

test("a receiver that takes nothing costs a bounded number of messages", async (t) => {
  const { url } = await receiver(t, () => {});
  const metrics = createMetrics({ processMetrics: false });
  const { hook } = webhook(t, url, { metrics });
  for (let i = 0; i < 151; i++) hook.send({ type: "raised", alert: ALERT });
  assert.equal(metrics.read("velas_alert_webhooks_total", { result: "dropped" }), 50);
});
