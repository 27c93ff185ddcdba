import { X509Certificate } from "node:crypto";
import { statfs } from "node:fs/promises";
import type { ChannelView, Clock } from "../core/mod.ts";
import type { Probe } from "./alert-board.ts";

/** How much better than its threshold a value must be to clear an alert. */
const CLEARS_AT = 1.1;
const MIB = 1 << 20;
const DAY_MS = 86_400_000;

export interface LowDiskOptions {
  readonly path: string;
  /** The bytes that should be free. */
  readonly minFreeBytes: () => number;
  /** How much is free, for tests; asks the file system by default. */
  readonly freeBytes?: (path: string) => Promise<number>;
}

/** The disk with the node's data is nearly full. */
export function lowDisk({ path, minFreeBytes, freeBytes = freeBytesAt }: LowDiskOptions): Probe {
  return {
    name: "low_disk",
    async check({ raised }) {
      const free = await freeBytes(path);
      const wanted = minFreeBytes();
      if (free >= wanted * (raised ? CLEARS_AT : 1)) return undefined;
      return `${mebibytes(free)} are free where ${path} lies, less than ${mebibytes(wanted)} ` +
        "(alerts.minFreeBytes): free some, or lower storage.quotaBytes";
    },
  };
}

async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/** Audits so far. */
export interface AuditCounts {
  readonly proven: number;
  readonly failed: number;
}

export interface FailingAuditsOptions {
  readonly counts: () => AuditCounts;
  /** How far back audits are looked at, in milliseconds. */
  readonly windowMs: number;
  /** How many of a hundred audits may fail. */
  readonly maxPercent: () => number;
  readonly clock: Pick<Clock, "now">;
}

/** Providers did not prove shards of this node's files. */
export function failingAudits({ counts, windowMs, maxPercent, clock }: FailingAuditsOptions): Probe {
  // The first is the state at the beginning of the window.
  const seen: { readonly at: number; readonly counts: AuditCounts }[] = [{ at: clock.now(), counts: counts() }];
  return {
    name: "failing_audits",
    check() {
      const now = { at: clock.now(), counts: counts() };
      seen.push(now);
      while (seen.length > 2 && seen[1]!.at <= now.at - windowMs) seen.shift();
      const failed = now.counts.failed - seen[0]!.counts.failed;
      const all = failed + now.counts.proven - seen[0]!.counts.proven;
      if (failed === 0 || 100 * failed <= maxPercent() * all) return undefined;
      return `${failed} of ${all} audits of this node's files failed lately (alerts.auditFailPercent is ${maxPercent()}): ` +
        "velas-sphere file health tells which providers; lost shards are repaired while others can be reached";
    },
  };
}

export interface ChannelLowOptions {
  readonly channels: () => readonly ChannelView[];
  /** How much of a hundred parts of its deposit a channel should have left. */
  readonly minPercent: () => number;
}

/** A channel on which this node pays is nearly used up. */
export function channelLow({ channels, minPercent }: ChannelLowOptions): Probe {
  return {
    name: "channel_low",
    check({ raised }) {
      const bound = BigInt(Math.round(minPercent() * (raised ? CLEARS_AT : 1) * 10));
      const low = channels().filter(({ role, state, deposit, charged }) =>
        role === "payer" && state === "open" && deposit > 0n && (deposit - charged) * 1000n < deposit * bound
      );
      const [first] = low;
      if (first === undefined) return undefined;
      const left = first.deposit > first.charged ? first.deposit - first.charged : 0n;
      const more = low.length === 1 ? "" : `, and so have ${low.length - 1} more`;
      return `The channel to ${first.target ?? first.peer} has ${left} of ${first.deposit} left, below ` +
        `${minPercent()} % (alerts.channelLeftPercent)${more}: velas-sphere payments topup ${first.channelId}`;
    },
  };
}

/** The chain cannot be believed: no endpoint answers, or its head is old. */
export function chainStale(chain: { healthy(): boolean; readonly head: bigint }): Probe {
  return {
    name: "chain_stale",
    check: () =>
      chain.healthy()
        ? undefined
        : `The chain cannot be used (newest known block ${chain.head}): no credit is given and nothing claimed until an ` +
          "endpoint of payments.rpcUrls answers with a fresh head",
  };
}

/** A listener's certificate. */
export interface WatchedCertificate {
  /** The setting that names its file. */
  readonly setting: string;
  /** PEM; of a chain the first certificate counts. */
  readonly pem: Uint8Array;
}

export interface CertificateExpiringOptions {
  /** Those that are served now. */
  readonly certificates: () => readonly WatchedCertificate[];
  readonly minMs: () => number;
  readonly clock: Pick<Clock, "now">;
}

/** A certificate that the node serves ends soon, or has ended. */
export function certificateExpiring({ certificates, minMs, clock }: CertificateExpiringOptions): Probe {
  return {
    name: "certificate_expiring",
    check() {
      const ends = certificates().map(({ setting, pem }) => ({
        setting,
        endsAt: Date.parse(new X509Certificate(Buffer.from(pem)).validTo),
      }));
      const first = ends.toSorted((a, b) => a.endsAt - b.endsAt)[0];
      if (first === undefined) return undefined;
      const leftMs = first.endsAt - clock.now();
      if (leftMs >= minMs()) return undefined;
      const when = new Date(first.endsAt).toISOString();
      return `The certificate of ${first.setting} ${leftMs < 0 ? "ended" : "ends"} at ${when}` +
        `${leftMs < 0 ? "" : `, in ${Math.floor(leftMs / DAY_MS)} days`}: renew it and reload the node (SIGHUP)`;
    },
  };
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / MIB)} MiB`;
}
