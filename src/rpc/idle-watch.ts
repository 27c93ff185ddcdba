import type { ServerHttp2Session } from "node:http2";

/** A session that is watched, and when its socket last moved a byte. */
interface Watched {
  bytes: number;
  movedAt: number;
}

/** How many times within the idle time the sessions are looked at. */
const LOOKS = 4;

/** The longest time between two looks, in milliseconds. */
const MAX_INTERVAL_MS = 15_000;

/**
 * Tells which HTTP/2 sessions have been silent for too long, by the bytes that their sockets count. One timer serves all of them.
 * (`session.setTimeout` would do the same, but Node forgets to clear its timer when a session ends, which keeps every session that
 * ever was until the timer fires.)
 */
export class IdleWatch {
  readonly #sessions = new Map<ServerHttp2Session, Watched>();
  readonly #limitMs: number;
  readonly #onIdle: (session: ServerHttp2Session) => void;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(limitMs: number, onIdle: (session: ServerHttp2Session) => void) {
    this.#limitMs = limitMs;
    this.#onIdle = onIdle;
  }

  /** Watches a session until {@link remove}. */
  add(session: ServerHttp2Session): void {
    this.#sessions.set(session, { bytes: -1, movedAt: performance.now() });
    this.#timer ??= setInterval(() => this.#look(), Math.max(1, Math.min(this.#limitMs / LOOKS, MAX_INTERVAL_MS)));
    this.#timer.unref?.();
  }

  remove(session: ServerHttp2Session): void {
    this.#sessions.delete(session);
    if (this.#sessions.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const now = performance.now();
    for (const [session, watched] of this.#sessions) {
      if (session.destroyed) continue;
      const { bytesRead, bytesWritten } = session.socket;
      const bytes = bytesRead + bytesWritten;
      if (bytes !== watched.bytes) {
        watched.bytes = bytes;
        watched.movedAt = now;
      } else if (now - watched.movedAt >= this.#limitMs) {
        watched.movedAt = now;
        this.#onIdle(session);
      }
    }
  }
}
