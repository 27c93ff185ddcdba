import { z } from "@hono/zod-openapi";
import { FILE_STATES } from "../core/mod.ts";
import {
  count,
  DEFAULT_PAGE_SIZE,
  EXAMPLE_NODE,
  EXAMPLE_SHA256,
  fromText,
  PageSize,
  Sha256,
  Target,
  time,
} from "./schema-fields.ts";

const EXAMPLE_ID = "0f8a3c5d9b2e47618c0d4e7fa1b2c3d4";

export const FileId = z.string().regex(/^[0-9a-f]{32}$/).openapi({
  description: "The id of one version of a file, 32 lower-case hex digits.",
  examples: [EXAMPLE_ID],
});

/** Length and UTF-8 are checked where a name is read (file-name.ts), in bytes. */
export const FileName = z.string().min(1).openapi({
  description: "A file's name: 1 to 4096 bytes of UTF-8. Slashes have no meaning but for listing.",
  examples: ["photos/cat.jpg"],
});

export const FileRef = z.string().openapi({
  description: "A file's id, or a name as it is: slashes need no encoding, a part `.` or `..` does not work here.",
  examples: ["photos/cat.jpg"],
});

export const Version = z.int().min(1).max(Number.MAX_SAFE_INTEGER).openapi({
  description: "A version of the name; the newest when it is left out.",
  examples: [1],
});

export const Policy = z.string().regex(/^\d{1,2}\+\d{1,2}$/).openapi({
  description:
    "How to spread it, as data shards + parity shards, 1+0 to 10+10: any `data` of all suffice. `1+2` is three copies.",
  examples: ["4+2"],
});

export const FileState = z.enum(FILE_STATES).openapi("FileState", {
  description:
    "How safe a file is: `uploading`, then `stored` when enough shards are durable, `replicated` when all are, `proven` when each passed an " +
    "audit since; `degraded` when shards are lost but it can be read, `lost` when too many are; `removed` while its shards are freed.",
  examples: ["proven"],
});

export const File = z.object({
  id: FileId,
  name: FileName,
  version: count("Counts the versions of a name, from 1.", 1),
  contentType: z.string().openapi({ description: "Its media type.", examples: ["image/jpeg"] }),
  sizeBytes: count("Its size; while it is uploading, what has come so far.", 48_213),
  sha256: z.union([Sha256, z.literal("")]).openapi({
    description: "The SHA-256 of its content in hex; empty while it is uploading.",
    examples: [EXAMPLE_SHA256],
  }),
  policy: z.object({
    dataShards: count("Shards that it takes to read the file.", 4),
    parityShards: count("Shards beyond them.", 2),
  }).openapi({ description: "How it is spread." }),
  state: FileState,
  createdAt: time("When its upload began."),
  isLatest: z.boolean().openapi({ description: "Whether it is the newest version of its name.", examples: [true] }),
  healthyShards: count("Shards that are durable and not known to be lost.", 6),
  warnings: z.array(z.string()).openapi({
    description: "What its owner should know, such as that all shards are at one provider.",
    examples: [[]],
  }),
  sharedBy: z.string().optional().openapi({
    description: "The node that shared it, when it is not this node's own.",
    examples: [EXAMPLE_NODE],
  }),
}).openapi("File", { description: "One version of a file." });

export const FilePage = z.object({
  files: z.array(File).openapi({ description: "By name, then from the newest version to the oldest." }),
  folders: z.array(z.string()).openapi({
    description: "With a delimiter: what is common to the names that hold one behind the prefix.",
    examples: [["photos/"]],
  }),
  nextPageToken: z.string().openapi({
    description: "The `pageToken` of the next page; empty on the last one.",
    examples: [""],
  }),
}).openapi("FilePage");

export const ShardLease = z.object({
  quote: z.string().openapi({
    description: "The EIP-712 digest of the quote by which the shard is kept, one of `GET /v1/payments/quotes`.",
    examples: ["0x9a46d67bc5649f17bf422392b771fbe4716bc2d80df5ab83597e6097baa93177"],
  }),
  startsAt: z.int().openapi({
    description: "When it was granted, as it was signed: milliseconds since 1970.",
    examples: [1_800_000_000_000],
  }),
  expiresAt: z.int().openapi({
    description: "When it ends, as it was signed: milliseconds since 1970.",
    examples: [1_802_592_000_000],
  }),
  signature: z.string().openapi({
    description: "The provider's, over the EIP-712 type `Lease`: `0x` and 130 hex digits.",
    examples: [`0x${"5e".repeat(64)}1b`],
  }),
}).openapi("ShardLease", { description: "A provider's signed promise to keep a shard on the terms of a quote." });

export const ShardHealth = z.object({
  index: count("Its place among the file's shards.", 0),
  provider: z.string().openapi({ description: "Who keeps it, as `host:port`.", examples: ["127.0.0.1:8083"] }),
  providerId: z.string().optional().openapi({ description: "That node's id, where known.", examples: [EXAMPLE_NODE] }),
  region: z.string().optional().openapi({ description: "Where that node says it is.", examples: ["eu-west"] }),
  state: z.enum(["pending", "stored", "proven", "suspect", "lost"]).openapi({
    description: "How sure it is that the shard is there.",
    examples: ["proven"],
  }),
  leaseExpiresAt: time("Until when its provider has promised to keep it.").optional(),
  lastAuditAt: time("When it was last proven.").optional(),
  lease: ShardLease.optional().openapi({ description: "The provider's signed promise, where it is paid." }),
  lastError: z.string().optional().openapi({
    description: "What went wrong last.",
    examples: ["Cannot reach 127.0.0.1:8083"],
  }),
}).openapi("ShardHealth", { description: "One shard of a file." });

export const FileHealth = z.object({
  file: File,
  shards: z.array(ShardHealth).openapi({ description: "All of them, in order." }),
  margin: z.int().openapi({ description: "How many more shards may be lost before the file is.", examples: [2] }),
  risk: z.number().min(0).max(1).openapi({
    description: "The estimated chance to lose the file within a year, from its providers' scores.",
    examples: [0.000_01],
  }),
}).openapi("FileHealth", { description: "How safe a file is, and why." });

export const FileChange = z.strictObject({ name: FileName }).openapi("FileChange", {
  description: "What to change of a file: its name, of all versions.",
});

export const ShareRequest = z.strictObject({
  recipient: z.string().regex(/^[0-9a-f]{64}$/i).openapi({
    description: "The share key of the node that may read it (its `GET /v1/share-key`), 64 hex digits.",
    examples: ["8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"],
  }),
}).openapi("ShareRequest");

export const Unshared = z.object({
  told: z.array(z.string()).openapi({
    description: "Providers that refuse the old shares now.",
    examples: [["127.0.0.1:8083"]],
  }),
  pending: z.array(z.string()).openapi({
    description: "Those that could not be reached: they still take the old shares, and are told later.",
    examples: [[]],
  }),
}).openapi("Unshared");

export const ShareKey = z.object({
  shareKey: z.string().openapi({
    description: "This node's X25519 public key, to which others share files, 64 hex digits.",
    examples: ["8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"],
  }),
}).openapi("ShareKey");

/** A switch as a query carries it: `?x`, `?x=true` or `?x=1`. */
const Flag = z.preprocess(
  (value) =>
    value === "" || value === "true" || value === "1" ? true : value === "false" || value === "0" ? false : value,
  z.boolean(),
);

export const PutQuery = z.strictObject({
  policy: Policy.optional(),
  providers: z.preprocess(
    (value) => typeof value === "string" ? value.split(",").filter((each) => each !== "") : value,
    z.array(Target).min(1).max(64),
  ).optional().openapi({
    description:
      "Providers to use, as `host:port`: repeated, or with commas between. One means that all shards go there.",
    examples: [["127.0.0.1:8083"]],
  }),
  allowFewer: Flag.optional().openapi({
    description: "Take fewer distinct providers than shards rather than refuse.",
    examples: [true],
  }),
  resume: FileId.optional().openapi({
    description: "The id of an interrupted upload to go on with. Send the same bytes from the start.",
  }),
  sizeBytes: fromText(
    count("Bytes that will come, when the request has no Content-Length; another count fails the upload.", 48_213),
  )
    .optional(),
});

export const ListQuery = z.strictObject({
  prefix: z.string().max(4096).optional().openapi({
    description: "Only names that begin with it.",
    examples: ["photos/"],
  }),
  delimiter: z.string().max(16).optional().openapi({
    description: "Group names by what lies between the prefix and the next delimiter, as folders.",
    examples: ["/"],
  }),
  allVersions: Flag.optional().openapi({
    description: "Every version rather than the newest of each name.",
    examples: [false],
  }),
  pageSize: fromText(
    PageSize.openapi({ description: `The most files to return; ${DEFAULT_PAGE_SIZE} when it is left out.` }),
  )
    .optional(),
  pageToken: z.string().max(16_384).optional().openapi({
    description: "The `nextPageToken` of the page before.",
    examples: [""],
  }),
});

export const NameQuery = z.strictObject({ name: FileName, version: fromText(Version).optional() });

export const Download = Flag.optional().openapi({
  description: "Have a browser save the file rather than show it.",
  examples: [false],
});
