/** A small HTTP server that answers like a node's `/v1`, for tests of its clients. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface Seen {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly json?: unknown;
  readonly body?: string | Uint8Array;
  /** Writes the answer itself. */
  readonly write?: (response: ServerResponse) => void | Promise<void>;
}

export type Routes = Readonly<Record<string, Reply | ((seen: Seen) => Reply | Promise<Reply>)>>;

export interface FakeNode {
  readonly url: string;
  readonly seen: readonly Seen[];
}

/** Serves routes, keyed `METHOD /path` without the query, until the test ends. Anything else is a 404 problem. */
export async function startFake(t: { after(f: () => unknown): void }, routes: Routes): Promise<FakeNode> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Uint8Array[] = [];
    try {
      for await (const piece of request) pieces.push(piece as Uint8Array);
    } catch {
      return; // the client went away
    }
    const { method = "", url = "", headers } = request;
    const call = { method, path: url, headers, body: Buffer.concat(pieces) };
    seen.push(call);
    const route = routes[`${method} ${url.split("?")[0]}`] ?? problem("not_found", `There is no ${method} ${url}`, 404);
    const reply = typeof route === "function" ? await route(call) : route;
    if (reply.write !== undefined) return await reply.write(response);
    const body = reply.json === undefined ? reply.body : JSON.stringify(reply.json);
    response.writeHead(reply.status ?? 200, {
      "content-type": reply.json === undefined ? "application/octet-stream" : "application/json",
      ...reply.headers,
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, seen };
}

/** A problem+json answer. */
export function problem(code: string, detail: string, status: number, more: object = {}): Reply {
  return {
    status,
    headers: { "content-type": "application/problem+json" },
    json: { type: `/v1/docs#error-${code}`, title: "It failed", status, detail, code, retryable: false, ...more },
  };
}

/** What a task consumed, as `/v1` shows it. */
export const USAGE = { wallMicros: 1500, inputBytes: 5, outputBytes: 5, instructions: 0 };

/** A task as `/v1` shows it. */
export function taskJson(more: object = {}): Record<string, unknown> {
  return {
    id: "t1",
    requester: "anonymous",
    plugin: "demo",
    resolvedPlugin: "demo@1.0.0",
    pluginSha256: "0".repeat(64),
    function: "greet",
    contentType: "text/plain",
    limits: { timeoutMs: 30_000, memoryBytes: 64 << 20, outputBytes: 1 << 20 },
    priority: 0,
    state: "queued",
    createdAt: "2026-11-23T20:38:16.000Z",
    attempts: 0,
    inputSha256: "0".repeat(64),
    ...more,
  };
}

/** The text of server-sent events. */
export function eventText(events: readonly (readonly [type: string, data: unknown, id?: string])[]): string {
  return events.map(([type, data, id], i) => `id: ${id ?? i + 1}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
    .join("");
}
