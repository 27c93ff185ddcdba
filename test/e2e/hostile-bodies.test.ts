/** Bodies that are made to cost a node more than their sender: bombs, JSON without bottom, paths and names that lead elsewhere. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib";
import { grpcMessage, grpcStatus, RawClient } from "../rpc/harness.ts";
import { test, type TestScope } from "../testing.ts";
import { type NodeProcess, post, scratch, startNode } from "./harness.ts";

const MIB = 1 << 20;
const RUN = "/velas.sphere.v1.TaskService/Run";

/** A GiB of zeros in a MiB: members of a gzip file count as one (RFC 1952 §2.2). */
const GZIP_BOMB = Buffer.concat(Array<Buffer>(64).fill(gzipSync(Buffer.alloc(16 * MIB))));

/** The most that the process ever had of the machine's memory, in MiB. */
const peakMiB = ({ child }: NodeProcess): number =>
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))![1]) / 1024;

function start(t: TestScope): Promise<NodeProcess> {
  return startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: { rpc: { maxMessageBytes: "1MiB" }, rest: { maxBodyBytes: "8MiB" }, tasks: { maxInputBytes: "1MiB" } },
  });
}

async function works({ rest }: NodeProcess): Promise<void> {
  const { status, text } = await post(`${rest}/task`, { id: crypto.randomUUID(), input: "hello" });
  assert.equal(status, 200, text);
}

function frame(flags: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Sends text as it is and returns the answer, which ends the connection. */
function raw({ rest }: NodeProcess, text: string): Promise<string> {
  const { hostname, port } = new URL(rest);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let answer = "";
    socket.on("data", (chunk) => answer += chunk.toString("latin1"));
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}

test("RPC inflates nothing: compressed messages are refused in every protocol", async (t) => {
  const node = await start(t);
  await works(node);
  const before = peakMiB(node);
  await using client = new RawClient(Number(node.rpc.split(":")[1]));
  const calls = Array.from({ length: 16 }, () => client.call(RUN, frame(1, GZIP_BOMB), { "grpc-encoding": "gzip" }));
  for (const answer of await Promise.all(calls)) {
    assert.equal(grpcStatus(answer), 12, grpcMessage(answer));
    assert.match(grpcMessage(answer), /unknown compression "gzip"/);
  }
  const small = Buffer.alloc(900_000);
  for (const [encoding, body] of [["deflate", deflateSync(small)], ["snappy", small]] as const) {
    const answer = await client.call(RUN, frame(1, body), { "grpc-encoding": encoding });
    assert.equal(grpcStatus(answer), 12, `${encoding}: ${grpcMessage(answer)}`);
  }
  const bombs = [["gzip", GZIP_BOMB], [
    "br",
    brotliCompressSync(Buffer.alloc(256 * MIB), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  ]] as const;
  for (const [encoding, body] of bombs) {
    const headers = { "content-type": "application/proto", "content-encoding": encoding };
    const answer = await fetch(`http://${node.rpc}${RUN}`, { method: "POST", headers, body: new Uint8Array(body) });
    const { code, message } = await answer.json() as { code: string; message: string };
    assert.deepEqual([answer.status, code], [501, "unimplemented"], message);
  }
  // A frame that says it is compressed, and by what nobody says.
  const unnamed = await client.call(RUN, frame(1, GZIP_BOMB));
  assert.notEqual(grpcStatus(unnamed), 0, grpcMessage(unnamed));
  const web = await fetch(`http://${node.rpc}${RUN}`, {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto", "grpc-encoding": "gzip" },
    body: new Uint8Array(frame(1, GZIP_BOMB)),
  });
  assert.match(web.headers.get("grpc-status") ?? await web.text(), /12/);
  await works(node);
  const grown = peakMiB(node) - before;
  assert.ok(grown < 400, `bombs of 20 GiB made the node grow by ${grown.toFixed(0)} MiB`);
});

test("REST inflates nothing that it is sent", async (t) => {
  const node = await start(t);
  await works(node);
  const before = peakMiB(node);
  for (const path of ["/task", "/v1/tasks", "/v1/run?plugin=demo"]) {
    const answer = await fetch(`${node.rest}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
      body: GZIP_BOMB,
    });
    const text = await answer.text();
    assert.ok(answer.status >= 400 && answer.status < 500, `${path}: ${answer.status} ${text}`);
  }
  const module = await fetch(`${node.rest}/v1/plugins`, {
    method: "POST",
    headers: { "content-type": "application/wasm", "content-encoding": "gzip" },
    body: GZIP_BOMB,
  });
  assert.equal(module.status, 422, await module.text());
  await works(node);
  const grown = peakMiB(node) - before;
  assert.ok(grown < 300, `bombs of 4 GiB made the node grow by ${grown.toFixed(0)} MiB`);
});

test("JSON without bottom, with a million names, or with numbers beyond all measure is refused or read, and ends nothing", async (t) => {
  const node = await start(t);
  const names = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":${i}`).join(",")}}`;
  const bombs: readonly (readonly [name: string, body: string])[] = [
    ["open brackets", "[".repeat(4 * MIB)],
    ["nested lists", `{"input":${"[".repeat(MIB)}${"]".repeat(MIB)}}`],
    ["nested objects", `${'{"a":'.repeat(MIB)}1${"}".repeat(MIB)}`],
    ["names", names(400_000)],
    ["names that collide with prototypes", '{"__proto__":{"plugin":"x"},"constructor":1,"input":{"toString":2}}'],
    ["a long number", `{"priority":1${"0".repeat(4 * MIB)}}`],
    ["a large exponent", '{"priority":1e999999999}'],
    ["a long string", `{"plugin":"${"a".repeat(4 * MIB)}"}`],
    ["escapes", `{"input":"${"\\u0000".repeat(900_000)}`],
    ["spaces", `${" ".repeat(4 * MIB)}x`],
  ];
  for (const [name, body] of bombs) {
    const headers = { "content-type": "application/json" };
    for (const url of [`${node.rest}/task`, `${node.rest}/v1/tasks`, `http://${node.rpc}${RUN}`]) {
      const answer = await fetch(url, { method: "POST", headers, body });
      const text = await answer.text();
      assert.ok(answer.status < 500, `${name} at ${url}: ${answer.status} ${text}`);
      assert.ok(text.length < 5000, `${name} at ${url} answers ${text.length} characters`);
    }
    await works(node);
  }
});

test("no path leads out of what the node serves", async (t) => {
  const node = await start(t);
  const { host } = new URL(node.rest);
  const up = [
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..\\",
    "..%5c",
    "%252e%252e%252f",
    "..;/",
    "....//",
    "%c0%ae%c0%ae/",
  ];
  const roots = ["/", "/ui/", "/docs/", "/v1/files/", "/v1/plugins/", "/v1/tasks/", "/.well-known/"];
  const targets = ["etc/passwd", "node.key", "data/node.key", "package.json", "config.json"];
  for (const root of roots) {
    for (const step of up) {
      for (const target of targets) {
        const path = `${root}${step.repeat(8)}${target}`;
        const answer = await raw(node, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
        assert.match(answer, /^HTTP\/1\.1 4\d\d /, path);
        assert.doesNotMatch(answer, /root:x:0|velas-sphere","version|secretKey/, path);
      }
    }
  }
});

test("a foreign Host or Origin, and headers with line breaks in them, get nothing done", async (t) => {
  const node = await start(t);
  const { host } = new URL(node.rest);
  const body = '{"id":"forged","input":"hello"}';
  const request = (head: string) =>
    raw(
      node,
      `POST /task HTTP/1.1\r\n${head}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  for (
    const head of [
      "Host: evil.example",
      "Host: evil.example:3000",
      `Host: ${host}\r\nOrigin: http://evil.example`,
      `Host: ${host}\r\nOrigin: null`,
    ]
  ) {
    assert.match(await request(head), /^HTTP\/1\.1 403 /, head);
  }
  assert.match(await request(`Host: ${host}\r\nHost: evil.example`), /^HTTP\/1\.1 40[03] /);
  // A lone CR or LF ends no header, and nothing of a header comes back as one.
  for (const name of ["X-Request-Id", "Traceparent", "Last-Event-Id", "If-None-Match", "User-Agent"]) {
    for (const value of ["a\rSet-Cookie: x=1", "a\nSet-Cookie: x=1", "a%0d%0aSet-Cookie: x=1", "a\u0000b"]) {
      const answer = await request(`Host: ${host}\r\n${name}: ${value}`);
      assert.doesNotMatch(answer.split("\r\n\r\n")[0]!, /^set-cookie/im, `${name}: ${JSON.stringify(value)}`);
      assert.match(answer, /^HTTP\/1\.1 (?:200|400) /, `${name}: ${JSON.stringify(value)}`);
    }
  }
  const query = "%0d%0aSet-Cookie:%20x=1";
  for (
    const path of [`/v1/files?prefix=${query}`, `/v1/file/content?name=${query}`, `/v1/tasks/${query}`, `/${query}`]
  ) {
    const answer = await raw(node, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    assert.doesNotMatch(answer.split("\r\n\r\n")[0]!, /^set-cookie/im, path);
  }
  await works(node);
});
