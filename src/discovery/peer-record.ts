import {
  NodeError,
  type NodeId,
  type PeerClaims,
  type PeerExperience,
  RATE_NAMES,
  type Rates,
  wei,
} from "../core/mod.ts";
import { noExperience } from "./experience.ts";

/** What is kept of a peer. Times are milliseconds since the epoch. */
export interface PeerRecord {
  /** `host:port`, the record's key. */
  readonly target: string;
  /** Whether the owner took it in. */
  readonly added: boolean;
  readonly blocked: boolean;
  readonly nodeId?: NodeId;
  readonly firstSeenAt: number;
  readonly lastSeenAt?: number;
  readonly lastProbeAt?: number;
  readonly latencyMs?: number;
  readonly failures: number;
  readonly problem?: string;
  readonly claims?: PeerClaims;
  readonly experience: PeerExperience;
}

/** A node that the registry lists. */
export interface ListedNode {
  readonly node: NodeId;
  readonly target: string;
  readonly region: string;
  readonly block: number;
  /** Read before the chain was reorganised, and not again yet. */
  readonly stale: boolean;
}

/** The format of stored peers; `test/vectors/peers.json` pins it. */
const FORMAT = 1;

export function newRecord(target: string, nowMs: number): PeerRecord {
  return {
    target,
    added: false,
    blocked: false,
    firstSeenAt: nowMs,
    failures: 0,
    experience: noExperience(nowMs),
  };
}

/** A record as stored: JSON with the format's number first, amounts as texts of digits. */
export function encodePeer(record: PeerRecord): string {
  return JSON.stringify(
    { v: FORMAT, ...record },
    (_, value) => typeof value === "bigint" ? String(value) : value,
  );
}

/** Reads what {@link encodePeer} wrote; nothing when it is damaged. Throws `storage_failed` for another format. */
export function decodePeer(text: string): PeerRecord | undefined {
  const value = decode(text) as Partial<PeerRecord> | undefined;
  const { target, firstSeenAt, experience, claims } = value ?? {};
  if (typeof target !== "string" || typeof firstSeenAt !== "number" || typeof experience?.good !== "number") {
    return undefined;
  }
  if (claims?.offer === undefined) return value as PeerRecord;
  const rates = ratesOf(claims.offer.rates);
  if (rates === undefined) return undefined;
  return { ...value as PeerRecord, claims: { ...claims, offer: { ...claims.offer, rates } } };
}

export function encodeListed(listed: ListedNode): string {
  return JSON.stringify({ v: FORMAT, ...listed });
}

/** Reads what {@link encodeListed} wrote; nothing when it is damaged. Throws `storage_failed` for another format. */
export function decodeListed(text: string): ListedNode | undefined {
  const value = decode(text) as Partial<ListedNode> | undefined;
  return typeof value?.node === "string" && typeof value.target === "string" ? value as ListedNode : undefined;
}

function decode(text: string): object | undefined {
  let value: { v?: unknown } | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (value.v !== FORMAT) {
    throw new NodeError(
      "storage_failed",
      `A stored peer has the format ${
        JSON.stringify(value.v)
      }, and this program reads ${FORMAT}: use the version that wrote it`,
    );
  }
  delete value.v;
  return value;
}

function ratesOf(texts: Rates): Rates | undefined {
  try {
    const amounts = RATE_NAMES.map((name) => [name, wei(BigInt(texts[name]))]);
    return { ...texts, ...Object.fromEntries(amounts) };
  } catch {
    return undefined;
  }
}
