import {
  type CallContext,
  type Capability,
  type CapabilityAction,
  type Clock,
  NodeError,
  readCapability,
  type ShardId,
} from "../core/mod.ts";

/** Metadata that bears a capability. */
export const CAPABILITY_HEADER = "velas-capability";

/** Capabilities that are remembered, and how many bytes were given for each. */
const MAX_REMEMBERED = 10_000;

/** What a call wants to do to a shard that is another's. */
export interface CapabilityUse {
  readonly shard: ShardId;
  readonly action: CapabilityAction;
  readonly bytes: number;
}

/** Lets calls that bear a capability act for its issuer, as far as it allows. */
export class CapabilityCheck {
  readonly #clock: Clock;
  readonly #known = new Map<string, Capability>();
  /** By the id, since a text can be spelt in more than one way. */
  readonly #givenBytes = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The context in the issuer's name. Throws `unauthenticated` for a capability that is none, and `permission_denied` for one that is over, used
   * up, or does not allow this to this caller.
   */
  actFor(ctx: CallContext, text: string, use: CapabilityUse): CallContext {
    const capability = this.#read(text);
    const { issuer, audience, expiresAt, actions, shards } = capability;
    if (audience !== "" && audience !== ctx.requester) throw denied(`is for ${audience} and not for ${ctx.requester}`);
    if (expiresAt <= this.#clock.now()) throw denied("is over");
    if (!actions.includes(use.action)) throw denied(`does not allow to ${use.action}`);
    if (!shards.includes(use.shard)) throw denied(`is not about shard ${use.shard}`);
    this.#spend(capability, use.bytes);
    const { signal, requestId, deadlineAt } = ctx;
    return {
      requester: issuer,
      authenticated: true,
      // A capability that was passed on falls with the one that it was made from.
      capabilityEndsAt: capability.parent?.expiresAt ?? expiresAt,
      signal,
      requestId,
      ...(deadlineAt !== undefined && { deadlineAt }),
    };
  }

  #spend(capability: Capability, bytes: number): void {
    const accounts = [capability, ...(capability.parent === undefined ? [] : [capability.parent])];
    for (const { id, maxBytes } of accounts) {
      if ((this.#givenBytes.get(id) ?? 0) + bytes > maxBytes) throw denied(`is used up: it was for ${maxBytes} bytes`);
    }
    for (const { id } of accounts) remember(this.#givenBytes, id, (this.#givenBytes.get(id) ?? 0) + bytes);
  }

  #read(text: string): Capability {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const capability = readCapability(text);
    remember(this.#known, text, capability);
    return capability;
  }
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  if (map.size >= MAX_REMEMBERED && !map.has(key)) map.delete(map.keys().next().value!);
  map.set(key, value);
}

function denied(why: string): NodeError {
  return new NodeError("permission_denied", `The capability ${why}: ask the file's owner for another`);
}
