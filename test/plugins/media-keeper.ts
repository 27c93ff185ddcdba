import type { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestScope } from "../testing.ts";

/** Stands for a node that keeps files, of which a test decides what it answers and when. Gives its address. */
export async function startKeeper(t: TestScope, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Answers a range as a node does. */
export function give(film: Buffer, request: IncomingMessage, response: ServerResponse): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range!)!;
  const part = film.subarray(Number(from), Number(to) + 1);
  response.writeHead(206, {
    "content-type": "video/mp4",
    "content-length": part.length,
    "content-range": `bytes ${from}-${Number(from) + part.length - 1}/${film.length}`,
    etag: '"1"',
    "x-node": "1",
  }).end(part);
}
