import assert from "node:assert/strict";
import { request } from "node:https";
import { connect } from "node:net";
import { createRestApp, createRestServer, createTaskFastPath, DEFAULT_REST_LIMITS } from "../../src/rest/mod.ts";
import { TEST_CERT, TEST_KEY } from "../rpc/tls-keys.ts";
import { test, type TestScope } from "../testing.ts";
import { recordingLog, serve } from "./harness.ts";

/** The application of the harness behind a listener with TLS. */
async function serveTls(t: TestScope): Promise<number> {
  const { options } = await serve(t);
  const server = createRestServer({
    app: createRestApp(options),
    fastPath: createTaskFastPath(options),
    host: "127.0.0.1",
    port: 0,
    limits: DEFAULT_REST_LIMITS,
    log: recordingLog(),
    tls: { cert: TEST_CERT, key: new TextEncoder().encode(TEST_KEY) },
  });
  const { port } = await server.listen();
  t.after(() => server.close());
  return port;
}

function ask(port: number, { path, body }: { path: string; body?: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? "GET" : "POST";
    const headers = body === undefined ? {} : { "Content-Length": String(body.length) };
    const asking = request({ host: "127.0.0.1", port, path, method, headers, ca: TEST_CERT, servername: "localhost" });
    asking.on("error", reject);
    asking.on("response", (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => text += piece).on("end", () => resolve(text));
    });
    asking.end(body);
  });
}

test("with a certificate the REST port speaks TLS, on the fast path too", async (t) => {
  const port = await serveTls(t);
  assert.equal(await ask(port, { path: "/task", body: '{"id":"1","input":"hello"}' }), '{"id":"1","output":"world"}');
  assert.match(await ask(port, { path: "/info" }), /"version":/);
});

test("who speaks no TLS to a TLS port is cut off, and others are served on", async (t) => {
  const port = await serveTls(t);
  const received = await new Promise<string>((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => text += String(chunk)).on("close", () => resolve(text));
    socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  });
  assert.doesNotMatch(received, /^HTTP\/1\.1 200/);
  assert.match(await ask(port, { path: "/info" }), /"version":/);
});
