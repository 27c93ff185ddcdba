import type { CallContext } from "./task.ts";
import type { ByteSpan, StoredLease } from "./shard.ts";
import type { NodeId } from "./ids.ts";

/**
 * How safe a file is: `uploading` until enough shards are durable, `stored` from then on, `replicated` when all are, `proven` when each has
 * passed an audit since; `degraded` when shards are lost but it can be read, `lost` when too many are; `removed` while its shards are freed.
 */
export type FileState = "uploading" | "stored" | "replicated" | "proven" | "degraded" | "lost" | "removed";

export const FILE_STATES = ["uploading", "stored", "replicated", "proven", "degraded", "lost", "removed"] as const;

/** How a file is spread: any k of k + m shards suffice. */
export interface FilePolicy {
  readonly dataShards: number;
  readonly parityShards: number;
}

/** The policy that a checked text such as `4+2` names: data shards and parity shards. */
export function policyOf(text: string): FilePolicy {
  const [dataShards, parityShards] = text.split("+").map(Number) as [number, number];
  return { dataShards, parityShards };
}

/** One version of a file, as its owner's node knows it. Times are milliseconds since the epoch. */
export interface FileRecord {
  /** 32 lower-case hex digits: the id of these sealed bytes, one for each version. */
  readonly id: string;
  /** 1 to 4,096 bytes of UTF-8; a slash has no meaning but to {@link FileQuery.delimiter}. */
  readonly name: string;
  /** Counts the versions of a name, from 1. */
  readonly version: number;
  readonly contentType: string;
  /** Plaintext bytes; what has come so far while it is uploading. */
  readonly sizeBytes: number;
  /** SHA-256 of the plaintext in lower-case hex; empty while uploading. */
  readonly sha256: string;
  readonly policy: FilePolicy;
  readonly state: FileState;
  readonly createdAt: number;
  /** Whether this is the newest version of its name. */
  readonly isLatest: boolean;
  /** Shards that are durable and not known to be lost. */
  readonly healthyShards: number;
  /** Things that the owner should know, such as that all shards are at one provider. */
  readonly warnings: readonly string[];
  /** Whose file it is, when it was shared to this node. */
  readonly sharedBy?: NodeId;
}

export interface PutFileOptions {
  readonly name: string;
  /** Empty means application/octet-stream. */
  readonly contentType: string;
  readonly policy?: FilePolicy;
  /** Plaintext bytes that will come, when known; another count fails the put. */
  readonly sizeBytes?: number;
  /** Providers to use, as `host:port`; by default the node's own choice. One means that all shards go there. */
  readonly targets?: readonly string[];
  /** Take fewer distinct providers than shards rather than refuse. */
  readonly allowFewer?: boolean;
  /** An interrupted upload to go on with: the id of its record. The source gives the same bytes from the start. */
  readonly resume?: string;
  readonly onProgress?: (progress: FileProgress) => void;
}

export interface FileProgress {
  /** Plaintext bytes that were sealed and sent, or read and opened. */
  readonly bytes: number;
  readonly totalBytes?: number;
  /** Shards that take part now, and of how many. */
  readonly shards: number;
  readonly shardCount: number;
}

/** Names a version: by name (the newest), by name and version, or by id. */
export type FileRef =
  | { readonly id: string }
  | { readonly name: string; readonly version?: number };

/** A file that is being read. */
export interface OpenedFile {
  readonly record: FileRecord;
  /** Reads a range, by default all; ending the iteration stops the work. May be called several times. What it gives is the asker's from then on. */
  read(range: ByteSpan | undefined, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface FileQuery {
  /** Only names that begin with it. */
  readonly prefix: string;
  /** Groups names by what lies between the prefix and the next delimiter, as folders; empty lists every name. */
  readonly delimiter: string;
  /** Every version, or the newest of each name. */
  readonly allVersions: boolean;
  /** 1 to 1000. */
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

export interface FilePage {
  readonly files: readonly FileRecord[];
  /** Common prefixes, when a delimiter is given. */
  readonly folders: readonly string[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** One shard as its file's owner sees it. */
export interface ShardHealth {
  readonly index: number;
  /** `host:port`, and the node id where known. */
  readonly provider: string;
  readonly providerId?: NodeId;
  readonly region?: string;
  readonly state: "pending" | "stored" | "proven" | "suspect" | "lost";
  readonly leaseExpiresAt?: number;
  /** The provider's signed promise, where it is paid. */
  readonly lease?: StoredLease;
  readonly lastAuditAt?: number;
  readonly lastError?: string;
}

export interface FileHealth {
  readonly record: FileRecord;
  readonly shards: readonly ShardHealth[];
  /** How many more shards may be lost before the file is. */
  readonly margin: number;
  /** The estimated chance to lose it within a year, from the providers' scores; 0 to 1. */
  readonly risk: number;
}

/** Who knows that the shares of a file were taken back. Providers as `host:port`. */
export interface Unshared {
  readonly told: readonly string[];
  /** Those that could not be reached: they still take the old shares, and are told later. */
  readonly pending: readonly string[];
}

/** What happens to files, for progress displays. */
export interface FileEvent {
  readonly type: "progress" | "state" | "shard" | "audit" | "repair" | "removed";
  readonly fileId: string;
  readonly at: number;
  readonly record?: FileRecord;
  readonly progress?: FileProgress;
  readonly shard?: ShardHealth;
  readonly message?: string;
}

/**
 * Keeps files on other nodes. `requester/` implements it; `rest/`, `rpc/` and so the CLI serve it. Every method throws a NodeError:
 * `not_found` for a file that is not there, `shards_missing` when too few providers answer, `data_corrupt` when bytes fail their check.
 */
export interface FileService {
  /**
   * Stores a file; returns when enough shards are durable. A name that is taken gets a new version. The chunks of the source are the put's from then
   * on, which may give their memory back.
   */
  put(source: AsyncIterable<Uint8Array>, options: PutFileOptions, ctx: CallContext): Promise<FileRecord>;
  open(ref: FileRef, ctx: CallContext): Promise<OpenedFile>;
  stat(ref: FileRef, ctx: CallContext): Promise<FileRecord>;
  list(query: FileQuery, ctx: CallContext): Promise<FilePage>;
  /** Gives all versions of a name another one, which must be free. */
  rename(ref: FileRef, name: string, ctx: CallContext): Promise<FileRecord>;
  /** Removes a version, or with a plain name all of them; its shards are freed at the providers, later where one cannot be reached. */
  remove(ref: FileRef, ctx: CallContext): Promise<void>;
  health(ref: FileRef, ctx: CallContext): Promise<FileHealth>;
  /** Audits all shards of a file now. */
  audit(ref: FileRef, ctx: CallContext): Promise<FileHealth>;
  /** Rebuilds lost and suspect shards at other providers now. */
  repair(ref: FileRef, ctx: CallContext): Promise<FileHealth>;
  /** The manifest with a stanza for another node's X25519 key (64 hex digits), for it to import, and capabilities to read the shards. */
  share(ref: FileRef, recipient: string, ctx: CallContext): Promise<Uint8Array>;
  /**
   * Takes back every share of a file: providers refuse the capabilities in them. Those that cannot be reached are told later. Throws
   * `permission_denied` for another's file.
   */
  unshare(ref: FileRef, ctx: CallContext): Promise<Unshared>;
  /** This node's X25519 public key, to which others share. */
  shareKey(): string;
  exportManifest(ref: FileRef, ctx: CallContext): Promise<Uint8Array>;
  importManifest(bytes: Uint8Array, ctx: CallContext): Promise<FileRecord>;
  /** Events of one file, or of all, from now on. */
  watch(fileId: string | undefined, ctx: CallContext): AsyncIterable<FileEvent>;
}
