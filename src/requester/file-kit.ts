import type { Clock, Log } from "../core/mod.ts";
import type { Identity, RandomSource } from "../codec/mod.ts";
import type { FileBook } from "./file-book.ts";
import type { FileMetrics } from "./file-metrics.ts";
import type { CustodyHolder, FileStore } from "./file-ports.ts";
import type { FileSettings } from "./file-settings.ts";
import type { ProviderPool } from "./provider-pool.ts";
import type { ProviderScores } from "./provider-scores.ts";

/** What all parts of the file requester work with. */
export interface FileKit {
  readonly store: FileStore;
  readonly book: FileBook;
  readonly pool: ProviderPool;
  readonly scores: ProviderScores;
  readonly clock: Clock;
  /** Measures how long something waits: it does not jump. */
  readonly steady: Clock;
  readonly log: Log;
  readonly metrics: FileMetrics;
  readonly settings: FileSettings;
  readonly random: RandomSource;
  /** Opens the headers of own files, and wraps the keys of new ones. */
  readonly master: Identity & { readonly type: "master" };
  /** Opens the headers of files that others shared with this node. */
  readonly share: Identity & { readonly type: "x25519" };
  /** Keeps what providers put at stake on shards; absent where there is no contract for that. */
  readonly custody?: CustodyHolder;
  /** Files whose shards are on their way after the put was acknowledged, or are being repaired: upkeep leaves them alone. */
  readonly busy: Set<string>;
  /** Aborts when the requester closes. */
  readonly closing: AbortSignal;
}
