import { newUlid } from "../core/mod.ts";

/** What also travels between nodes (docs/protocol.md), so that a call keeps its name everywhere. */
const ACCEPTABLE = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * The name of a request in logs, across nodes: what the caller sent as `X-Request-Id`, when it is at most 64 harmless
 * characters, else a new ULID. A strange one is replaced, not refused: it is no reason to fail a call.
 */
export function requestIdOf(header: string | readonly string[] | undefined, nowMs: number): string {
  return typeof header === "string" && ACCEPTABLE.test(header) ? header : newUlid(nowMs);
}
