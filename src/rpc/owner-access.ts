import {
  type AccessScope,
  type AccessTokens,
  type CallContext,
  type Clock,
  hasScope,
  missingScope,
  NodeError,
  type RequesterId,
} from "../core/mod.ts";
import { FileService } from "../gen/velas/sphere/v1/file_pb.ts";
import { Call, type CallerFinder } from "./calls.ts";

/** Who may call what belongs to the node's owner. */
export interface OwnerAccess {
  /** The node itself: in whose name the owner's programs act. */
  readonly self: RequesterId;
  /** The owner's tokens, those of REST. */
  readonly tokens?: AccessTokens;
  readonly clock: Pick<Clock, "now">;
  /** Whether only programs of this machine reach the ports; then no token is needed, as with REST. */
  readonly loopbackOnly: boolean;
}

/** How paths of methods begin that are for the owner's programs. */
const OWNER_SERVICE = `/${FileService.typeName}/`;

/** What a token must be for, to call here. */
const SCOPES = ["files"] as const satisfies readonly AccessScope[];

/**
 * Makes the context of an owner's call out of that of a call that came in. Throws `permission_denied` for a call from a web page, whatever it
 * bears (browsers send an Origin with every POST, and pages that had their name resolve to this machine do, too), `unauthenticated` for a
 * missing, wrong or expired token, `permission_denied` for one without the scope, and `unauthenticated` on a port that others reach when the node has no token.
 */
export function createOwnerCheck(
  { self, tokens, clock, loopbackOnly }: OwnerAccess,
): (ctx: CallContext) => CallContext {
  return (ctx) => {
    const header = (name: string) => ctx instanceof Call ? headerOf(ctx.metadata, name) : undefined;
    if (header("origin") !== undefined) {
      throw new NodeError("permission_denied", "This service is for its owner's programs and answers no web page");
    }
    if (tokens?.required) {
      const caller = tokens.bearer(header("authorization"), clock.now());
      if (caller instanceof NodeError) throw caller;
      if (!hasScope(caller, SCOPES)) throw missingScope(caller, SCOPES);
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

/** Finds whose token a call of the owner's services bears. */
export function callerFinder({ tokens, clock }: OwnerAccess): CallerFinder {
  return (path, metadata) => {
    if (tokens?.required !== true || !path.startsWith(OWNER_SERVICE)) return undefined;
    const caller = tokens.bearer(headerOf(metadata, "authorization"), clock.now());
    return caller instanceof NodeError ? undefined : caller;
  };
}

function headerOf(metadata: Call["metadata"], name: string): string | undefined {
  const value = metadata instanceof Headers ? metadata.get(name) ?? undefined : metadata[name];
  return Array.isArray(value) ? value.join(", ") : value;
}
