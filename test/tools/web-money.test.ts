import assert from "node:assert/strict";
import { COIN, exactMoney, isCoin, money, nameOf, parseMoney, sumsOf, unitsOf } from "../../web/src/money.ts";
import { test } from "../testing.ts";

const ADDRESS = "0x1234567890abcdef1234567890ABCDEF12345678";
const USDC = { address: ADDRESS, symbol: "USDC", decimals: 6 };
const FINE = { address: ADDRESS, symbol: "FINE", decimals: 18 };

test("amounts of the chain's coin are shown in coins, gwei and wei", () => {
  assert.deepEqual(["0", "12", "340000000000", "1250000000000000000", "1000000000000000000"].map((one) => money(one)), [
    "0",
    "12 wei",
    "340 gwei",
    "1.25 coins",
    "1 coin",
  ]);
  assert.equal(exactMoney("12"), "12 wei");
  assert.ok(isCoin(undefined) && isCoin(COIN) && !isCoin(ADDRESS));
});

test("amounts of a token have its symbol, its decimals and, always, its address", () => {
  assert.equal(money("1250000", USDC), "1.25 USDC (0x1234…5678)");
  assert.equal(money("1", USDC), "0.000001 USDC (0x1234…5678)");
  assert.equal(money("1234567000000", USDC), "1,234,567 USDC (0x1234…5678)");
  assert.equal(money("0", USDC), "0");
  assert.equal(exactMoney("1250000", USDC), `1250000 of the smallest unit of USDC (${ADDRESS})`);
  assert.equal(money("100000000000001", FINE), "≈ 0.0001 FINE (0x1234…5678)");
  assert.equal(money("99999999999999", FINE), "99,999,999,999,999 units of FINE (0x1234…5678)", "six digits hid most");
  assert.equal(money("5", { ...USDC, decimals: 0 }), "5 USDC (0x1234…5678)");
  assert.equal(money("1", { ...USDC, decimals: 36 }), "1 unit of USDC (0x1234…5678)");
  assert.equal(money("1000000000000000000", { ...USDC, symbol: "ETH", decimals: 18 }), "1 ETH (0x1234…5678)");
});

test("amounts of a token that does not tell all are never taken for coins", () => {
  assert.equal(money("100000000", { address: ADDRESS }), "100,000,000 units of 0x1234…5678");
  assert.equal(money("100000000", { address: ADDRESS, symbol: "MKR" }), "100,000,000 units of MKR (0x1234…5678)");
  assert.equal(money("1250000", { address: ADDRESS, decimals: 6 }), "1.25 of 0x1234…5678");
  assert.equal(exactMoney("100000000", { address: ADDRESS }), `100000000 of the smallest unit of ${ADDRESS}`);
  assert.deepEqual([undefined, USDC, { address: ADDRESS }].map(nameOf), ["coins", "USDC (0x1234…5678)", "0x1234…5678"]);
});

test("amounts are typed in the units of their token, to the last digit and no further", () => {
  assert.deepEqual(unitsOf(undefined).map(({ digits }) => digits), [18, 9, 0]);
  assert.deepEqual(unitsOf(USDC), [{ name: "USDC", digits: 6 }, { name: "smallest unit", digits: 0 }]);
  assert.deepEqual(unitsOf({ address: ADDRESS }), [{ name: "smallest unit", digits: 0 }]);
  assert.deepEqual(unitsOf({ address: ADDRESS, decimals: 6 })[0], { name: "whole tokens", digits: 6 });
  assert.equal(parseMoney("1.25", 6), 1_250_000n);
  assert.equal(parseMoney(" 0.000001 ", 6), 1n);
  assert.equal(parseMoney("0.0000001", 6), undefined);
  assert.equal(parseMoney("1.5", 0), undefined);
  assert.equal(parseMoney("15", 0), 15n);
  assert.equal(parseMoney("0.000000000000000000000000000000000001", 36), 1n);
  assert.equal(parseMoney("99", 36), 99n * 10n ** 36n);
  assert.equal(parseMoney("100", 36), undefined, "the node takes 38 digits");
  for (const text of ["", "-1", "1e3", "1,000", "0x1", "."]) assert.equal(parseMoney(text, 18), undefined, text);
});

test("sums are of one token each, the coin first, and none of 0", () => {
  const amounts = [{ token: ADDRESS, amount: "5" }, { token: COIN, amount: "1" }, { amount: 2n }];
  assert.deepEqual(sumsOf([...amounts, { token: ADDRESS, amount: 7n }]), [
    { token: COIN, amount: 3n },
    { token: ADDRESS, amount: 12n },
  ]);
  assert.deepEqual(sumsOf([{ token: COIN, amount: "0" }, { token: ADDRESS, amount: 1n }]), [{
    token: ADDRESS,
    amount: 1n,
  }]);
  assert.deepEqual(sumsOf([]), []);
});
