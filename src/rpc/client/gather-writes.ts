import process from "node:process";
import type { Writable } from "node:stream";
import { isDeno } from "../../core/mod.ts";

/**
 * On Deno, has what is written to a socket in one turn leave in one call of the system. Its node:http2 writes each frame by itself, at most 16 KiB,
 * which takes both ends twice the processor time in the system. Node gathers frames itself.
 */
export function gatherWrites(socket: Writable, forced: boolean = isDeno): void {
  if (!forced) return;
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let gathers = false;
  const release = () => {
    gathers = false;
    socket.uncork();
  };
  socket.write = (...args: unknown[]) => {
    if (!gathers) {
      gathers = true;
      socket.cork();
      process.nextTick(release);
    }
    return write(...args);
  };
}
