import type { ServerResponse } from "node:http";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { clientGone } from "./body.ts";

/**
 * What a handler returns after it has written to the socket itself. Touching the body makes node-server read the marker
 * header instead of a cached plain answer, whichever global Response was in place when the marker was made.
 */
export function alreadySent(): Response {
  void RESPONSE_ALREADY_SENT.body;
  return RESPONSE_ALREADY_SENT;
}

/**
 * Writes a piece of an answer and waits until the client has room for more, so that a slow reader holds one piece in
 * memory. Throws `canceled` when the client is gone, and cuts the connection first when it reads nothing for `idleTimeoutMs`.
 * `onSent` is called when the system has taken the piece, or never will.
 */
export async function writePiece(
  outgoing: ServerResponse,
  piece: Uint8Array | string,
  idleTimeoutMs: number,
  onSent?: () => void,
): Promise<void> {
  if (outgoing.destroyed) throw clientGone();
  if (outgoing.write(piece, onSent)) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => outgoing.destroy(), idleTimeoutMs);
    function settle(): void {
      clearTimeout(timer);
      outgoing.off("drain", onDrain).off("close", onClose);
    }
    function onDrain(): void {
      settle();
      resolve();
    }
    function onClose(): void {
      settle();
      reject(clientGone());
    }
    outgoing.on("drain", onDrain).on("close", onClose);
  });
}

/** The size of the pieces in which {@link writeWhole} hands a long output over. */
const PIECE_BYTES = 256 << 10; // 256 KiB

/** Writes an answer whose whole body is in memory, and ends it; a reader that stalls is cut off as by {@link writePiece}. */
export async function writeWhole(outgoing: ServerResponse, body: Uint8Array, idleTimeoutMs: number): Promise<void> {
  for (let start = 0; start < body.length; start += PIECE_BYTES) {
    await writePiece(outgoing, body.subarray(start, start + PIECE_BYTES), idleTimeoutMs);
  }
  outgoing.end();
}

/**
 * Headers for bytes that a plugin made. Their media type is the plugin's word, so a browser must neither guess another nor
 * run them as a page of this node, whose pages may call the API.
 */
export const FOREIGN_CONTENT_HEADERS: Readonly<Record<string, string>> = {
  "X-Content-Type-Options": "nosniff",
  "Content-Security-Policy": "sandbox; default-src 'none'",
};
