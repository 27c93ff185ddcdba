import { type ClientHttp2Session, connect } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { isDeno } from "../core/mod.ts";
import { ClientSession } from "./client-session.ts";

export interface OpenSessionOptions {
  /** What one stream, and all together, may receive ahead of their readers, in bytes. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** What Node may hold for the connection, in megabytes. */
  readonly maxSessionMemory: number;
  /** On Deno it must be a socket. */
  readonly createConnection: () => Duplex;
}

/** Opens an HTTP/2 connection to an origin, without server push, as node:http2's `connect` does. */
export function openSession(origin: string, options: OpenSessionOptions): ClientHttp2Session {
  const { streamWindowBytes, connectionWindowBytes, maxSessionMemory, createConnection } = options;
  if (isDeno) {
    return new ClientSession(new URL(origin), createConnection() as Socket, options) as unknown as ClientHttp2Session;
  }
  const session = connect(origin, {
    settings: { initialWindowSize: streamWindowBytes, enablePush: false },
    maxSessionMemory,
    createConnection,
  });
  // Not when it has connected: a connection that is no socket may still be writing then, and Node ends the process over a second write.
  session.once("remoteSettings", () => {
    // The event comes even after the session was destroyed, and an exception here would end the process.
    if (!session.destroyed) session.setLocalWindowSize(connectionWindowBytes);
  });
  return session;
}
