/** What tokens tell of themselves, on a real chain. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { encodeAbiParameters, encodeErrorResult, erc20Abi, stringToHex, toFunctionSelector } from "viem";
import { isSymbol, MAX_SYMBOL, NATIVE_TOKEN, type NodeId, parseNodeId, systemClock, wei } from "../../src/core/mod.ts";
import { Chain } from "../../src/payments/chain.ts";
import type { LocalChain } from "../../src/payments/local-chain.ts";
import { Tokens } from "../../src/payments/tokens.ts";
import { silentLog } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { chainFor, keyOf, paidNode, RATES } from "./paid-nodes.ts";
import { deployToken, type TestToken } from "./tokens.ts";

const SYMBOL = toFunctionSelector("symbol()");
const DECIMALS = toFunctionSelector("decimals()");
const text = (value: string) => encodeAbiParameters([{ type: "string" }], [value]);
const number = (value: bigint) => encodeAbiParameters([{ type: "uint256" }], [value]);
const signal = new AbortController().signal;

async function reader(t: TestScope, { url, chainId, channels }: LocalChain, clock = systemClock) {
  const chain = await Chain.open({
    rpcUrls: [url],
    chainId,
    channels,
    registry: undefined,
    confirmations: 0,
    maxHeadAgeMs: 0,
    pollMs: 60_000,
    clock: systemClock,
    log: silentLog,
  });
  t.after(() => chain.close());
  return { chain, tokens: new Tokens({ chain, clock }) };
}

async function answering(token: TestToken, { symbol, decimals }: { symbol: string; decimals: string }): Promise<void> {
  await token.send("answer", [SYMBOL, symbol, false]);
  await token.send("answer", [DECIMALS, decimals, false]);
}

test("a token's symbol and decimals are read once and kept, whatever its contract tells later", async (t) => {
  const chain = await chainFor(t);
  const token = await deployToken(chain, "NamedToken");
  await token.send("tell", ["USDC", 6]);
  const { tokens } = await reader(t, chain);
  const wanted = { address: token.address, symbol: "USDC", decimals: 6 };
  assert.deepEqual(await Promise.all([tokens.of(token.address), tokens.of(token.address)]), [wanted, wanted]);
  await token.send("tell", ["ETH", 18]);
  assert.deepEqual(await tokens.of(token.address), wanted);
});

test("decimals from 0 to 36 are taken, and no others", async (t) => {
  const chain = await chainFor(t);
  for (const [decimals, taken] of [[0n, 0], [36n, 36], [37n, undefined], [1n << 255n, undefined]] as const) {
    const token = await deployToken(chain, "AnsweringToken");
    await answering(token, { symbol: text("TOK"), decimals: number(decimals) });
    const { tokens } = await reader(t, chain);
    const wanted = { address: token.address, symbol: "TOK", ...(taken !== undefined && { decimals: taken }) };
    assert.deepEqual(await tokens.of(token.address), wanted);
  }
});

test("what is no text that can be shown is no symbol, and nothing is thrown", async (t) => {
  const chain = await chainFor(t);
  const { tokens: none } = await reader(t, chain);
  assert.deepEqual(await none.of(keyOf(9).nodeId), { address: keyOf(9).nodeId }, "an account without code");
  const offset = number((1n << 256n) - 1n);
  const symbols = {
    "bytes32, as of MKR": stringToHex("MKR", { size: 32 }),
    "nothing": "0x",
    "a place beyond the answer": `${offset}${number(3n).slice(2)}`,
    "a length beyond the answer": `${number(32n)}${"f".repeat(64)}`,
    "too long": text("A".repeat(MAX_SYMBOL + 1)),
    "much too long": text("A".repeat(5000)),
    "turned around": text("\u202eHTE"),
    "two lines": text("ETH\nUSD"),
    "not UTF-8": `${number(32n)}${number(1n).slice(2)}ff${"0".repeat(62)}`,
  };
  for (const [what, symbol] of Object.entries(symbols)) {
    const token = await deployToken(chain, "AnsweringToken");
    await answering(token, { symbol, decimals: number(8n) });
    const { tokens } = await reader(t, chain);
    assert.deepEqual(await tokens.of(token.address), { address: token.address, decimals: 8 }, what);
  }
});

test("a contract that never comes to an end tells nothing, and keeps nobody waiting", async (t) => {
  const chain = await chainFor(t);
  const address = parseNodeId(`0x${"5a".repeat(20)}`);
  await chain.rpc("anvil_setCode", [address, "0x5b600056"]);
  const { tokens } = await reader(t, chain);
  assert.deepEqual(await tokens.of(address), { address });
});

test("a contract cannot have the node fetch a URL (ERC-3668)", async (t) => {
  const chain = await chainFor(t);
  const { tokens, chain: read } = await reader(t, chain);
  let fetched = 0;
  const server = createServer((_, response) => {
    fetched++;
    response.end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  const token = await deployToken(chain, "AnsweringToken");
  const inputs = ["address", "string[]", "bytes", "bytes4", "bytes"].map((type, i) => ({ name: `a${i}`, type }));
  const lookup = encodeErrorResult({
    abi: [{ type: "error", name: "OffchainLookup", inputs }] as const,
    errorName: "OffchainLookup",
    args: [token.address, [`http://127.0.0.1:${(server.address() as AddressInfo).port}/`], "0x", SYMBOL, "0x"],
  });
  await token.send("answer", [SYMBOL, lookup, true]);
  const allowance = { address: token.address, abi: erc20Abi, functionName: "allowance" } as const;
  await token.send("answer", [toFunctionSelector("allowance(address,address)"), lookup, true]);
  assert.deepEqual(await tokens.of(token.address), { address: token.address });
  await assert.rejects(read.client.readContract({ ...allowance, args: [NATIVE_TOKEN, NATIVE_TOKEN] }));
  assert.equal(fetched, 0);
});

test("a contract that told nothing is asked again after a minute; a chain that is away is not", async (t) => {
  const chain = await chainFor(t);
  let now = 1_000_000;
  const token = await deployToken(chain, "AnsweringToken");
  await token.send("answer", [DECIMALS, number(6n), false]);
  const { tokens, chain: read } = await reader(t, chain, { now: () => now });
  const first = { address: token.address, decimals: 6 };
  assert.deepEqual(await tokens.of(token.address), first);
  await answering(token, { symbol: text("LATE"), decimals: number(18n) });
  now += 59_999;
  assert.deepEqual(await tokens.of(token.address), first);
  now += 1;
  assert.deepEqual(await tokens.of(token.address), { ...first, symbol: "LATE" }, "and the decimals stay");
  const away = new Tokens({ chain: { client: read.client, healthy: () => false }, clock: systemClock });
  assert.deepEqual(await away.of(token.address), { address: token.address });
});

test("who asks waits a bounded time for a chain that does not answer", async () => {
  const client = { call: () => new Promise(() => {}) } as unknown as Chain["client"];
  const tokens = new Tokens({ chain: { client, healthy: () => true }, clock: systemClock, waitMs: 20 });
  const address = keyOf(3).nodeId;
  assert.deepEqual(await tokens.of(address), { address });
});

test("isSymbol() takes what tokens are called, and nothing that could pass for something else", () => {
  for (const symbol of ["ETH", "USDC.e", "1INCH", "USD₮0", "$WIF", "€", "stETH", "A".repeat(MAX_SYMBOL)]) {
    assert.ok(isSymbol(symbol), symbol);
  }
  const bad = ["", " ", "US DC", "000", "1.5", "A".repeat(MAX_SYMBOL + 1), "ETH\u200b", "\u202eHTE", "ЕТН", "(ETH)"];
  for (const symbol of [...bad, "0x12…ab", "ETH\n", "E\u0301", "אבג", "<b>", "a,b", "ETH\0"]) {
    assert.ok(!isSymbol(symbol), JSON.stringify(symbol));
  }
});

test("the books keep tokens apart, tell of those they deal in, and open no channel in another than was meant", async (t) => {
  const chain = await chainFor(t);
  const token = await deployToken(chain, "NamedToken");
  await token.send("tell", ["TOK", 2]);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, { key: payee, rates: { ...RATES, token: token.address } });
  const coins = await paidNode(t, chain, { key: keyOf(3), rates: RATES });
  const desks = new Map([["p:1", () => provider.earnings], ["c:1", () => coins.earnings]]);
  const requester = await paidNode(t, chain, { key: payer, desks });
  await token.mint(payer.nodeId, 1000n);
  const info = { address: token.address, symbol: "TOK", decimals: 2 };

  assert.deepEqual(await provider.admin.tokens(), [info], "that of its prices");
  assert.deepEqual(await requester.admin.tokens(), []);
  assert.equal((await requester.admin.offerOf("p:1", signal))?.rates.token, token.address);
  assert.deepEqual(await requester.admin.token(token.address.toLowerCase() as NodeId), info);
  const meant = (wanted: NodeId) => ({ signal, token: wanted });
  for (const [target, other] of [["p:1", NATIVE_TOKEN], ["c:1", token.address]] as const) {
    await assert.rejects(requester.admin.open(target, wei(100n), meant(other)), {
      code: "failed_precondition",
      message: /wants to be paid in/,
    });
  }
  await requester.admin.open("p:1", wei(100n), meant(token.address));
  await requester.admin.open("c:1", wei(100n), meant(NATIVE_TOKEN));
  assert.deepEqual(await requester.admin.tokens(), [info]);

  const usage = { wallMicros: 1000, inputBytes: 5, outputBytes: 5, instructions: 100 };
  const limits = { timeoutMs: 1000, memoryBytes: 1 << 20, outputBytes: 1000 };
  for (const [target, desk] of [["p:1", provider], ["c:1", coins]] as const) {
    const spending = await requester.spendings.tasks.reserve({ target, limits, inputBytes: 5 });
    await desk.earnings.tasks.reserve({ requester: payer.nodeId, limits, inputBytes: 5 }).settle(usage);
    await spending.commit(usage);
  }
  const sums = requester.admin.totals().map(({ peer, token, amount, items }) => ({ peer, token, amount, items }));
  assert.deepEqual(
    new Set(sums.map((one) => JSON.stringify({ ...one, amount: String(one.amount) }))),
    new Set(
      [[payee.nodeId, token.address], [keyOf(3).nodeId, NATIVE_TOKEN]]
        .map(([peer, paidIn]) => JSON.stringify({ peer, token: paidIn, amount: "10", items: 1 })),
    ),
  );
  await provider.admin.claim();
  const { credit, credits } = await provider.admin.summary();
  assert.ok(credit > 0n);
  assert.deepEqual(credits, [{ token: NATIVE_TOKEN, amount: 0n }, { token: token.address, amount: credit }]);
});
