import { randomBytes } from "node:crypto";
import {
  type Clock,
  type Metrics,
  newSecretKey,
  NodeError,
  type NodeId,
  nodeKeyOf,
  noMetrics,
  type ShardService,
  silentLog,
  SteadyClock,
  systemClock,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { ShardUpkeep } from "../../src/provider/shard-upkeep.ts";
import {
  createFileRequester,
  type CustodyHolder,
  DEFAULT_FILE_SETTINGS,
  fileKeyringOf,
  type FileRequester,
  type FileSettings,
  type ProviderOffer,
  type StorageLedger,
} from "../../src/requester/mod.ts";
import { FileTable } from "../../src/storage/file-table.ts";
import { GroupCommit } from "../../src/storage/group-commit.ts";
import { MemoryEngine } from "../../src/storage/memory-engine.ts";
import { openMemoryShardStore } from "../../src/storage/mod.ts";
import type { BudgetTime } from "../../src/requester/byte-budget.ts";
import type { TestScope } from "../testing.ts";

const LIMITS = { maxShardBytes: 2 ** 40, maxLeaseMs: 366 * 86_400_000, graceMs: 3_600_000, uploadTtlMs: 3_600_000 };

/** A provider in this process, and a way to make it misbehave. */
export interface Provider {
  readonly target: string;
  readonly nodeId: NodeId;
  shards: ShardService;
  down: boolean;
  readonly upkeep: ShardUpkeep;
  readonly clocks: ReturnType<FakeTime["clocks"]>;
}

function systemClocks(): ReturnType<FakeTime["clocks"]> {
  return { clock: systemClock, steady: systemClock, setWrongBy: () => {} };
}

/** Time that tests own: it passes for all alike, and each has a clock on the wall that may be wrong. */
export class FakeTime {
  #passedMs = 0;

  pass(ms: number): void {
    this.#passedMs += ms;
  }

  clocks(): { readonly clock: Clock; readonly steady: Clock; setWrongBy(ms: number): void } {
    let wrongByMs = 0;
    const clock = { now: () => START_MS + this.#passedMs + wrongByMs };
    return {
      clock,
      steady: new SteadyClock({ clock, monotonicMs: () => this.#passedMs }),
      setWrongBy: (ms) => void (wrongByMs = ms),
    };
  }
}

const START_MS = 1_800_000_000_000;

export interface SwarmOptions {
  /** By default the machine's. */
  readonly time?: FakeTime;
  readonly count?: number;
  /** What is known of each provider whenever one is looked for; by default nothing. */
  readonly offer?: (provider: Provider, place: number) => Omit<ProviderOffer, "target">;
  readonly settings?: Partial<FileSettings>;
  readonly budgetTime?: BudgetTime;
  /** By default all is free of charge. */
  readonly ledger?: StorageLedger;
  readonly custody?: CustodyHolder;
  /** What the requester measures; by default it is thrown away. */
  readonly metrics?: Metrics;
}

export async function swarm(t: TestScope, options: SwarmOptions = {}) {
  const { count = 8, offer, settings = {}, time, budgetTime, ledger = freeLedger, custody, metrics = noMetrics } =
    options;
  const providers: Provider[] = [];
  for (let i = 0; i < count; i++) {
    const key = nodeKeyOf(newSecretKey());
    const clocks = time?.clocks() ?? systemClocks();
    const { shards: store, close } = await openMemoryShardStore({ clock: clocks.clock });
    t.after(close);
    const upkeep = new ShardUpkeep({ store, ...clocks, log: silentLog, limits: LIMITS });
    t.after(() => upkeep.close());
    const shards = createShardProvider({
      store,
      key,
      ledger: freeLedger,
      limits: LIMITS,
      ...clocks,
      log: silentLog,
      metrics: noMetrics,
    });
    t.after(() => shards.close());
    providers.push({ target: `127.0.0.1:${9000 + i}`, nodeId: key.nodeId, shards, down: false, upkeep, clocks });
  }
  const at = (target: string): Provider => {
    const found = providers.find((provider) => provider.target === target);
    if (found === undefined || found.down) throw new NodeError("target_unreachable", `Cannot reach ${target}`);
    return found;
  };
  /** Reaches the provider as it is when it is called, and not when it was dialled. */
  const dial = (target: string): ShardService =>
    new Proxy({} as ShardService, {
      get: (_, method: keyof ShardService) => async (...args: unknown[]) =>
        await (at(target).shards[method] as (...all: unknown[]) => Promise<unknown>)(...args),
    });
  const clocks = time?.clocks() ?? systemClocks();
  const key = nodeKeyOf(newSecretKey());
  const self = key.nodeId;
  const engine = new MemoryEngine();
  const store = new FileTable(engine, new GroupCommit(engine, { sync: false, forgetZeros: true }));
  const masterKey = randomBytes(32);
  /** The requester; once that is closed another one over the same store, as after a restart. */
  const open = (): FileRequester => {
    const files = createFileRequester({
      store,
      dial,
      peers: { info: (target) => Promise.resolve().then(() => ({ nodeId: at(target).nodeId }) as never) },
      providers: () => providers.map((one, place) => ({ target: one.target, ...offer?.(one, place) })),
      ledger,
      ...(custody && { custody }),
      self,
      key,
      keys: fileKeyringOf(masterKey),
      settings: { ...DEFAULT_FILE_SETTINGS, stallMs: 5000, ...(time && { auditBytesPerSecond: 2 ** 40 }), ...settings },
      ...clocks,
      ...(budgetTime && { budgetTime }),
      log: silentLog,
      metrics,
    });
    t.after(() => files.close());
    return files;
  };
  const never = new AbortController().signal;
  const ctx = (signal = never) => ({ requester: self, signal, requestId: "r1" });
  return { files: open(), open, ctx, providers, store, engine, masterKey, clocks };
}

/** A requester over providers that are all in this process. */
export type Swarm = Awaited<ReturnType<typeof swarm>>;

/** Has a provider answer some calls otherwise than it does by itself. */
export function bend(provider: Provider, change: (honest: ShardService) => Partial<ShardService>): void {
  const changed = change(provider.shards);
  provider.shards = new Proxy(provider.shards, {
    get: (target, method: keyof ShardService) =>
      changed[method] ?? (target[method] as (...all: unknown[]) => unknown).bind(target),
  });
}

/** A copy of the bytes, which is the put's. */
export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(bytes);
}

export async function readAll({ files, ctx }: Swarm, id: string): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of (await files.open({ id }, ctx())).read(undefined, ctx().signal)) all.push(piece.slice());
  return Buffer.concat(all);
}

export async function settled({ files, ctx }: Swarm, id: string) {
  for (;;) {
    const health = await files.health({ id }, ctx());
    if (health.shards.every(({ state }) => state !== "pending")) return health;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
