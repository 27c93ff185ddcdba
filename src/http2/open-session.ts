import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { ClientSession, type ClientSettings } from "./client-session.ts";

/** Opens an HTTP/2 connection to an origin over a socket, which may still be connecting. For callers it is a session of node:http2. Throws without memory. */
export function openSession(origin: string, socket: Socket, settings: ClientSettings): ClientHttp2Session {
  try {
    return new ClientSession(new URL(origin), socket, settings) as unknown as ClientHttp2Session;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
