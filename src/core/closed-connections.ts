import { subscribe } from "node:diagnostics_channel";
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
