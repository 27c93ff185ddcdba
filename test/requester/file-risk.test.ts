import assert from "node:assert/strict";
import fc from "fast-check";
import { riskOf } from "../../src/requester/file-risk.ts";
import { test } from "../testing.ts";

const DAY = 86_400_000;
const YEAR = 365.25 * DAY;

function assertClose(actual: number, wanted: number, what = ""): void {
  assert.ok(Math.abs(actual - wanted) <= 1e-9 + 1e-6 * wanted, `${what} ${actual} is not ${wanted}`);
}

/** Chances away from 0 and 1, where they are told apart. */
const chances = (shards: number) =>
  fc.array(fc.double({ min: 0.01, max: 0.999, noNaN: true }), { minLength: shards, maxLength: shards });

test("riskOf() of a file that needs every shard is the chance that not all providers serve the year", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 20 }).chain(chances),
    fc.integer({ min: 1, max: 365 * 24 }),
    (reliabilities, hours) => {
      const all = reliabilities.reduce((product, chance) => product * chance, 1);
      assertClose(riskOf(reliabilities, { needed: reliabilities.length, repairMs: hours * 3_600_000 }), 1 - all);
    },
  ));
});

test("riskOf() of copies that are never repaired is the chance that all of them go", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 10 }).chain(chances), (reliabilities) => {
    const none = reliabilities.reduce((product, chance) => product * (1 - chance), 1);
    assertClose(riskOf(reliabilities, { needed: 1, repairMs: YEAR }), none);
    assertClose(riskOf(reliabilities, { needed: 1, repairMs: 3 * YEAR }), none, "a longer span:");
  }));
});

test("riskOf() of equal providers is what the binomial says, compounded over the spans of a year", () => {
  const [shards, needed, reliability, spans] = [6, 4, 0.9, 365.25];
  const goes = 1 - reliability ** (1 / spans);
  let lost = 0;
  for (let left = 0; left < needed; left++) {
    let ways = 1;
    for (let i = 0; i < left; i++) ways = ways * (shards - i) / (i + 1);
    lost += ways * (1 - goes) ** left * goes ** (shards - left);
  }
  const risk = riskOf(Array.from({ length: shards }, () => reliability), { needed, repairMs: DAY });
  assert.ok(Math.abs(risk / (1 - (1 - lost) ** spans) - 1) < 1e-3, `${risk}`);
});

test("riskOf() falls with every shard more, rises as a provider's score falls, and with the time that a repair takes", () => {
  const options = { needed: 4, repairMs: DAY };
  const of = (count: number, reliability = 0.9) => Array.from({ length: count }, () => reliability);
  for (let shards = 4; shards < 10; shards++) {
    const [less, more] = [riskOf(of(shards), options), riskOf(of(shards + 1), options)];
    assert.ok(more < less / 10, `${shards + 1} shards: ${more} after ${less}`);
    let before = less;
    for (const bad of [0.7, 0.5, 0.1, 0.01]) {
      const risk = riskOf([...of(shards - 1), bad], options);
      assert.ok(risk > before, `${shards} shards, one at ${bad}: ${risk} after ${before}`);
      before = risk;
    }
    assert.ok(riskOf(of(shards), { ...options, repairMs: 10 * DAY }) >= less);
  }
  assert.ok(riskOf(of(6), { ...options, repairMs: 10 * DAY }) > 10 * riskOf(of(6), options));
});

test("riskOf() is 1 with fewer shards than are needed, 0 with providers that never fail, and a chance always", () => {
  assert.equal(riskOf([0.9, 0.9, 0.9], { needed: 4, repairMs: DAY }), 1);
  assert.equal(riskOf([], { needed: 1, repairMs: DAY }), 1);
  assert.equal(riskOf([1, 1], { needed: 2, repairMs: DAY }), 0);
  assertClose(riskOf([0, 1], { needed: 2, repairMs: DAY }), 1);
  assert.equal(riskOf([1, 0], { needed: 1, repairMs: DAY }), 0);
  fc.assert(fc.property(
    fc.array(fc.double({ min: -1, max: 2, noNaN: true }), { maxLength: 12 }),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 2 ** 40 }),
    (reliabilities, needed, repairMs) => {
      const risk = riskOf(reliabilities, { needed, repairMs });
      assert.ok(risk >= 0 && risk <= 1, `${risk}`);
    },
  ));
});
