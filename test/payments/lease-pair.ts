/** A requester and a provider that keeps its shards for pay: real chain, real desks. */
import {
  type Clock,
  noMetrics,
  type PutShardOrder,
  type Settlement,
  type ShardReceipt,
  silentLog,
  systemClock,
  wei,
} from "../../src/core/mod.ts";
import type { Caps } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { PaidShards } from "../../src/requester/paid-shards.ts";
import { openMemoryShardStore, openMemoryStore } from "../../src/storage/mod.ts";
import type { TestScope } from "../testing.ts";
import { chainFor, ETHER, keyOf, paidNode, RATES } from "./paid-nodes.ts";

const signal = new AbortController().signal;
export const [payer, payee, thief] = [keyOf(1), keyOf(2), keyOf(3)];
export const HOUR = 3_600_000;
export const ID = "0f8a3c5d9b2e47618c0d4e7fa1b2c3d4";
export const SIZE = 4096;
export const ORDER = { id: ID, maxBytes: SIZE, leaseMs: 24 * HOUR };
export const PRICES = { ...RATES, gibHour: wei(10n ** 9n), gibWritten: wei(10n ** 9n) };
export const CTX = { requester: payer.nodeId, signal, requestId: "test" };

function movedClock(): Clock & { move(ms: number): void } {
  let ahead = 0;
  return { now: () => systemClock.now() + ahead, move: (ms) => void (ahead += ms) };
}

/** A copy of the bytes, which is the put's. */
export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(bytes);
}

/**
 * A requester and a provider with a channel between them, and what lies between their answers: `before` runs on the way there, and `alter` changes what
 * the provider says.
 */
export async function pair(
  t: TestScope,
  { free = false, caps }: { readonly free?: boolean; readonly caps?: Caps } = {},
) {
  const chain = await chainFor(t);
  const at: Settlement = { chainId: chain.chainId, channels: chain.channels };
  const clock = movedClock();
  const books = openMemoryStore().payments;
  const provider = await paidNode(t, chain, { key: payee, clock, ...(!free && { rates: PRICES }) });
  const requester = await paidNode(t, chain, {
    key: payer,
    clock,
    store: books,
    window: wei(ETHER / 10n),
    ...(caps !== undefined && { caps }),
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  if (!free) await requester.admin.open("p:1", wei(ETHER), { signal });
  const { shards: store, close } = await openMemoryShardStore({ clock });
  t.after(close);
  const limits = { maxShardBytes: 1 << 30, maxLeaseMs: 1000 * HOUR, graceMs: HOUR, uploadTtlMs: HOUR };
  const served = createShardProvider({
    store,
    key: payee,
    ledger: provider.earnings.storage,
    limits,
    clock,
    steady: clock,
    log: silentLog,
    metrics: noMetrics,
  });
  t.after(() => served.close());
  const between = {
    before: async (): Promise<void> => {},
    alter: (receipt: ShardReceipt): ShardReceipt => receipt,
    /** Whether the provider is of a version that knows of no names of quotes in orders. */
    isOld: false,
  };
  const shards = new PaidShards({
    target: "p:1",
    provider: payee.nodeId,
    ledger: requester.spendings.storage,
    shards: new Proxy(served, {
      get: (target, method: keyof typeof served) => async (...args: unknown[]) => {
        await between.before();
        const sent = between.isOld ? unnamed(method, args) : args;
        const answer = await (target[method] as (...all: unknown[]) => Promise<unknown>)(...sent);
        return method === "put" || method === "renew" ? between.alter(answer as ShardReceipt) : answer;
      },
    }),
  });
  const quotes = () => requester.admin.quotes();
  const spent = () => requester.admin.channels()[0]!.charged;
  const earned = () => provider.admin.channels()[0]!.charged;
  return { at, books, clock, provider, requester, served, shards, between, quotes, spent, earned };
}

function unnamed(method: string, args: readonly unknown[]): readonly unknown[] {
  if (method === "renew") return args.slice(0, 3);
  if (method !== "put") return args;
  const [source, { quote: _, ...order }, ctx] = args as [unknown, PutShardOrder, unknown];
  return [source, order, ctx];
}
