import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestScope } from "../testing.ts";

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, string> }[];
  readonly status: { readonly code: number; readonly message?: string };
  /** `service.instance.id` of the resource. */
  readonly instance: string;
}

/** A collector that keeps what it is sent. */
export async function startReceiver(t: TestScope, status: () => number = () => 200) {
  const spans: ReceivedSpan[] = [];
  const bodies: string[] = [];
  const waiting: { readonly isThere: () => boolean; readonly done: () => void }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    bodies.push(body);
    const code = request.url === "/v1/traces" ? status() : 404;
    if (code === 200) {
      for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
        const instance = resource.attributes.find((one: { key: string }) => one.key === "service.instance.id");
        for (const scope of scopeSpans) {
          for (const span of scope.spans) spans.push({ ...span, instance: instance?.value.stringValue });
        }
      }
    }
    response.writeHead(code, { "content-type": "application/json" }).end("{}");
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
