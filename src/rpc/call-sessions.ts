import { type CallContext, type Clock, NodeError, type NodeId, type Session, verifySession } from "../core/mod.ts";
import { Call } from "./calls.ts";

/** Metadata that bears a session. */
export const SESSION_HEADER = "velas-session";

/** How many verified sessions are remembered: verifying one takes a millisecond, and a node makes thousands of calls in one. */
const MAX_REMEMBERED = 4096;

export interface CallSessionsOptions {
  readonly self: NodeId;
  readonly clock: Clock;
}

/**
 * Makes the context of a call in the name of the node whose session it bears. Throws `unauthenticated` when it bears none, or one that
 * {@link verifySession} refuses.
 */
export function createSessionCheck({ self, clock }: CallSessionsOptions): (ctx: CallContext) => CallContext {
  const verified = new Map<string, Session>();
  const sessionOf = (text: string): Session => {
    const now = clock.now();
    const known = verified.get(text);
    if (known !== undefined && known.expiresAt > now) return known;
    verified.delete(text);
    const session = verifySession(text, { self, now });
    if (verified.size >= MAX_REMEMBERED) verified.delete(verified.keys().next().value!);
    verified.set(text, session);
    return session;
  };
  return (ctx) => {
    const text = ctx instanceof Call ? headerOf(ctx.metadata) : undefined;
    if (text === undefined) {
      throw new NodeError(
        "unauthenticated",
        `Whose shards these are must be proven: send a session in ${SESSION_HEADER} (docs/protocol.md)`,
      );
    }
    const { requester } = sessionOf(text);
    const { signal, requestId, deadlineAt } = ctx;
    return { requester, signal, requestId, ...(deadlineAt === undefined ? {} : { deadlineAt }) };
  };
}

function headerOf(metadata: Call["metadata"]): string | undefined {
  const value = metadata instanceof Headers ? metadata.get(SESSION_HEADER) ?? undefined : metadata[SESSION_HEADER];
  return typeof value === "string" ? value : undefined;
}
