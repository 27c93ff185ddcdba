import { createHash, timingSafeEqual } from "node:crypto";
import { type CallContext, NodeError, type RequesterId } from "../core/mod.ts";
import { Call } from "./calls.ts";

/** Who may call what belongs to the node's owner. */
export interface OwnerAccess {
  /** The node itself: in whose name the owner's programs act. */
  readonly self: RequesterId;
  /** The owner's token, that of REST. */
  readonly token?: string;
  /** Whether only programs of this machine reach the ports; then no token is needed, as with REST. */
  readonly loopbackOnly: boolean;
}

/**
 * Makes the context of an owner's call out of that of a call that came in. Throws `permission_denied` for a call from a web page, whatever it
 * bears (browsers send an Origin with every POST, and pages that had their name resolve to this machine do, too), `unauthenticated` for a
 * missing or wrong token, and on a port that others reach when the node has no token.
 */
export function createOwnerCheck({ self, token, loopbackOnly }: OwnerAccess): (ctx: CallContext) => CallContext {
  const expected = token === undefined ? undefined : digest(token);
  return (ctx) => {
    const header = (name: string) => ctx instanceof Call ? headerOf(ctx.metadata, name) : undefined;
    if (header("origin") !== undefined) {
      throw new NodeError("permission_denied", "This service is for its owner's programs and answers no web page");
    }
    if (expected !== undefined) {
      const given = /^Bearer +([^ ]+) *$/i.exec(header("authorization") ?? "")?.[1];
      if (given === undefined || !timingSafeEqual(digest(given), expected)) {
        throw new NodeError(
          "unauthenticated",
          given === undefined
            ? "This service is for the node's owner: send the node's REST token as authorization: Bearer <token>"
            : "The token is not this node's; use the one of its configuration (rest.token)",
        );
      }
    } else if (!loopbackOnly) {
      throw new NodeError(
        "unauthenticated",
        "This service is for the node's owner, and others reach this port: set rest.token, and send it as authorization: Bearer <token>",
      );
    }
    const { signal, requestId, deadlineAt } = ctx;
    return { requester: self, signal, requestId, ...(deadlineAt === undefined ? {} : { deadlineAt }) };
  };
}

function headerOf(metadata: Call["metadata"], name: string): string | undefined {
  const value = metadata instanceof Headers ? metadata.get(name) ?? undefined : metadata[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
