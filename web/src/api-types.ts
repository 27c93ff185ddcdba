// What the API answers with, as far as the page uses it; the OpenAPI document has all of it.

import type { Token } from "./money.ts";

export interface NodeInfo {
  readonly nodeId: string;
  readonly name: string;
  readonly version: string;
  readonly plugins: readonly Plugin[];
  /** The largest module of a requester that it takes; absent or 0 when it takes none. */
  readonly moduleBytes?: number;
  readonly limits: {
    readonly inputBytes: number;
    readonly outputBytes: number;
    readonly memoryBytes: number;
    readonly timeoutMs: number;
    readonly instructions?: number;
  };
}

/** A module that tasks bring along. */
export interface Module {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly name: string;
  readonly version: string;
  readonly functions: readonly string[];
}

export interface PluginFunction {
  readonly name: string;
  readonly inputContentType: string;
  readonly outputContentType: string;
  readonly description: string;
}

export interface Plugin {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  readonly runtime: "wasm" | "grpc";
  readonly functions: readonly PluginFunction[];
  readonly description: string;
  readonly isDefault: boolean;
  readonly enabled: boolean;
  readonly ready: boolean;
  readonly problem?: string;
  readonly address?: string;
  readonly sizeBytes?: number;
  readonly gpu?: { readonly running: number; readonly waiting: number };
  readonly used?: {
    readonly calls: number;
    readonly failed: number;
    readonly wallMicros: number;
    readonly instructions: number;
    readonly gpuMicros: number;
  };
}

export const TASK_STATES = ["queued", "running", "succeeded", "failed", "canceled", "expired"] as const;
export type TaskState = typeof TASK_STATES[number];

export interface Usage {
  readonly wallMicros: number;
  readonly gpuMicros?: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly instructions: number;
}

/** A provider's signed word on a task that succeeded. */
export interface TaskReceipt {
  readonly provider: string;
  readonly taskId: string;
  readonly requester: string;
  readonly plugin: string;
  readonly function: string;
  readonly inputSha256: string;
  readonly outputSha256: string;
  readonly usage: Usage;
  readonly finishedAt: number;
  readonly terms?: { readonly channelId: string; readonly charge: string };
  readonly signature: string;
}

export interface Task {
  readonly id: string;
  readonly target?: string;
  readonly plugin: string;
  readonly resolvedPlugin: string;
  readonly pluginSha256: string;
  readonly function: string;
  readonly contentType: string;
  readonly limits: { readonly timeoutMs: number; readonly memoryBytes: number; readonly outputBytes: number };
  readonly state: TaskState;
  readonly reason?: string;
  readonly message?: string;
  readonly createdAt: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly expiresAt?: string;
  readonly attempts: number;
  readonly usage?: Usage;
  readonly outputContentType?: string;
  readonly nondeterministic?: readonly string[];
  readonly inputSha256: string;
  readonly outputSha256?: string;
  readonly receipt?: TaskReceipt;
}

export interface Stats {
  readonly stepMs: number;
  readonly at: readonly number[];
  readonly values: Readonly<Record<string, readonly (number | null)[] | undefined>>;
}

export interface Sample {
  readonly at: number;
  readonly ready: { readonly ready: boolean; readonly reasons: readonly string[] };
  readonly alerts: readonly { readonly name: string; readonly message: string; readonly since: string }[];
  readonly values: Readonly<Record<string, number | undefined>>;
}

export interface Setting {
  readonly key: string;
  readonly value?: string;
  readonly secret: boolean;
  readonly isSet: boolean;
  readonly source: string;
  readonly description: string;
}

export type FileState = "uploading" | "stored" | "replicated" | "proven" | "degraded" | "lost" | "removed";

export interface FileRecord {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly contentType: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly policy: { readonly dataShards: number; readonly parityShards: number };
  readonly state: FileState;
  readonly createdAt: string;
  readonly isLatest: boolean;
  readonly healthyShards: number;
  readonly warnings: readonly string[];
  readonly sharedBy?: string;
}

export interface FilePage {
  readonly files: readonly FileRecord[];
  readonly folders: readonly string[];
  readonly nextPageToken: string;
}

export interface ShardHealth {
  readonly index: number;
  readonly provider: string;
  readonly providerId?: string;
  readonly region?: string;
  readonly state: "pending" | "stored" | "proven" | "suspect" | "lost";
  readonly leaseExpiresAt?: string;
  readonly lastAuditAt?: string;
  readonly lastError?: string;
}

export interface FileHealth {
  readonly file: FileRecord;
  readonly shards: readonly ShardHealth[];
  readonly margin: number;
  readonly risk: number;
}

/** Amounts are texts: whole numbers of the token's smallest unit. */
/** What the node keeps for others. */
export interface ShardUsage {
  readonly shards: number;
  readonly bytes: number;
  readonly uploadBytes: number;
  readonly quotaBytes: number;
  readonly freeBytes: number;
}

export interface PaymentSummary {
  readonly chainId: number;
  readonly channels: string;
  readonly account: string;
  readonly balance: string;
  readonly credits: readonly { readonly token: string; readonly amount: string }[];
  readonly head: string;
  readonly healthy: boolean;
}

export interface Receipt {
  readonly sequence: number;
  readonly charged: string;
  readonly paid: string;
  readonly items: number;
  readonly issuedAt: string;
  readonly signature: string;
}

export interface Channel {
  readonly channelId: string;
  readonly role: "payer" | "payee";
  readonly peer: string;
  readonly target?: string;
  readonly token: string;
  readonly deposit: string;
  readonly charged: string;
  readonly paid: string;
  readonly claimed: string;
  readonly items: number;
  readonly state: "open" | "exiting" | "closed" | "disputed";
  readonly receipt?: Receipt;
  readonly voucher?: string;
}

/** A promise to keep a shard or to lose stake. */
export interface CustodyStatement {
  readonly id: string;
  readonly role: "provider" | "requester";
  readonly provider: string;
  readonly requester: string;
  readonly shard: string;
  readonly fileId?: string;
  readonly expiresAt: string;
  readonly penalty: string;
  readonly lost: boolean;
  readonly released: boolean;
  readonly challenge?: { readonly state: "open" | "answered" | "slashed" | "done"; readonly deadline?: string };
}

export interface DayTotal {
  readonly day: string;
  readonly direction: "spent" | "earned";
  readonly peer: string;
  readonly token: string;
  readonly amount: string;
  readonly items: number;
}

/** What a provider wants; without an offer it works free of charge. */
export interface ProviderOffer {
  readonly target: string;
  readonly offer?: { readonly provider: string; readonly rates: Readonly<Record<string, string>> };
  readonly token?: Token;
}

export interface PeerClaims {
  readonly name: string;
  readonly version: string;
  readonly region: string;
  readonly plugins: readonly { readonly name: string; readonly version: string; readonly ready: boolean }[];
  readonly offer?: {
    readonly chainId: number;
    readonly rates: Readonly<Record<string, string>>;
    readonly expiresAt: string;
  };
  readonly offerProblem?: string;
  readonly keepsShards: boolean;
}

export interface Peer {
  readonly target: string;
  readonly sources: readonly ("static" | "added" | "registry")[];
  readonly nodeId?: string;
  readonly reachability: "reachable" | "unreachable" | "unknown";
  readonly blocked: boolean;
  readonly score: number;
  readonly experience: { readonly good: number; readonly bad: number; readonly lastError?: string };
  readonly latencyMs?: number;
  readonly lastSeenAt?: string;
  readonly lastProbeAt?: string;
  readonly problem?: string;
  readonly claims?: PeerClaims;
}

export interface PeerList {
  readonly peers: readonly Peer[];
  readonly total: number;
}
