import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { serve, Wire } from "./harness.ts";

/** Sends a request as `curl -d` does, whatever its method, and returns the answer's head and body as they came. */
async function call(
  t: Parameters<typeof serve>[0],
  port: number,
  { method, body }: { method: string; body: string },
): Promise<{ status: number; head: string; body: string }> {
  const wire = await Wire.open(t, port);
  const answer = await wire.send(
    `${method} /file HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Length: ${
      Buffer.byteLength(body)
    }\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n${body}`,
  ).end();
  const split = answer.indexOf("\r\n\r\n");
  const head = answer.slice(0, split);
  return { status: Number(head.slice(9, 12)), head, body: answer.slice(split + 4) };
}

const HELLO = Buffer.from("hello").toString("base64");

test("POST and GET /file answer the recorded bytes to the recorded requests", async (t) => {
  const { port, files } = await serve(t);
  const put = await call(t, port, {
    method: "POST",
    body: `{"target":"node:8083","name":"my_awesome_file","data":"${HELLO}"}`,
  });
  assert.equal(put.body, '{"id":"/my_awesome_file"}');
  assert.match(put.head, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(put.head, /\r\nContent-Type: application\/json\r\n/);
  assert.deepEqual(files.puts[0]?.targets, ["node:8083"]);
  const get = await call(t, port, { method: "GET", body: '{"target":"127.0.0.1:8083","id":"/my_awesome_file"}' });
  assert.equal(get.body, `{"id":"/my_awesome_file","invoiceID":"my_awesome_invoice_id","data":"${HELLO}"}`);
  assert.match(get.head, /\r\nContent-Type: application\/json\r\n/);
  assert.match(get.head, new RegExp(`\r\nContent-Length: ${get.body.length}(\r\n|$)`));
});

test("an empty file has no data", async (t) => {
  const { port } = await serve(t);
  assert.equal((await call(t, port, { method: "POST", body: '{"name":"empty","data":""}' })).status, 200);
  const { body } = await call(t, port, { method: "GET", body: '{"id":"/empty"}' });
  assert.equal(body, '{"id":"/empty","invoiceID":"my_awesome_invoice_id"}');
});

test("keys match in any case, the last duplicate wins, unknown ones are skipped", async (t) => {
  const { port, files } = await serve(t);
  const body = `{"DATA":"AAAA","Name":"no","nAmE":"yes","x":{"name":1},"data":"${HELLO}"}`;
  assert.equal((await call(t, port, { method: "POST", body })).body, '{"id":"/yes"}');
  assert.equal(Buffer.from(files.files[0]!.bytes).toString(), "hello");
  assert.match((await call(t, port, { method: "GET", body: '{"Id":"/no","ID":"/yes"}' })).body, /"id":"\/yes"/);
});

test("base64 may hold newlines, and nothing else that is none of it", async (t) => {
  const { port, files } = await serve(t);
  const put = (data: string) => call(t, port, { method: "POST", body: JSON.stringify({ name: "a", data }) });
  assert.equal((await put("aGVs\r\nbG8=\n")).status, 200);
  assert.equal(Buffer.from(files.files[0]!.bytes).toString(), "hello");
  for (const data of ["aGVsbG8", "aGVsbG8==", "aGVs bG8=", "a-_=", "====", "aG=sbG8=", "é", "aGVsbG8=aGVsbG8="]) {
    const answer = await put(data);
    assert.equal(answer.status, 400, data);
    assert.match(answer.body, /"code":"invalid_argument"/);
  }
});

for (const size of [1, 2, 3, 65_519, 65_520, 65_521, 1_000_000]) {
  test(`a file of ${size} bytes comes back in one piece of base64`, async (t) => {
    const { port } = await serve(t);
    const data = randomBytes(size).toString("base64");
    assert.equal((await call(t, port, { method: "POST", body: `{"name":"a","data":"${data}"}` })).status, 200);
    const { body } = await call(t, port, { method: "GET", body: '{"id":"/a"}' });
    assert.ok(body === `{"id":"/a","invoiceID":"my_awesome_invoice_id","data":"${data}"}`);
  });
}

test("a name that begins with a slash keeps it", async (t) => {
  const { port, files } = await serve(t);
  assert.equal(
    (await call(t, port, { method: "POST", body: '{"name":"/a<b","data":"AA=="}' })).body,
    '{"id":"//a\\u003cb"}',
  );
  assert.equal(files.files[0]?.record.name, "/a<b");
  assert.equal((await call(t, port, { method: "GET", body: '{"id":"//a<b"}' })).status, 200);
});

test("wrong requests have a status and a problem", async (t) => {
  const { port } = await serve(t, { limits: { maxBodyBytes: 1000 } });
  const cases: [number, { method: string; body: string }][] = [
    [400, { method: "POST", body: "" }],
    [400, { method: "POST", body: '{"name":"","data":"AA=="}' }],
    [400, { method: "POST", body: '{"target":"no-port","name":"a","data":"AA=="}' }],
    [413, { method: "POST", body: `{"name":"a","data":"${"A".repeat(1000)}"}` }],
    [400, { method: "GET", body: "" }],
    [404, { method: "GET", body: '{"id":"/missing"}' }],
    [405, { method: "PUT", body: "{}" }],
  ];
  for (const [status, request] of cases) {
    const answer = await call(t, port, request);
    assert.equal(answer.status, status, JSON.stringify(request));
    assert.match(answer.head, /application\/problem\+json/);
  }
});
