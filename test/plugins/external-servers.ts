import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";

/** A server on loopback that a test owns. */
export interface TestServer {
  readonly address: string;
  readonly port: number;
  /** Ends it and every connection at once, as a crash does. */
  kill(): Promise<void>;
}

/**
 * Serves Connect routes over h2c, on a port of its own or the given one. Not by `connectNodeAdapter`, which prints an error whenever a
 * caller resets a stream in the middle of the answer (`write ECANCELED`), as a node does with one that is over its bounds.
 */
export async function serveRoutes(routes: (router: ConnectRouter) => void, port = 0): Promise<TestServer> {
  const router = createConnectRouter({ acceptCompression: [compressionGzip] });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const server = createHttp2Server(async (request, response) => {
    const handler = handlers.get(request.url);
    if (handler === undefined) return void response.writeHead(404).end();
    try {
      const answer = await handler(universalRequestFromNodeRequest(request, response, undefined, undefined));
      await universalResponseToNodeResponse(answer, response);
    } catch {
      response.stream?.destroy(); // the caller left, and has its own error
    }
  });
  return await start(server, port);
}

/** Serves every HTTP/2 stream by hand. */
export async function serveStreams(onStream: (stream: ServerHttp2Stream, path: string) => void): Promise<TestServer> {
  const server = createHttp2Server();
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, String(headers[":path"]));
  });
  return await start(server, 0);
}

/** Serves bare TCP connections by hand. */
export async function serveSockets(onSocket: (socket: Socket) => void): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    onSocket(socket);
  });
  return await listen(server, 0, () => {
    for (const socket of sockets) socket.destroy();
  });
}

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = await serveSockets(() => {});
  await server.kill();
  return server.port;
}

async function start(server: Http2Server, port: number): Promise<TestServer> {
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  return await listen(server, port, () => {
    for (const session of sessions) session.destroy();
  });
}

async function listen(server: Http2Server | Server, port: number, end: () => void): Promise<TestServer> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    address: `127.0.0.1:${bound}`,
    async kill() {
      const closed = once(server, "close");
      server.close();
      end();
      await closed;
    },
  };
}
