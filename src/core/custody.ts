import type { NodeId } from "./ids.ts";
import { type Hex32, typedDigest, type TypedDomain, type TypedStruct } from "./typed-data.ts";
import type { Wei } from "./wei.ts";

/** The chain and the `Audit` contract that judges custody statements: what they and their releases are bound to. */
export interface AuditSite {
  readonly chainId: number;
  readonly audit: NodeId;
}

/** A provider's promise to keep a shard or to lose stake, in the words of the `Audit` contract. */
export interface Custody {
  readonly provider: NodeId;
  readonly requester: NodeId;
  readonly root: Hex32;
  readonly leafCount: number;
  /** Unix seconds until which it can be challenged. */
  readonly expiresAt: number;
  readonly penalty: Wei;
  /** The digest of the lease that it belongs to. */
  readonly lease: Hex32;
}

/** What a provider answers who is asked for a statement: the requester knows all else of it. */
export interface ShardCustody {
  readonly penalty: Wei;
  /** 65 bytes, by the provider's node key over {@link custodyId}. */
  readonly signature: Uint8Array;
}

/** The requester's word that a statement binds the provider no more. */
export interface CustodyRelease {
  /** The statement's id. */
  readonly custody: Hex32;
  /** 65 bytes, by the requester's node key over {@link releaseDigest}. */
  readonly signature: Uint8Array;
}

/** A statement, as people look at it. */
export interface CustodyView {
  readonly id: Hex32;
  /** Whether this node keeps the shard, or has it kept. */
  readonly role: "provider" | "requester";
  readonly custody: Custody;
  readonly signature: Uint8Array;
  /** The shard's id. */
  readonly shard: string;
  /** The file that the shard is of, where this node has it kept. */
  readonly fileId?: string;
  /** Whether the provider failed to prove the shard: then it is never released. */
  readonly lost: boolean;
  readonly released: boolean;
  /** What came of its challenge, where this node has looked for one. */
  readonly challenge?: CustodyChallenge;
}

/** How a challenge of a statement stands, as the requester last saw it. */
export interface CustodyChallenge {
  /** Not answered yet; answered by the provider; ended by a slash; or ended otherwise, such as by somebody else. */
  readonly state: "open" | "answered" | "slashed" | "done";
  /** Unix seconds until which the provider may answer; of one that is open. */
  readonly deadline?: number;
  /** When that was seen first, in milliseconds since the epoch. */
  readonly at: number;
}

/**
 * How long a shard must be kept after its lease for custody of it to be signed, in milliseconds: a challenge may come with the last second of the
 * lease, and has a day to be answered; clocks and chains differ.
 */
export const MIN_CUSTODY_GRACE_MS = 2 * 86_400_000;

/** The reason of a provider that does not drop a shard: it has signed for it, and has no release. */
export const CUSTODY_NOT_RELEASED = "custody_not_released";

/** The structs of the `Audit` contract. */
export const CUSTODY_TYPES = {
  custody: {
    name: "Custody",
    fields: [
      ["address", "provider"],
      ["address", "requester"],
      ["bytes32", "root"],
      ["uint64", "leafCount"],
      ["uint64", "expiresAt"],
      ["uint128", "penalty"],
      ["bytes32", "lease"],
    ],
  },
  release: { name: "Release", fields: [["bytes32", "custody"]] },
} as const satisfies Record<string, TypedStruct>;

/** A statement's id, which the provider signs: what `Audit.custodyId` gives. */
export function custodyId(at: AuditSite, { leafCount, expiresAt, ...rest }: Custody): Uint8Array {
  return typedDigest(domainOf(at), CUSTODY_TYPES.custody, {
    ...rest,
    leafCount: BigInt(leafCount),
    expiresAt: BigInt(expiresAt),
  });
}

/** What the requester signs to release a provider: what `Audit.releaseDigest` gives. */
export function releaseDigest(at: AuditSite, custody: Hex32): Uint8Array {
  return typedDigest(domainOf(at), CUSTODY_TYPES.release, { custody });
}

function domainOf({ chainId, audit }: AuditSite): TypedDomain {
  return { name: "Velas Sphere Audit", chainId, verifyingContract: audit };
}
