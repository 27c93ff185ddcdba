import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { ServerSession, type ServerSettings } from "./server-session.ts";

/** Serves a connection for a server that does not listen itself, which emits `session` and `stream` for it as if it were its own. */
export function acceptSession(server: Http2Server, socket: Socket, settings: ServerSettings): void {
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
