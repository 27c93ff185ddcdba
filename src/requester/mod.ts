/**
 * What a requester does with tasks. `createTaskRequester` gives the {@link TaskRouter} that REST and the command line go
 * through: `at(target)` is the service of a provider elsewhere ({@link RemoteTasks}), which sets the most that a task may cost
 * aside, sends it, checks the answer and pays; `at("")` is this node itself ({@link OwnTasks}), which also knows the tasks that
 * it submitted elsewhere, since each is recorded ({@link RequestBook}) before it is sent; `any(wish)` ({@link AnyTasks}) chooses the provider;
 * `verified(wish)` ({@link VerifiedTasks}) runs a task at several and compares.
 *
 * A task that names a module which only this node has takes it along ({@link ModuleTasks}).
 *
 * The store, the ledger and the way to dial are interfaces declared here (`ports.ts`).
 */
export type { ProviderChooser } from "./any-tasks.ts";
export type { ModuleSource } from "./module-tasks.ts";
export type { Ledger, RequestStore, Reservation, TaskOrder } from "./ports.ts";
export { createTaskRequester, type TaskRequester, type TaskRequesterOptions } from "./task-requester.ts";
export type {
  CustodyHolder,
  FileStore,
  ProviderOffer,
  StorageLedger,
  StorageOrder,
  StorageReservation,
} from "./file-ports.ts";
export { checkFiles, type FileCheck } from "./check-files.ts";
export { type FileKeyring, fileKeyringOf } from "./file-keyring.ts";
export { createFileRequester, type FileRequester, type FileRequesterOptions } from "./file-requester.ts";
export { DEFAULT_FILE_SETTINGS, type FileSettings } from "./file-settings.ts";
export { type BackupEntry, type BackupOptions, createBackup, readBackup } from "./backup.ts";
