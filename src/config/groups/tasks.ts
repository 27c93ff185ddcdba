import * as z from "zod";
import { duration, integer, size } from "../setting.ts";

/** Tasks. */
export const tasks = z.strictObject({
  maxQueued: integer({
    default: 4096,
    min: 1,
    max: 10_000_000,
    description: "Tasks that may wait. One more is refused as overloaded, with a time to try again",
  }),
  maxQueuedBytes: size({
    default: "128MiB",
    min: 2 ** 10,
    max: 2 ** 40,
    description: "Inputs that may wait in memory, over all tasks. An eighth of a host with 1 GiB",
  }),
  maxRunning: integer({
    default: 0,
    min: 0,
    max: 10_000,
    description:
      "Tasks in the hands of plugins at once; 0 means 32 for each of plugins.workers, so that a worker never waits between small ones",
  }),
  maxAttempts: integer({
    default: 3,
    min: 1,
    max: 100,
    description:
      "How often a task may be begun when the node stops under it. After that it fails as interrupted, since it may be what stops the node",
  }),
  queueTimeoutMs: duration({
    default: "10m",
    min: 100,
    max: 604_800_000,
    description: "A task that waited this long expires, since whoever asked has likely given up",
  }),
  defaultTimeoutMs: duration({
    default: "30s",
    min: 1,
    max: 86_400_000,
    description: "How long a task may run in its plugin when it does not say",
  }),
  maxTimeoutMs: duration({
    default: "10m",
    min: 1,
    max: 86_400_000,
    description: "The longest run that a task may ask for",
  }),
  defaultMemoryBytes: size({
    default: "64MiB",
    min: 2 ** 16,
    max: 2 ** 32,
    description: "The memory of a task that does not say. A Go plugin needs 5 MiB to start, a Rust one 1 MiB",
  }),
  maxMemoryBytes: size({
    default: "512MiB",
    min: 2 ** 16,
    max: 2 ** 32,
    description: "The most memory that a task may ask for. WASM ends at 4 GiB",
  }),
  maxInputBytes: size({
    default: "64MiB",
    min: 1,
    max: 2 ** 32,
    description: "The largest input. A WASM plugin holds it whole, unless it takes it as a stream",
  }),
  defaultOutputBytes: size({
    default: "16MiB",
    min: 1,
    max: 2 ** 32,
    description: "The largest output of a task that does not say",
  }),
  maxOutputBytes: size({
    default: "64MiB",
    min: 1,
    max: 2 ** 32,
    description: "The largest output that a task may ask for",
  }),
  defaultInstructions: integer({
    default: 100_000_000_000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    description:
      "The most instructions of a WASM plugin for a task that does not say: some 30 s of work. One that spends them is stopped, and its worker goes on",
  }),
  maxInstructions: integer({
    default: 2_000_000_000_000,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    description: "The most instructions that a task may ask for",
  }),
  inputIdleMs: duration({
    default: "30s",
    min: 100,
    max: 86_400_000,
    description: "How long a streamed task may wait for its next piece of input before it fails",
  }),
  retentionMs: duration({
    default: "24h",
    min: 1000,
    max: 31_536_000_000,
    description: "How long a finished task and its output are kept, and so how long its id is idempotent",
  }),
  maxStoredBytes: size({
    default: "8GiB",
    min: 1 << 20,
    max: 2 ** 50,
    description:
      "What kept tasks may take together: records, inputs of those that wait, outputs. Beyond it no more are kept until some are dropped",
  }),
  maxStoredBytesPerRequester: size({
    default: "2GiB",
    min: 1 << 20,
    max: 2 ** 50,
    description: "What the kept tasks of one requester may take",
  }),
  maxStoredOutputBytes: size({
    default: "16MiB",
    min: 0,
    max: 2 ** 32,
    description: "The largest output that is kept. A larger one goes to the callers that wait for it, and is not kept",
  }),
});
