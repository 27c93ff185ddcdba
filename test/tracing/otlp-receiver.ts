import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestScope } from "../testing.ts";
import { decodeOtlp, type ReceivedSpan } from "./decode-otlp.ts";

/** A collector that keeps what it is sent. */
export async function startReceiver(t: TestScope, status: () => number = () => 200) {
  const spans: ReceivedSpan[] = [];
  const bodies: Buffer[] = [];
  const waiting: { readonly isThere: () => boolean; readonly done: () => void }[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    bodies.push(body);
    const isTraces = request.url === "/v1/traces" && request.headers["content-type"] === "application/x-protobuf";
    const code = isTraces ? status() : 404;
    if (code === 200) spans.push(...decodeOtlp(body).spans);
    response.writeHead(code, { "content-type": "application/x-protobuf" }).end();
    for (const { isThere, done } of waiting) if (isThere()) done();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  /** Waits until some spans are there. */
  const until = (isThere: () => boolean) =>
    isThere() ? Promise.resolve() : new Promise<void>((done) => waiting.push({ isThere, done }));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, bodies, until };
}
