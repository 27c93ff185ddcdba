import * as z from "zod";
import { duration, integer, size, text, toggle } from "../setting.ts";

/** Files. */
export const files = z.strictObject({
  maxFileBytes: size({
    default: "1TiB",
    min: 1,
    max: 2 ** 40,
    description: "The largest file that may be put. Uploads are streamed, so it costs no memory",
  }),
  incomingBytes: size({
    default: "16GiB",
    min: 0,
    max: 2 ** 44,
    description: "Room in the data directory for uploads that can go on (POST /v1/uploads), until they are complete",
  }),
  incomingTtlMs: duration({
    default: "1d",
    min: 60_000,
    max: 366 * 86_400_000,
    description: "How long such an upload waits for its next byte before it is forgotten",
  }),
  policy: text({
    default: "4+2",
    pattern: /^([1-9]|[12][0-9]|3[0-2])\+([0-9]|[12][0-9]|3[0-2])$/,
    expectation: 'data and parity shards, 1+0 to 32+32, such as "4+2"',
    description:
      "How files are spread that name no policy: on as many providers as both numbers together, of which any as many as the first give the file back. " +
      "1+2 keeps three copies",
  }),
  ackMargin: integer({
    default: 1,
    min: 0,
    max: 32,
    description:
      "How many shards beyond those that a file needs must be durable before a put returns: with 0 the loss of one provider before the others are " +
      "done loses the file. A policy with less parity waits for all of its shards",
  }),
  leaseMs: duration({
    default: "30d",
    min: 10_000,
    max: 366 * 86_400_000,
    description:
      "For how long providers are asked, and paid, to keep a shard. Renewed when half of it is over and the provider has just proved the shard",
  }),
  custodyPenalty: text({
    default: "0",
    pattern: /^[0-9]{1,38}$/,
    expectation: 'a whole number in quotes, such as "1000000000" (wei)',
    description:
      "Ask providers that are paid to put stake on each shard, this much at least, and keep what they sign (payments.audit); those that do not keep shards all the same. 0 asks for none",
  }),
  auditIntervalMs: duration({
    default: "6h",
    min: 1000,
    max: 30 * 86_400_000,
    description: "How often providers must prove that they have the shards of a file",
  }),
  auditLeaves: integer({
    default: 32,
    min: 1,
    max: 512,
    description:
      "How many pieces of 1 KiB of a shard one audit asks for, drawn anew each time. Of a shard that has lost 1 % it finds that out with 32 in one audit of four, with 300 in 95 of 100",
  }),
  auditBytesPerSecond: size({
    default: "1MiB",
    min: 2 ** 10,
    max: 2 ** 40,
    description: "What audits of all files may receive in a second, proofs included; renewals may have as much again",
  }),
  lostAfterMs: duration({
    default: "12h",
    min: 1000,
    max: 30 * 86_400_000,
    description:
      "How long a provider may be silent before its shard counts as lost. One that says it has no such shard, or gives a wrong one, has lost it at once",
  }),
  lostAfterAudits: integer({
    default: 3,
    min: 1,
    max: 1000,
    description: "How many audits in a row must have failed, beside files.lostAfterMs, before a shard counts as lost",
  }),
  repairAt: integer({
    default: 1,
    min: 1,
    max: 10,
    description:
      "How many shards of a file must be lost before they are rebuilt. Above 1 saves traffic and takes risk; when no more may be lost they are rebuilt all the same",
  }),
  repairBytesPerSecond: size({
    default: "32MiB",
    min: 2 ** 10,
    max: 2 ** 40,
    description: "What repairs of all files may read and write in a second",
  }),
  parallel: integer({
    default: 4,
    min: 1,
    max: 256,
    description: "How many files are audited and repaired at once, and of how many leases are renewed at once",
  }),
  scoreHalfLifeMs: duration({
    default: "7d",
    min: 1000,
    max: 366 * 86_400_000,
    description:
      "After this long half is left of what is remembered of a provider: successes, failures, and faults, for which it is avoided",
  }),
  uploadTtlMs: duration({
    default: "1d",
    min: 1000,
    max: 366 * 86_400_000,
    description: "How long an upload that was interrupted can be gone on with",
  }),
  stallMs: duration({
    default: "10s",
    min: 100,
    max: 600_000,
    description: "How long a provider may take no bytes, or give none, before another one is used",
  }),
});

/** The databases, and shards kept for other nodes. */
export const storage = z.strictObject({
  quotaBytes: size({
    default: "10GiB",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description:
      "The most bytes of shards that are kept for other nodes, uploads under way included. With 0 the node keeps none",
  }),
  minFreeBytes: size({
    default: "1GiB",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description: "Room that shards leave on the disk for others, whatever the quota says",
  }),
  maxShardBytes: size({
    default: "320GiB",
    min: 1024,
    max: 2 ** 44,
    description: "The largest shard. That of a file of 1 TiB spread 4+2 is a little more than 256 GiB",
  }),
  maxLeaseMs: duration({
    default: "90d",
    min: 60_000,
    max: 366 * 86_400_000,
    description: "The longest lease of a shard. Its owner renews it while the shard is wanted",
  }),
  graceMs: duration({
    default: "3d",
    min: 0,
    max: 366 * 86_400_000,
    description: "How long a shard is still kept, and can be renewed, after its lease has ended",
  }),
  uploadTtlMs: duration({
    default: "1d",
    min: 60_000,
    max: 366 * 86_400_000,
    description: "How long an interrupted upload of a shard waits to go on",
  }),
  expiryEveryMs: duration({
    default: "1m",
    min: 100,
    max: 3_600_000,
    description: "How often shards whose lease and grace are over, and uploads that nobody goes on with, are dropped",
  }),
  compactBytes: size({
    default: "64MiB",
    min: 2 ** 16,
    max: 2 ** 40,
    description:
      "How many bytes of removed shards may still take room on the disk before it is asked to give them back. Less than the default costs more writing than it frees",
  }),
  sync: toggle({
    default: true,
    description:
      "Whether an accepted task is on disk, and not only in the system's cache, before the answer leaves. Without it a power cut can lose the last ones; a crash of the node loses none",
  }),
});
