import type {
  AccessTokens,
  Alert,
  Clock,
  FileService,
  Log,
  ModuleKeeping,
  ModuleService,
  NodeDescriber,
  PaymentAdmin,
  PeerAdmin,
  PeerDirectory,
  PluginInfo,
  RateLimiter,
  RequesterId,
  ShardKey,
  ShardRecord,
  TaskRouter,
  Tracer,
  UploadSpool,
} from "../core/mod.ts";
import type { MetricsRegistry } from "./metrics.ts";

/** What REST needs of the plugin registry. Every method throws a NodeError; `ref` is `name`, `name@version` or a SHA-256. */
export interface PluginAdmin {
  list(): readonly PluginInfo[];
  /** Throws `plugin_not_found`. */
  get(ref: string): PluginInfo;
  /** Installs a WASM module. Throws `module_invalid`, or `invalid_argument` when the bytes do not have the digest. */
  installBytes(bytes: Uint8Array, options: { readonly sha256?: string }): Promise<PluginInfo>;
  /** Downloads a WASM module and installs it when it has the digest. */
  installUrl(url: string, options: { readonly sha256: string; readonly signal: AbortSignal }): Promise<PluginInfo>;
  setEnabled(ref: string, enabled: boolean): Promise<PluginInfo>;
  remove(ref: string): Promise<void>;
}

/** What the health routes ask. Both answers come from memory: they are asked often and must not wait. */
export interface HealthSource {
  /** Whether the process works at all; `false` asks a supervisor to restart it. */
  live(): boolean;
  /** Whether it takes requests now, and if not, why. */
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] };
}

/** One setting as the node runs with it; a secret has no value, only whether it is set. */
export interface EffectiveSetting {
  readonly key: string;
  /** As people read it; absent when it is not set. */
  readonly value?: string;
  readonly secret: boolean;
  /** Where it comes from: a flag, a variable, a file, or the default. */
  readonly source: string;
  readonly description: string;
}

/** Bounds of the HTTP listener and of what it serves. */
export interface RestLimits {
  /** The largest request body, in bytes. */
  readonly maxBodyBytes: number;
  /** The longest time that a request's head, or a body that is read whole, may take to arrive, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** The longest pause inside a body, between requests of a connection, and of a reader of a stream, in milliseconds. */
  readonly idleTimeoutMs: number;
  /** The largest request line and headers together, in bytes. */
  readonly maxHeaderBytes: number;
  /** The most event streams open at once. */
  readonly maxEventStreams: number;
  /** The most connections open at once; further ones are closed at once. */
  readonly maxConnections: number;
}

/** The limits that a node has when its configuration names none. */
export const DEFAULT_REST_LIMITS: RestLimits = {
  maxBodyBytes: 64 << 20, // 64 MiB
  requestTimeoutMs: 60_000,
  idleTimeoutMs: 30_000,
  maxHeaderBytes: 16 << 10, // 16 KiB
  maxEventStreams: 256,
  maxConnections: 4096,
};

/** The files that REST serves. */
export interface FileFace {
  readonly service: FileService;
  /** The largest file that may be put, in bytes; `RestLimits.maxBodyBytes` is not for uploads. */
  readonly maxFileBytes: number;
  /** Holds uploads that can go on; without it there are no routes for them. */
  readonly spool?: UploadSpool;
}

/** The modules that tasks bring along. */
export interface ModuleFace {
  /** Takes them, from the node's owner too. */
  readonly service: ModuleService;
  readonly kept: Pick<ModuleKeeping, "list" | "get" | "remove">;
}

/** What a provider's operator may see of the shards that the node keeps. */
export interface ShardKeeping {
  usage(): {
    readonly shards: number;
    readonly bytes: number;
    /** Set aside for uploads, open and interrupted. */
    readonly uploadBytes: number;
    readonly quotaBytes: number;
    readonly freeBytes: number;
  };
  /** Shards of all owners in the order of their owners and ids, behind the given one. */
  list(after: ShardKey | undefined, limit: number): Promise<readonly ShardRecord[]>;
}

/** What {@link createRestApp} is built from. */
export interface RestAppOptions {
  readonly tasks: TaskRouter;
  /** Without it there are no routes for files. */
  readonly files?: FileFace;
  /** Without it there are no routes for the shards that the node keeps. */
  readonly shards?: ShardKeeping;
  readonly plugins: PluginAdmin;
  /** Without it there are no routes for modules that are not installed. */
  readonly modules?: ModuleFace;
  readonly node: NodeDescriber;
  readonly peers: PeerDirectory;
  /** The peers that the node knows; without it there are no routes for them. */
  readonly peerBook?: PeerAdmin;
  /** Without it, on a node that works free of charge, there are no routes for payments. */
  readonly payments?: PaymentAdmin;
  readonly health: HealthSource;
  readonly metrics: MetricsRegistry;
  /** What the operator should know now; nothing by default. */
  readonly alerts?: () => readonly Alert[];
  /** The effective configuration, for people to read; without it there is no such route. */
  readonly settings?: () => readonly EffectiveSetting[];
  /** Reads the configuration anew; without it there is no such route. Throws `config_invalid`. */
  readonly reload?: () => { readonly applied: readonly string[]; readonly needRestart: readonly string[] };
  /** Makes a backup of keys and files; without it there is no such route. */
  readonly backup?: (passphrase: string) => AsyncIterable<Uint8Array>;
  /** Who asks when a call comes in here: the node's own id, since REST belongs to its owner. */
  readonly requester: RequesterId;
  readonly log: Log;
  readonly clock: Clock;
  readonly limits: RestLimits;
  /** Refuses who calls too often; without it nobody does. */
  readonly limiter?: RateLimiter;
  /** Traces requests; without it none is. */
  readonly tracer?: Tracer | undefined;
  /** The tokens of which every route but the open ones wants one; without them, or while they are not required, none is. */
  readonly tokens?: AccessTokens;
  /** A secret of 32 bytes under which logins of the web page are signed; without it they end with the process. */
  readonly loginKey?: Uint8Array;
  /**
   * When set, the only names (`localhost`, `[::1]`) or names with a port (`node.example:3000`) that a Host header may
   * carry: without this check a website could reach a loopback listener by letting its own name resolve to 127.0.0.1.
   */
  readonly allowedHosts?: readonly string[];
  /** Origins of other sites, such as `http://localhost:5173`, whose pages may call this API; none by default. */
  readonly allowedOrigins?: readonly string[];
  /** Aborts when the node begins to drain: open event streams end, so that the listener can close soon. */
  readonly stopping?: AbortSignal;
  /** How often a silent event stream gets a comment, in milliseconds; 15 s by default. */
  readonly eventHeartbeatMs?: number;
}
