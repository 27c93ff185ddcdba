import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { isDeno } from "../core/mod.ts";
import { ServerSession, type ServerSettings } from "./server-session.ts";

/** Hands a connection to a server that does not listen itself, which emits `session` and `stream` for it. The settings are for Deno; on Node the server has them. */
export function acceptSession(server: Http2Server, socket: Socket, settings: ServerSettings): void {
  if (!isDeno) {
    server.emit("connection", socket);
    return;
  }
  let session;
  try {
    session = new ServerSession(socket, settings);
  } catch {
    // There is no memory for another.
    socket.destroy();
    return;
  }
  session.on("stream", (...args) => server.emit("stream", ...args));
  server.emit("session", session as unknown as ServerHttp2Session);
}
