import assert from "node:assert/strict";
import { exactMoney, isCoin, money } from "../../web/src/money.ts";
import { test } from "../testing.ts";

const COIN = `0x${"0".repeat(40)}`;
const TOKEN = "0x1234567890abcdef1234567890ABCDEF12345678";

test("amounts of the chain's coin are shown in coins, gwei and wei", () => {
  assert.deepEqual(["0", "12", "340000000000", "1250000000000000000"].map((amount) => money(amount, COIN)), [
    "0",
    "12 wei",
    "340 gwei",
    "1.25 coins",
  ]);
  assert.equal(exactMoney("12"), "12 wei");
  assert.ok(isCoin(undefined) && isCoin(COIN));
});

test("amounts of another token are in its smallest unit, and never taken for coins", () => {
  assert.equal(money("100000000", TOKEN), "100,000,000 units of 0x1234…5678");
  assert.equal(exactMoney("100000000", TOKEN), `100000000 of the smallest unit of ${TOKEN}`);
  assert.equal(money("0", TOKEN), "0");
  assert.ok(!isCoin(TOKEN));
});
