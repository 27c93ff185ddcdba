import assert from "node:assert/strict";
import { NATIVE_TOKEN, wei } from "../../src/core/mod.ts";
import { Books, toText } from "../../src/payments/books.ts";
import { Budget } from "../../src/payments/budget.ts";
import { Totals } from "../../src/payments/totals.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";
import { keyOf } from "./paid-nodes.ts";

const clock = { now: () => Date.UTC(2027, 0, 15) };
const DAY = "2027-01-15";
const [PEER, TOKEN] = [keyOf(1).nodeId, keyOf(2).nodeId];

test("totals of different tokens are apart, before and after a restart; those of earlier versions are the coin's", async () => {
  const { payments: store } = openMemoryStore();
  const old = { day: DAY, direction: "spent", peer: PEER, amount: 5n, items: 1 };
  await store.write([{ kind: "total", key: `${DAY}!spent!${PEER}`, text: toText(old) }], { durable: true });
  const books = new Books(store);
  const totals = new Totals(books, clock);
  await totals.load(store);
  totals.add("spent", { peer: PEER, token: NATIVE_TOKEN, amount: 2n, items: 1 });
  totals.add("spent", { peer: PEER, token: TOKEN, amount: 100n, items: 3 });
  const wanted = [{ ...old, token: NATIVE_TOKEN, amount: 7n, items: 2 }, {
    ...old,
    token: TOKEN,
    amount: 100n,
    items: 3,
  }];
  assert.deepEqual(totals.list(), wanted);
  await books.close();
  const again = new Totals(new Books(store), clock);
  await again.load(store);
  assert.deepEqual(again.list(), wanted);
});

test("caps count the smallest units of all tokens alike, so that no token is a way around them", () => {
  const totals = new Totals(new Books(openMemoryStore().payments), clock);
  totals.add("spent", { peer: PEER, token: NATIVE_TOKEN, amount: 40n, items: 1 });
  totals.add("spent", { peer: PEER, token: TOKEN, amount: 50n, items: 1 });
  for (
    const caps of [{ task: wei(0n), peer: wei(100n), day: wei(0n) }, { task: wei(0n), peer: wei(0n), day: wei(100n) }]
  ) {
    const budget = new Budget(caps, totals);
    assert.equal(budget.room(PEER), 10n);
    const held = { peer: 4n, all: 4n };
    assert.equal(budget.room(PEER, held), 6n);
    assert.throws(() => budget.reserve(PEER, wei(7n), held), { code: "cap_reached" });
    assert.throws(() => budget.reserve(PEER, wei(11n)), { code: "cap_reached" });
    budget.reserve(PEER, wei(10n));
  }
});

test("a cap counts the day that it is, also when the clock goes back to one that has been", () => {
  const later = { at: clock.now(), now: () => later.at };
  const totals = new Totals(new Books(openMemoryStore().payments), later);
  const add = (amount: bigint) => totals.add("spent", { peer: PEER, token: NATIVE_TOKEN, amount, items: 1 });
  const sums = () => [totals.of("spent", PEER), totals.sum("spent"), totals.sum("earned")];
  add(40n);
  add(-50n);
  add(7n);
  assert.deepEqual(sums(), [7n, 7n, 0n]);
  later.at += 86_400_000;
  assert.deepEqual(sums(), [0n, 0n, 0n]);
  add(2n);
  totals.add("spent", { peer: keyOf(3).nodeId, token: TOKEN, amount: 5n, items: 1 });
  assert.deepEqual(sums(), [2n, 7n, 0n]);
  later.at -= 86_400_000;
  assert.deepEqual(sums(), [7n, 7n, 0n]);
  assert.deepEqual(totals.list().map(({ day, amount }) => [day, amount]), [["2027-01-16", 2n], ["2027-01-16", 5n], [
    DAY,
    7n,
  ]]);
});
