/** Money over REST, of a node that deals in a token, on a real chain. */
import assert from "node:assert/strict";
import { NATIVE_TOKEN, NodeError } from "../../src/core/mod.ts";
import * as schemas from "../../src/rest/payment-schemas.ts";
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
