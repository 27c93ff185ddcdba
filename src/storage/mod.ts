/**
 * What a node keeps: one LevelDB, in sublevels. Tables ({@link TaskTable}, {@link RequestTable}, {@link FileTable}, {@link MetaTable}) know keys,
 * records and indexes, and turn each step into a list of key changes. {@link GroupCommit} gathers the changes of one tick, adds
 * the totals they move, and writes them as one LevelDB batch; with `sync` that batch is flushed to the disk when somebody is
 * told of it. The engine below holds LevelDB open, turns its failures into errors that name the cure, and reopens it
 * after a failed write. The same tables run on an engine in memory.
 *
 * Shards have a database of their own, tuned for large values under rising keys ({@link LevelShardStore}, docs/storage.md).
 *
 * A schema version is kept from the first day; `openStore` migrates older stores and refuses newer ones.
 */
export * from "./open-store.ts";
export { freeBytes } from "./level-engine.ts";
export type { FileTable } from "./file-table.ts";
export type { MetaTable } from "./meta-table.ts";
export type { RequestRange, RequestTable } from "./request-table.ts";
export { type Migration, SCHEMA_VERSION } from "./schema.ts";
export type { TaskTable, TaskTotals } from "./task-table.ts";
export type { BookProblem } from "./books.ts";
export type { CheckOptions, ShardCheck } from "./check-shards.ts";
export type { StoreCheck } from "./check-store.ts";
export * from "./open-shard-store.ts";
export { LevelShardStore, type ShardStoreSettings, type ShardStoreStats } from "./shard-store.ts";
export { FolderSpool, type UploadSpoolOptions } from "./upload-spool.ts";
