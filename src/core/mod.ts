/**
 * The words that every other folder speaks: errors, ids, tasks, plugins, usage, money, and the small interfaces (clock, log,
 * metrics) through which the outside is passed in. Nothing here imports anything local; the only I/O is in `runtime.ts`, which
 * finds the program's own files, `networks.ts`, which looks up names, `close-server.ts`, which ends servers, and `heap.ts`, which tells
 * V8 when to collect.
 */
export * from "./access-tokens.ts";
export * from "./alert.ts";
export * from "./bandwidth.ts";
export * from "./call-scope.ts";
export * from "./capability.ts";
export * from "./clock.ts";
export * from "./close-server.ts";
export * from "./steady-clock.ts";
export * from "./confined.ts";
export * from "./cost-table.ts";
export * from "./custody.ts";
export * from "./deal.ts";
export * from "./errors.ts";
export * from "./file.ts";
export * from "./heap.ts";
export * from "./identity.ts";
export * from "./ids.ts";
export * from "./keyed-queue.ts";
export * from "./log.ts";
export * from "./metrics.ts";
export * from "./module.ts";
export * from "./networks.ts";
export * from "./no-gpu.ts";
export * from "./node-info.ts";
export * from "./peer.ts";
export * from "./permissions.ts";
export * from "./payment-store.ts";
export * from "./payment-tables.ts";
export * from "./payment.ts";
export * from "./plugin.ts";
export * from "./price.ts";
export * from "./rate-limiter.ts";
export * from "./release.ts";
export * from "./runtime.ts";
export * from "./receipt.ts";
export * from "./request-mac.ts";
export * from "./request-scope.ts";
export * from "./session-form.ts";
export * from "./session.ts";
export * from "./short-proof.ts";
export * from "./shard-lease.ts";
export * from "./shard-receipt.ts";
export * from "./shard.ts";
export * from "./slot-list.ts";
export * from "./stored-file.ts";
export * from "./stored-request.ts";
export * from "./stored-task.ts";
export * from "./target.ts";
export * from "./task-digest.ts";
export * from "./task-id.ts";
export * from "./task-position.ts";
export * from "./task-receipt.ts";
export * from "./task-router.ts";
export * from "./task.ts";
export * from "./token.ts";
export * from "./trace.ts";
export * from "./typed-data.ts";
export * from "./upload.ts";
export * from "./usage.ts";
export * from "./verification.ts";
export * from "./version.ts";
export * from "./wei.ts";
