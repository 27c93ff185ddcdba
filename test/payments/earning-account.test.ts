import assert from "node:assert/strict";
import { type Hex32, NATIVE_TOKEN, wei } from "../../src/core/mod.ts";
import { fromText } from "../../src/payments/books.ts";
import { EarningAccount } from "../../src/payments/earning-account.ts";
import { test } from "../testing.ts";
import { keyOf } from "./paid-nodes.ts";

const channelId = `0x${"0a".repeat(32)}` as Hex32;

function openAccount(): EarningAccount {
  const { nodeId } = keyOf(1);
  const terms = { payer: nodeId, signer: nodeId, token: NATIVE_TOKEN, exitDelay: 60, exitAt: 0 };
  return new EarningAccount({
    channelId,
    chain: { ...terms, deposit: wei(100n), claimed: wei(0n) },
    paid: wei(40n),
    charged: wei(0n),
    items: 0,
    sequence: 0,
    closed: false,
  });
}

test("an account is written as it is: after charges, a debt, a credit, and changes between them", () => {
  const account = openAccount();
  const steps = [
    () => account.reserve(wei(30n), () => 0n),
    () => account.settle(wei(30n), wei(20n), { nowMs: 1 }),
    () => account.change({ sequence: 1 }),
    () => account.reserve(wei(30n), () => 10n),
    () => account.settle(wei(30n), wei(30n), { nowMs: 2 }),
    () => account.refund(wei(20n)),
    () => account.expect("0x1 task", wei(7n)),
    () => account.forget("0x1 task"),
  ];
  for (const step of steps) {
    step();
    assert.deepEqual(fromText(account.text()), account.state);
  }
  assert.deepEqual([account.state.charged, account.state.items, account.reserved], [30n, 1, 0n]);
});

test("a voucher that is being written is in the text, with what is charged meanwhile, and counts once it is on disk", () => {
  const account = openAccount();
  const signature = new Uint8Array([1, 2]);
  const voucher = { channelId, cumulative: wei(60n) };
  account.text();
  account.hold(voucher, signature);
  account.reserve(wei(5n), () => 0n);
  account.settle(wei(5n), wei(5n), { nowMs: 1 });
  assert.deepEqual(fromText(account.text()), { ...account.state, paid: 60n, signature });
  assert.equal(account.paid, 40n);
  account.count(voucher, signature);
  assert.deepEqual(fromText(account.text()), account.state);
  assert.equal(account.paid, 60n);
});
