/** Money over REST, of a node that deals in a token, on a real chain. */
import assert from "node:assert/strict";
import { NATIVE_TOKEN, NodeError, wei } from "../../src/core/mod.ts";
import * as schemas from "../../src/rest/payment-schemas.ts";
import { ProblemSchema } from "../../src/rest/problem-schema.ts";
import { chainFor, keyOf, paidNode, RATES } from "../payments/paid-nodes.ts";
import { deployToken } from "../payments/tokens.ts";
import { test } from "../testing.ts";
import { postJson, serve } from "./harness.ts";

test("tokens, offers, credit and totals are told as their schemas say, each token on its own", async (t) => {
  const chain = await chainFor(t);
  const token = await deployToken(chain, "NamedToken");
  await token.send("tell", ["USDC", 6]);
  const other = await deployToken(chain, "Token");
  const provider = await paidNode(t, chain, { key: keyOf(2), rates: { ...RATES, token: token.address } });
  const inCoins = await paidNode(t, chain, { key: keyOf(3), rates: RATES });
  const free = await paidNode(t, chain, { key: keyOf(4) });
  const nodes = { "p:1": provider, "c:1": inCoins, "f:1": free };
  const desks = new Map(Object.entries(nodes).map(([target, { earnings }]) => [target, () => earnings]));
  const { admin } = await paidNode(t, chain, { key: keyOf(1), desks });
  await token.mint(keyOf(1).nodeId, 1000n);
  const { url } = await serve(t, { payments: admin });
  const get = async (path: string) => await (await fetch(`${url}/v1/payments${path}`)).json();
  const info = { address: token.address, symbol: "USDC", decimals: 6 };

  assert.deepEqual(schemas.TokenList.parse(await get("/tokens")), { chainId: chain.chainId, tokens: [] });
  assert.deepEqual(schemas.TokenInfo.parse(await get(`/tokens/${other.address}`)), {
    address: other.address,
    symbol: "TOK",
    decimals: 18,
  });
  assert.equal((await fetch(`${url}/v1/payments/tokens/0x12`)).status, 400);

  const ask = async (target: string) => {
    const answer = await postJson(`${url}/v1/payments/offers`, { target });
    assert.equal(answer.status, 200);
    return schemas.ProviderOffer.parse(await answer.json());
  };
  const asked = await ask("p:1");
  assert.deepEqual([asked.token, asked.offer?.provider, asked.offer?.rates.minimum], [info, keyOf(2).nodeId, "10"]);
  assert.deepEqual((await ask("c:1")).token, undefined);
  assert.deepEqual(await ask("f:1"), { target: "f:1" });

  const open = (json: object) => postJson(`${url}/v1/payments/channels`, json);
  const refused = await open({ target: "p:1", amount: "100", token: NATIVE_TOKEN });
  assert.equal((await refused.json() as NodeError).code, "failed_precondition");
  const opened = await open({ target: "p:1", amount: "100", token: token.address });
  assert.equal(schemas.Channel.parse(await opened.json()).token, token.address);
  assert.equal(await token.balanceOf(chain.channels), 100n);
  assert.deepEqual(schemas.TokenList.parse(await get("/tokens")).tokens, [info]);
  const { credit, credits } = schemas.PaymentSummary.parse(await get(""));
  assert.equal(credit, "0");
  assert.deepEqual(credits, [NATIVE_TOKEN, token.address].map((one) => ({ token: one, amount: "0" })));
  schemas.DayTotalList.parse(await get("/totals"));
});

test("every table of the books comes as CSV too, as it is in JSON", async (t) => {
  const chain = await chainFor(t);
  const token = await deployToken(chain, "NamedToken");
  await token.send("tell", ["-A1+A2", 6]); // a symbol that tokens may have, and a formula to a spreadsheet
  const provider = await paidNode(t, chain, { key: keyOf(2), rates: { ...RATES, token: token.address } });
  const desks = new Map([["p:1", () => provider.earnings]]);
  const { admin, spendings } = await paidNode(t, chain, { key: keyOf(1), desks });
  await token.mint(keyOf(1).nodeId, 1_000_000n);
  const { url } = await serve(t, { payments: admin });
  const csvOf = async (table: string) => {
    const answer = await fetch(`${url}/v1/payments/csv/${table}`);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type")!, /^text\/csv; charset=utf-8/);
    assert.equal(answer.headers.get("content-disposition"), `attachment; filename="${table}.csv"`);
    return (await answer.text()).trimEnd().split("\n").map((line) => line.split(","));
  };
  const tables = ["channels", "vouchers", "receipts", "quotes", "totals", "tokens"];
  for (const table of tables) {
    const [head, ...rows] = await csvOf(table);
    assert.deepEqual(head!.slice(-3), ["token", "symbol", "decimals"]);
    assert.deepEqual(rows, [], table);
  }

  await admin.open("p:1", wei(1_000_000n), { signal: AbortSignal.timeout(60_000) });
  const reservation = await spendings.tasks.reserve({ target: "p:1", limits: {}, inputBytes: 5 });
  await reservation.commit({ wallMicros: 1000, inputBytes: 5, outputBytes: 5, instructions: 0 });
  const lists = await Promise.all(["channels", "totals"].map(async (list) => {
    const answer = await (await fetch(`${url}/v1/payments/${list}`)).json() as Record<string, object[]>;
    return answer[list]![0] as Record<string, Record<string, unknown>>;
  }));
  const [{ receipt, ...channel }, total] = lists as [typeof lists[0], typeof lists[0]];
  const sources: Record<string, object | undefined> = {
    channels: channel,
    vouchers: channel,
    receipts: receipt,
    totals: total,
    tokens: {},
  };
  for (const table of tables) {
    const source = sources[table];
    const [head, ...rows] = await csvOf(table);
    if (source === undefined) {
      assert.deepEqual(rows, [], table);
      continue;
    }
    const wanted: Record<string, unknown> = { ...source, token: token.address, symbol: "'-A1+A2", decimals: 6 };
    assert.deepEqual(rows, [head!.map((column) => String(wanted[column]))], table);
  }
  assert.equal((await fetch(`${url}/v1/payments/csv/secrets`)).status, 400);
});

test("a node that works free of charge says so where its payments would be, with what it takes to have some", async (t) => {
  const { url } = await serve(t);
  for (const path of ["", "/channels", "/csv/totals"]) {
    const answer = await fetch(`${url}/v1/payments${path}`);
    assert.equal(answer.status, 404);
    const { code, detail } = ProblemSchema.parse(await answer.json());
    assert.equal(code, "not_found");
    assert.match(detail, /works free of charge: .* set payments\.rpcUrls/);
  }
  const { detail } = ProblemSchema.parse(await (await fetch(`${url}/v1/paymentz`)).json());
  assert.match(detail, /There is no \/v1\/paymentz here/);
});
