import { subscribe } from "node:diagnostics_channel";
import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import { isDeno } from "./runtime.ts";

/** What Deno's sockets read and write by: all TCP sockets have one prototype, all Unix sockets another. */
interface Handle {
  readStop(): number;
  close(...args: unknown[]): unknown;
}

/** Those whose handles stop reading before they close. */
const mended = new WeakSet<object>();

/**
 * On Deno, has sockets of this thread let go when they close, those that it accepts and those that it opens. Deno 2.8.3 closes a socket without
 * ending its read, which holds the socket and all that listens to it for as long as the process lives, some 4 KB (denoland/deno#35876).
 */
export function letSocketsGo(): void {
  if (!isDeno) return;
  subscribe("net.server.socket", (message) => {
    const { _handle: handle } = (message as { socket: Socket & { _handle?: Handle | null } }).socket;
    if (handle == null) return;
    const prototype = Object.getPrototypeOf(handle) as Handle;
    if (mended.has(prototype)) return;
    mended.add(prototype);
    const { close } = prototype;
    prototype.close = function (this: Handle, ...args: unknown[]) {
      this.readStop();
      return close.apply(this, args);
    };
  });
}

/**
 * On Deno, empties what Deno holds of an HTTP/2 session once that is closed. Deno 2.8.3 never frees the native part of one, some 16 KB
 * (denoland/deno#36043), nor what hangs on it: the session, its socket, and all that listens to either.
 */
export function letSessionGo(session: Http2Session): void {
  if (!isDeno) return;
  const key = Object.getOwnPropertySymbols(session).find(({ description }) => description === "kHandle");
  if (key === undefined) return;
  // A client's session has its handle only when it is connected, and none is left when it is closed.
  const bind = () => {
    const handle = (session as unknown as Record<symbol, Record<PropertyKey, unknown> | undefined>)[key];
    if (handle === undefined) return;
    session.once("close", () => {
      // Not before everything else has heard that it is closed.
      setImmediate(() => {
        for (const name of Reflect.ownKeys(handle)) delete handle[name];
      });
    });
  };
  if (session.connecting) session.once("connect", bind);
  else bind();
}
