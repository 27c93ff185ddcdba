import { isIP } from "node:net";
import { NodeError, type OutboundRules, type TargetAddress } from "../../core/mod.ts";

/** Decides where connections to peers may lead. */
export interface PeerRules {
  readonly outbound: OutboundRules;
  /** Whether the rules hold for a target, `host:port`, since a stranger named it. */
  readonly applyTo: (target: string) => boolean;
  /** Whether they hold for the call that is being made, since its caller named the target and is confined. By default they do not. */
  readonly applyToCaller?: (target: string) => boolean;
}

/** Throws `target_unreachable` for a target that is an address to which the rules do not let it lead. */
export function assertAllowed({ host, name }: TargetAddress, rules: PeerRules): void {
  if (isIP(host) === 0 || !rules.applyTo(name)) return;
  try {
    rules.outbound.check(host);
  } catch (refusal) {
    throw asUnreachable(refusal as NodeError, name);
  }
}

/** A refusal of the rules as what it is for calls to a peer: nothing was sent. */
export function asUnreachable(refusal: NodeError, target: string): NodeError {
  return new NodeError("target_unreachable", `${refusal.message}, or take ${target} in with "peers add"`, {
    cause: refusal,
    data: { target, requestSent: false },
    retryable: false,
  });
}
