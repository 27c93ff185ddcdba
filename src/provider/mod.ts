/**
 * What a provider does with tasks. `createTaskProvider` gives the node's own {@link TaskService}.
 *
 * A task comes in through one of two doors. A synchronous one without an id goes straight through: reserve, a slot, the
 * plugin, settle, answer ({@link QuickRuns}); nothing is stored. Any other is named by its requester and id
 * ({@link TaskIntake}): when it is known, the caller joins it or gets its stored result; when not, it is stored and becomes a
 * {@link LiveTask}. The {@link Scheduler} bounds how many run and how many wait; the {@link TaskRunner} takes each to its end and
 * keeps the store in step, so that whatever a caller was told is true after a crash as well. Streams and watchers read from
 * an {@link EventChannel}, which bounds what a slow reader can hold. {@link TaskUpkeep} takes up what an earlier process left and
 * drops what is over.
 *
 * `createModuleProvider` gives the {@link ModuleService} that takes the modules of requesters.
 *
 * `createShardProvider` gives the node's own {@link ShardService}. {@link ShardIntake} takes the bytes of shards and makes their trees,
 * {@link ShardLeases} grants, extends and takes back their leases, and {@link ShardUpkeep} drops what nobody renews.
 *
 * The plugin host, the store and the ledger are interfaces declared here (`ports.ts`).
 */
export { createModuleProvider, type ModuleProviderOptions, type ModuleStore } from "./module-provider.ts";
export { DEFAULT_SETTINGS, type TaskProviderOptions, type TaskSettings } from "./options.ts";
export type { Ledger, PluginHost, Reservation, TaskQuote, TaskStore } from "./ports.ts";
export { createTaskProvider, type TaskProvider } from "./task-provider.ts";
export type { RecoverResult } from "./task-upkeep.ts";
export type {
  ShardStore,
  ShardTotals,
  ShardUpload,
  StorageLedger,
  StorageQuote,
  StorageReservation,
  StorageUsage,
} from "./shard-ports.ts";
export { paceShards } from "./paced-shards.ts";
export {
  createShardProvider,
  type ShardLimits,
  type ShardProvider,
  type ShardProviderOptions,
} from "./shard-provider.ts";
