import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { OtlpEndpoint, type OtlpEndpointOptions } from "../../src/tracing/otlp-endpoint.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const BODY = Buffer.from("spans");

async function endpoint(t: TestScope, answer: (response: ServerResponse) => void, options?: OtlpEndpointOptions) {
  const seen: { url: string; type: string; body: string; port: number }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const { url, headers, socket } = request;
    seen.push({ url: url!, type: headers["content-type"]!, body, port: socket.remotePort! });
    answer(response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const made = new OtlpEndpoint(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, options);
  t.after(() => made.close());
  return { made, seen };
}

test("batches that follow each other share a connection, whatever the answers say, and later ones have another", async (t) => {
  const { made, seen } = await endpoint(t, (response) => response.end("x".repeat(100_000)));
  for (let i = 0; i < 5; i++) assert.equal(await made.post(BODY), undefined);
  assert.deepEqual(seen.map(({ url, type, body }) => [url, type, body]), [
    ...Array.from({ length: 5 }, () => ["/v1/traces", "application/x-protobuf", BODY.toString()]),
  ]);
  assert.equal(new Set(seen.map(({ port }) => port)).size, 1);
  await sleep(1500);
  assert.equal(await made.post(BODY), undefined);
  assert.notEqual(seen[5]!.port, seen[0]!.port, "a server may be closing one that was idle");
});

test("a batch is tried again after answers that say so, and after none", async (t) => {
  let status = 0;
  const { made } = await endpoint(t, (response) => response.writeHead(status, { location: "/" }).end("{}"));
  for (
    const [code, final] of [
      [302, false],
      [400, true],
      [404, true],
      [413, true],
      [429, false],
      [500, true],
      [502, false],
      [503, false],
      [504, false],
    ] as const
  ) {
    status = code;
    assert.deepEqual(await made.post(BODY), { reason: `the collector answered ${code}`, final });
  }
  for (const status200 of [200, 202, 204]) {
    status = status200;
    assert.equal(await made.post(BODY), undefined);
  }
  assert.deepEqual(await new OtlpEndpoint("http://127.0.0.1:1").post(BODY), { reason: "ECONNREFUSED", final: false });
  assert.equal((await new OtlpEndpoint("http://[").post(BODY))?.final, false);
});

test("an answer may take its time, longer than a connection is kept idle, but not for ever", async (t) => {
  const slow = await endpoint(t, async (response) => {
    await sleep(1300);
    response.end("{}");
  });
  assert.equal(await slow.made.post(BODY), undefined);
  const silent = await endpoint(t, () => {}, { timeoutMs: 100 });
  assert.deepEqual(await silent.made.post(BODY), { reason: "no answer within 100 ms", final: false });
});
