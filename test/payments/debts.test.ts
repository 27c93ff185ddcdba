/** What is done on credit: vouchers that do not arrive, debts, and requesters that never pay. */
import assert from "node:assert/strict";
import {
  type Clock,
  NodeError,
  type PaymentDesk,
  systemClock,
  type TaskKey,
  type Usage,
  wei,
} from "../../src/core/mod.ts";
import { test, type TestScope } from "../testing.ts";
import { until } from "../e2e/harness.ts";
import { chargeDueWithoutChain } from "../../src/payments/mod.ts";
import { chainFor, ETHER, keyOf, paidNode, RATES } from "./paid-nodes.ts";

const signal = new AbortController().signal;
const LIMITS = { timeoutMs: 1000, memoryBytes: 1 << 20, outputBytes: 1000 };
const USAGE: Usage = { wallMicros: 1000, inputBytes: 5, outputBytes: 5, instructions: 100 };
const ORDER = { target: "p:1", limits: LIMITS, inputBytes: 5 };
const DEBT_AFTER_MS = 60_000;

/** A clock that tests put forward. */
function movedClock(): Clock & { move(ms: number): void } {
  let ahead = 0;
  return { ...systemClock, now: () => systemClock.now() + ahead, move: (ms) => void (ahead += ms) };
}

/** A desk that cannot be reached for payments until it is told to. */
function deafTo(desk: PaymentDesk): PaymentDesk & { hears: boolean; missed: number } {
  const deaf = {
    hears: false,
    missed: 0,
    offer: (at: AbortSignal) => desk.offer(at),
    quote: (...args: Parameters<PaymentDesk["quote"]>) => desk.quote(...args),
    account: (...args: Parameters<PaymentDesk["account"]>) => desk.account(...args),
    pay: (...args: Parameters<PaymentDesk["pay"]>) => {
      if (deaf.hears) return desk.pay(...args);
      deaf.missed++;
      return Promise.reject(new NodeError("target_unreachable", "The provider does not answer"));
    },
  };
  return deaf;
}

/** A requester with a channel to a provider that works for it on credit, and the terms of a task of its. */
async function onCredit(t: TestScope) {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, {
    key: payee,
    rates: RATES,
    credit: { base: wei(1000n), max: wei(0n), debtAfterMs: DEBT_AFTER_MS },
  });
  const requester = await paidNode(t, chain, {
    key: payer,
    retryMs: 20,
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  return { requester, provider, terms: { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 } };
}

test("a requester that takes results and never pays gets what the credit is worth, and then nothing", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, {
    key: payee,
    rates: RATES,
    credit: { base: wei(35n), max: wei(0n), debtAfterMs: DEBT_AFTER_MS },
  });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  await provider.earnings.quote(channelId, { requester: payer.nodeId, signal, requestId: "test" });
  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
  let done = 0;
  for (; done < 10; done++) {
    try {
      await provider.earnings.tasks.reserve(terms).settle(USAGE);
    } catch (error) {
      assert.equal((error as NodeError).code, "payment_required");
      break;
    }
  }
  assert.equal(done, 3, "three tasks of 10 wei are within a credit of 35");
  const [owing] = provider.admin.channels();
  assert.equal(owing!.charged - owing!.paid, 30n);
  assert.ok(owing!.owedSince !== undefined);
});

test("a voucher that does not arrive is sent again; meanwhile the work becomes a debt that ends the credit, until it is paid", async (t) => {
  const chain = await chainFor(t);
  const clock = movedClock();
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, {
    key: payee,
    rates: RATES,
    clock,
    credit: { base: wei(1000n), max: wei(0n), debtAfterMs: DEBT_AFTER_MS },
  });
  const desk = deafTo(provider.earnings);
  const requester = await paidNode(t, chain, { key: payer, retryMs: 20, desks: new Map([["p:1", () => desk]]) });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };

  const spending = await requester.spendings.tasks.reserve(ORDER);
  await provider.earnings.tasks.reserve(terms).settle(USAGE);
  await spending.commit(USAGE);
  await until(() => Promise.resolve(desk.missed > 2 ? true : undefined));
  assert.equal(requester.admin.channels()[0]!.paid, 10n, "the voucher is signed and kept");
  assert.equal(provider.admin.channels()[0]!.paid, 0n);

  clock.move(DEBT_AFTER_MS - 5000);
  await provider.chain.poll(); // the chain was asked long ago by this clock
  provider.earnings.tasks.reserve(terms).release();
  clock.move(5001);
  assert.throws(() => provider.earnings.tasks.reserve(terms), { code: "payment_required", message: /10 wei are owed/ });
  const { receipt, credit } = await provider.earnings.account(provider.admin.channels()[0]!.channelId);
  assert.deepEqual([receipt.charged, receipt.paid, credit], [10n, 0n, 0n]);

  desk.hears = true;
  await until(() => Promise.resolve(provider.admin.channels()[0]!.paid === 10n ? true : undefined));
  assert.equal(provider.admin.channels()[0]!.owedSince, undefined);
  provider.earnings.tasks.reserve(terms).release();
});

test("work on credit is paid soon although its requester has not asked for the result, and never what still runs", async (t) => {
  const { requester, provider, terms } = await onCredit(t);
  // Two asynchronous tasks: one has ended at the provider, the other still runs there.
  const [first, second] = [
    await requester.spendings.tasks.reserve(ORDER),
    await requester.spendings.tasks.reserve(ORDER),
  ];
  await provider.earnings.tasks.reserve(terms).settle(USAGE);
  const running = provider.earnings.tasks.reserve(terms);
  await until(() => Promise.resolve(provider.admin.channels()[0]!.paid > 0n ? true : undefined));
  assert.equal(provider.admin.channels()[0]!.paid, 10n);
  await running.settle(USAGE);
  await first.commit(USAGE);
  await second.commit(USAGE);
  await until(() => Promise.resolve(provider.admin.channels()[0]!.paid === 20n ? true : undefined));
  assert.equal(requester.admin.channels()[0]!.charged, 20n);
});

test("what failed work cost all the same is found out and paid soon, also when nothing else is asked for", async (t) => {
  const { requester, provider, terms } = await onCredit(t);
  const given = await requester.spendings.tasks.reserve(ORDER);
  const slow = provider.earnings.tasks.reserve(terms);
  given.release(new NodeError("canceled", "The reader needs it no more"));
  await slow.settle(USAGE);
  const books = () => [requester, provider].map(({ admin }) => admin.channels()[0]!);
  await until(() =>
    Promise.resolve(books().every(({ charged, paid }) => charged === 10n && paid === 10n) || undefined)
  );
  assert.equal(books()[0]!.state, "open");
});

test("a debt and its age survive a restart of the provider", async (t) => {
  const chain = await chainFor(t);
  const clock = movedClock();
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const { openMemoryStore } = await import("../../src/storage/mod.ts");
  const store = openMemoryStore().payments;
  const options = {
    key: payee,
    rates: RATES,
    clock,
    store,
    credit: { base: wei(1000n), max: wei(0n), debtAfterMs: DEBT_AFTER_MS },
  };
  const provider = await paidNode(t, chain, options);
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  await provider.earnings.quote(channelId, { requester: payer.nodeId, signal, requestId: "test" });
  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
  await provider.earnings.tasks.reserve(terms).settle(USAGE);
  await provider.close();
  clock.move(DEBT_AFTER_MS + 1000);
  const again = await paidNode(t, chain, options);
  assert.throws(() => again.earnings.tasks.reserve(terms), { code: "payment_required", message: /10 wei are owed/ });
});

test("a task that had ended but was not charged when its provider died is charged at the next start, and one that had not ended is not", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const { openMemoryStore } = await import("../../src/storage/mod.ts");
  const store = openMemoryStore().payments;
  const options = { key: payee, rates: RATES, store, credit: { base: wei(1000n), max: wei(0n), debtAfterMs: 60_000 } };
  const provider = await paidNode(t, chain, options);
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  await provider.earnings.quote(channelId, { requester: payer.nodeId, signal, requestId: "test" });
  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
  const begin = async (id: string) => {
    const reservation = provider.earnings.tasks.reserve(terms);
    await reservation.prepare({ requester: payer.nodeId, id }, USAGE);
    return reservation;
  };
  await (await begin("charged")).settle(USAGE);
  (await begin("failed to store")).release();
  await begin("ended 1");
  await begin("not ended");
  // The process dies here: what it had written is all that is left.
  const entries = await store.entries("earning");
  const copy = async () => {
    const left = openMemoryStore().payments;
    await left.write(entries.map(([key, text]) => ({ kind: "earning", key, text })), { durable: true });
    return left;
  };
  const left = await copy();
  const again = await paidNode(t, chain, { ...options, store: left });
  const asked: string[] = [];
  const chargeDue = () =>
    again.earnings.chargeDue(({ requester, id }) => {
      asked.push(id);
      return Promise.resolve(requester === payer.nodeId && id === "ended 1");
    });
  assert.equal(again.admin.channels()[0]!.charged, 10n);
  await chargeDue();
  assert.deepEqual(asked.sort(), ["ended 1", "not ended"]);
  assert.equal(again.admin.channels()[0]!.charged, 20n);
  assert.equal(again.admin.channels()[0]!.items, 2);
  await chargeDue();
  assert.equal(asked.length, 2, "nothing is due any more");
  const third = await paidNode(t, chain, { ...options, store: left });
  assert.equal(third.admin.channels()[0]!.charged, 20n, "the charge is in the books");

  // Started without its chain first, and with it again only when the records of the tasks are gone.
  const unchained = await copy();
  const hasEnded = ({ id }: TaskKey) => Promise.resolve(id === "ended 1");
  for (let start = 0; start < 2; start++) await chargeDueWithoutChain(unchained, { clock: systemClock, hasEnded });
  const later = await paidNode(t, chain, { ...options, store: unchained });
  await later.earnings.chargeDue(() => Promise.resolve(false));
  const [channel] = later.admin.channels();
  assert.deepEqual([channel!.charged, channel!.items], [20n, 2]);
  const earned = later.admin.totals().filter(({ direction }) => direction === "earned");
  assert.deepEqual(earned.map(({ amount, items }) => [amount, items]), [[10n, 1]], "counted on this day");
});
