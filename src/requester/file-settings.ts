import type { FilePolicy } from "../core/mod.ts";

/** How a requester keeps files. Durations are milliseconds. */
export interface FileSettings {
  readonly defaultPolicy: FilePolicy;
  /** How many shards beyond those that a file needs must be durable before a put returns; never more than the policy has. */
  readonly ackMargin: number;
  readonly leaseMs: number;
  /** A lease is renewed when less than this part of it is left. */
  readonly renewBelow: number;
  /** Whether providers are asked to put stake on shards. */
  readonly asksCustody: boolean;
  /** How long a provider may take no bytes, or give none, before another one is used. */
  readonly stallMs: number;
  /** How long an upload that nobody goes on with is kept. */
  readonly uploadTtlMs: number;
  /** The size that providers are told of a file whose length is not known. */
  readonly unknownSizeBytes: number;
  /** Between two audits of a file. */
  readonly auditIntervalMs: number;
  /** Leaves that one audit asks of each shard. */
  readonly auditLeaves: number;
  /** Bytes a second that audits may take, over all files. */
  readonly auditBytesPerSecond: number;
  /** How long a shard may be out of reach, and in how many audits in a row at least, before it counts as lost. */
  readonly lostAfterMs: number;
  readonly lostAfterAudits: number;
  /** How many shards of a file must be lost before they are rebuilt. One is enough when no more may go. */
  readonly repairAt: number;
  /** How many files are looked after at once, and of how many leases are renewed at once. */
  readonly parallel: number;
  /** Bytes a second that repairs may read, over all files. */
  readonly repairBytesPerSecond: number;
  /** The half-life of what is remembered of providers. */
  readonly scoreHalfLifeMs: number;
}

const HOUR = 3_600_000;

export const DEFAULT_FILE_SETTINGS: FileSettings = {
  defaultPolicy: { dataShards: 4, parityShards: 2 },
  ackMargin: 1,
  leaseMs: 30 * 24 * HOUR,
  renewBelow: 0.5,
  asksCustody: false,
  stallMs: 10_000,
  uploadTtlMs: 24 * HOUR,
  unknownSizeBytes: 2 ** 36,
  auditIntervalMs: 6 * HOUR,
  auditLeaves: 32,
  auditBytesPerSecond: 1 << 20,
  lostAfterMs: 12 * HOUR,
  lostAfterAudits: 3,
  repairAt: 1,
  parallel: 4,
  repairBytesPerSecond: 32 << 20,
  scoreHalfLifeMs: 7 * 24 * HOUR,
};
