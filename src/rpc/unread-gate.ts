import type { Http2Session, Http2Stream } from "node:http2";
import { isDeno } from "../core/mod.ts";

/** How often a closed gate looks whether the client has read on, in milliseconds. */
const POLL_MS = 10;

/**
 * What every stream may be given whatever the others of its session have unread, in bytes: the account is the session's, and a client
 * that reads one stream after the other must not wait for ever.
 */
const FREE_BYTES = 1 << 18; // 256 KiB

/**
 * Write backpressure for HTTP/2 on Deno, whose node:http2 takes everything that is written to a stream and holds it until the client
 * makes room. What it holds cannot be asked, but the socket counts the bytes it has sent. What the streams of a session were given less
 * what its socket sent since is at most what lies unread, give or take frame headers.
 */
export interface UnreadGate {
  /** Whether more may be written. */
  readonly open: boolean;
  wrote(bytes: number): void;
  /** Resolves with true when the gate is open, with false when the client is gone or nothing moved for the time. */
  opened(stallMs: number): Promise<boolean>;
  /** The stream is over: what it still had unread goes with it. */
  close(): void;
}

/** What a session's streams were given and its socket sent. */
interface Account {
  unread: number;
  sent: number;
}

const accounts = new WeakMap<Http2Session, Account>();

/** What the session's socket has sent; the value known last when the session has no socket any more. */
function sentBytes(session: Http2Session, last: number): number {
  try {
    const { bytesWritten, writableLength } = session.socket;
    // Bytes count as written when they are in the socket's own queue, which a client that stops reading fills.
    return bytesWritten - writableLength;
  } catch {
    return last;
  }
}

/** The gate of a response's stream; undefined where the runtime has backpressure of its own. */
export function unreadGate(
  stream: Http2Stream | undefined,
  limitBytes: number,
  forced = isDeno,
): UnreadGate | undefined {
  const session = stream?.session as Http2Session | undefined;
  if (!forced || stream === undefined || session === undefined) return undefined;
  let account = accounts.get(session);
  if (account === undefined) accounts.set(session, account = { unread: 0, sent: sentBytes(session, 0) });
  const shared = account;
  let given = 0;
  const settle = () => {
    const sent = sentBytes(session, shared.sent);
    shared.unread = Math.max(0, shared.unread - (sent - shared.sent));
    shared.sent = sent;
    return shared.unread <= limitBytes || given <= FREE_BYTES;
  };
  return {
    get open() {
      return settle();
    },
    wrote(bytes) {
      settle();
      given += bytes;
      shared.unread += bytes;
    },
    opened: (stallMs) =>
      new Promise((resolve) => {
        let movedAt = performance.now();
        let last = shared.sent;
        const timer = setInterval(() => {
          const now = performance.now();
          const open = settle();
          if (shared.sent !== last) {
            last = shared.sent;
            movedAt = now;
          }
          const gone = stream.destroyed || now - movedAt > stallMs;
          if (!open && !gone) return;
          clearInterval(timer);
          resolve(open && !stream.destroyed);
        }, POLL_MS);
      }),
    close() {
      settle();
      // A stream that ended well has its rest unread for now; one that broke off took it along. The second is assumed: erring to
      // the other side would leave bytes on the books that nobody can ever send.
      if (stream.destroyed) shared.unread = Math.max(0, shared.unread - given);
    },
  };
}
