import assert from "node:assert/strict";
import { type Hex32, NATIVE_TOKEN, systemClock, wei } from "../../src/core/mod.ts";
import { Books } from "../../src/payments/books.ts";
import { SpendingAccounts } from "../../src/payments/spending-accounts.ts";
import { Totals } from "../../src/payments/totals.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";
import { keyOf } from "./paid-nodes.ts";

const PROVIDER = keyOf(1).nodeId;
const channelOf = (byte: string) => `0x${byte.repeat(32)}` as Hex32;

test("a channel that is over stays in the books when its target is paid on the provider's other one", async () => {
  const books = new Books(openMemoryStore().payments);
  const accounts = new SpendingAccounts({ books, totals: new Totals(books, systemClock) });
  const terms = { provider: PROVIDER, token: NATIVE_TOKEN, deposit: wei(100n) };
  await accounts.adopt("one:8081", { ...terms, channelId: channelOf("0a") });
  await accounts.adopt("other:8081", { ...terms, channelId: channelOf("0b") });
  const ending = accounts.of("one:8081")!;
  await accounts.note(ending, { state: "exiting" });
  await accounts.move(accounts.openWith(PROVIDER, NATIVE_TOKEN)!, "one:8081");

  assert.equal(accounts.of("one:8081")?.state.channelId, channelOf("0b"));
  assert.equal(accounts.of("other:8081"), undefined);
  assert.equal(accounts.find(channelOf("0a")), ending);
  assert.deepEqual(accounts.all().map(({ state }) => state.channelId), [channelOf("0b"), channelOf("0a")]);
});
