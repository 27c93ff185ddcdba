import { z } from "@hono/zod-openapi";
import {
  type Hex32,
  NATIVE_TOKEN,
  parseNodeId,
  PAYMENT_TABLES,
  type PaymentAdmin,
  paymentCsv,
  type PaymentRow,
  wei,
} from "../core/mod.ts";
import { json, withCall } from "./context.ts";
import { addCustodyRoutes } from "./custody.ts";
import { offerJson } from "./offer.ts";
import { failures, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import { channelJson, minedJson, quoteJson, statementJson, totalJson } from "./payment-json.ts";
import * as schemas from "./payment-schemas.ts";
import { addRoute, readJson, readOptionalJson } from "./routes.ts";
import type { RestApp } from "./routes.ts";

const TAGS = ["Payments"];
const Params = z.object({ id: schemas.ChannelId });
const TokenParams = z.strictObject({ address: schemas.Address.openapi({ description: "The ERC-20's contract." }) });

/** Money: channels, vouchers, receipts and totals, and what the owner does with them. */
export function addPaymentRoutes(
  app: RestApp,
  { payments, ...options }: RestAppOptions & { readonly payments: PaymentAdmin },
): void {
  const { limits } = options;

  addRoute(app, {
    method: "get",
    path: "/v1/payments",
    tags: TAGS,
    operationId: "getPayments",
    scope: ["read", "payments"],
    summary: "See the chain and the balances",
    responses: { 200: jsonContent(schemas.PaymentSummary, "The chain and the balances."), ...failures("chain_failed") },
  }, async () => {
    const summary = await payments.summary();
    return json({
      ...summary,
      balance: String(summary.balance),
      credit: String(summary.credit),
      credits: summary.credits.map(({ token, amount }) => ({ token, amount: String(amount) })),
      head: String(summary.head),
    });
  });

  addRoute(app, {
    method: "get",
    path: "/v1/payments/channels",
    tags: TAGS,
    operationId: "listChannels",
    scope: ["read", "payments"],
    summary: "List channels",
    description: "Channels on which this node pays and is paid, with the newest voucher and receipt of each.",
    responses: { 200: jsonContent(schemas.ChannelList, "The channels."), ...failures() },
  }, () => json({ channels: payments.channels().map(channelJson) }));

  addCsvRoute(app, payments);

  addRoute(app, {
    method: "get",
    path: "/v1/payments/totals",
    tags: TAGS,
    operationId: "listTotals",
    scope: ["read", "payments"],
    summary: "List what was spent and earned",
    description: "By day, peer and token, the newest day first.",
    responses: { 200: jsonContent(schemas.DayTotalList, "The totals."), ...failures() },
  }, () => json({ totals: payments.totals().map(totalJson) }));

  addRoute(app, {
    method: "get",
    path: "/v1/payments/quotes",
    tags: TAGS,
    operationId: "listQuotes",
    scope: ["read", "payments"],
    summary: "List the quotes of leases",
    description:
      "Quotes by which this node's shards are kept, each with its provider's signature, until the last lease by it is over. The leases are in " +
      "`GET /v1/files/{id}/health`; together they prove what a provider has promised.",
    responses: { 200: jsonContent(schemas.QuoteList, "The quotes."), ...failures() },
  }, async () => json({ quotes: (await payments.quotes()).map(quoteJson) }));

  addRoute(app, {
    method: "get",
    path: "/v1/payments/tokens",
    tags: TAGS,
    operationId: "listTokens",
    scope: ["read", "payments"],
    summary: "List tokens",
    description:
      "ERC-20 tokens that this node deals in, by its prices and its channels, and what their contracts tell of themselves.",
    responses: { 200: jsonContent(schemas.TokenList, "The tokens."), ...failures() },
  }, async () => json({ chainId: payments.settlement.chainId, tokens: [...await payments.tokens()] }));

  addRoute(app, {
    method: "get",
    path: "/v1/payments/tokens/{address}",
    tags: TAGS,
    operationId: "getToken",
    scope: ["read", "payments"],
    summary: "See a token",
    description:
      "What one ERC-20 tells of itself; its address alone when it tells nothing, or the chain does not answer.",
    request: { params: TokenParams },
    responses: { 200: jsonContent(schemas.TokenInfo, "The token."), ...failures("invalid_argument") },
  }, async (_, { params: { address } }) => json(await payments.token(parseNodeId(address))));

  addRoute(app, {
    method: "post",
    path: "/v1/payments/offers",
    tags: TAGS,
    operationId: "askOffer",
    scope: "payments",
    summary: "Ask what a provider wants",
    description: "Asks a provider for its signed offer, once until that expires: what a channel to it would be in.",
    request: { body: { required: true, content: { "application/json": { schema: schemas.AskOffer } } } },
    responses: {
      200: jsonContent(schemas.ProviderOffer, "Its offer."),
      ...failures(...schemas.PAYMENT_PROBLEMS, "target_unreachable", "target_misbehaved"),
    },
  }, async (c) => {
    const { target } = await readJson(c, schemas.AskOffer, limits);
    const offer = await withCall(c, options, ({ signal }) => payments.offerOf(target, signal));
    if (offer === undefined) return json({ target });
    const { token } = offer.rates;
    return json({
      target,
      offer: offerJson(offer),
      ...(token !== NATIVE_TOKEN && { token: await payments.token(token) }),
    });
  });

  addRoute(app, {
    method: "post",
    path: "/v1/payments/channels",
    tags: TAGS,
    operationId: "openChannel",
    scope: "payments",
    summary: "Open a channel",
    description:
      "Puts a deposit into a new channel to a provider. It comes back, less what was paid, when the channel ends.",
    request: { body: { required: true, content: { "application/json": { schema: schemas.OpenChannel } } } },
    responses: {
      201: jsonContent(schemas.Channel, "The channel."),
      ...failures(...schemas.PAYMENT_PROBLEMS, "target_unreachable"),
    },
  }, async (c) => {
    const { target, amount, token } = await readJson(c, schemas.OpenChannel, limits);
    const named = token === undefined ? {} : { token: parseNodeId(token) };
    const view = await withCall(
      c,
      options,
      ({ signal }) => payments.open(target, wei(BigInt(amount)), { signal, ...named }),
    );
    return json(channelJson(view), 201);
  });

  addRoute(app, {
    method: "post",
    path: "/v1/payments/channels/{id}/topup",
    tags: TAGS,
    operationId: "topUpChannel",
    scope: "payments",
    summary: "Add to a channel's deposit",
    request: { params: Params, body: { required: true, content: { "application/json": { schema: schemas.TopUp } } } },
    responses: { 200: jsonContent(schemas.Mined, "The transaction."), ...failures(...schemas.PAYMENT_PROBLEMS) },
  }, async (c, { params }) => {
    const { amount } = await readJson(c, schemas.TopUp, limits);
    return json(minedJson(await payments.topUp(params.id as Hex32, wei(BigInt(amount)))));
  });

  for (
    const [verb, summary, work] of [
      ["claim", "Claim what a channel owes", (id: Hex32) => payments.claim(id)],
      ["close", "Claim and end a channel that pays this node", (id: Hex32) => payments.close(id)],
      [
        "exit",
        "Announce the end of a channel on which this node pays, or after its delay end it",
        (id: Hex32) => payments.exit(id),
      ],
    ] as const
  ) {
    addRoute(app, {
      method: "post",
      path: `/v1/payments/channels/{id}/${verb}`,
      tags: TAGS,
      operationId: `${verb}Channel`,
      scope: "payments",
      summary,
      request: { params: Params },
      responses: { 200: jsonContent(schemas.Mined, "The transaction."), ...failures(...schemas.PAYMENT_PROBLEMS) },
    }, async (_, { params }) => json(minedJson(await work(params.id as Hex32))));
  }

  addRoute(app, {
    method: "post",
    path: "/v1/payments/claim",
    tags: TAGS,
    operationId: "claimAll",
    scope: "payments",
    summary: "Claim what all channels owe",
    responses: { 200: jsonContent(schemas.Mined, "The transaction."), ...failures(...schemas.PAYMENT_PROBLEMS) },
  }, async () => json(minedJson(await payments.claim())));

  addRoute(app, {
    method: "post",
    path: "/v1/payments/register",
    tags: TAGS,
    operationId: "register",
    scope: "payments",
    summary: "Make this node known in the registry",
    description: "Others find it there. Registering again replaces what was said; stake is added.",
    request: { body: { required: true, content: { "application/json": { schema: schemas.Register } } } },
    responses: { 200: jsonContent(schemas.Mined, "The transaction."), ...failures(...schemas.PAYMENT_PROBLEMS) },
  }, async (c) => {
    const { target, region = "", stake = "0" } = await readJson(c, schemas.Register, limits);
    return json(minedJson(await payments.register({ target, region, stake: wei(BigInt(stake)) })));
  });

  addCustodyRoutes(app, { payments, limits });

  addRoute(app, {
    method: "post",
    path: "/v1/payments/withdraw",
    tags: TAGS,
    operationId: "withdraw",
    scope: "payments",
    summary: "Withdraw from the contract",
    description:
      "Sends what the contract holds for this node, all of it unless an amount is named, to its account or another.",
    request: { body: { required: false, content: { "application/json": { schema: schemas.Withdraw } } } },
    responses: { 200: jsonContent(schemas.Mined, "The transaction."), ...failures(...schemas.PAYMENT_PROBLEMS) },
  }, async (c) => {
    const { token, amount, to, from } = await readOptionalJson(c, schemas.Withdraw, limits);
    const mined = await payments.withdraw(token === undefined ? NATIVE_TOKEN : parseNodeId(token), {
      ...(amount !== undefined && { amount: wei(BigInt(amount)) }),
      ...(to !== undefined && { to: parseNodeId(to) }),
      ...(from !== undefined && { from }),
    });
    return json(minedJson(mined));
  });
}

/** The same lists as tables for spreadsheets. */
function addCsvRoute(app: RestApp, payments: PaymentAdmin): void {
  const lists = {
    channels: () => payments.channels().map(channelJson),
    quotes: async () => (await payments.quotes()).map(quoteJson),
    custody: () => payments.custody().map(statementJson),
    totals: () => payments.totals().map(totalJson),
    tokens: async () => (await payments.tokens()).map((info) => ({ ...info })),
  };
  addRoute(app, {
    method: "get",
    path: "/v1/payments/csv/{table}",
    tags: TAGS,
    operationId: "exportPayments",
    scope: ["read", "payments"],
    summary: "Get the books as CSV",
    description:
      "One table, with a line of names, in UTF-8. Amounts are in the token's smallest unit; `symbol` and `decimals` are what its contract tells " +
      "(`GET /v1/payments/tokens`). A text that a spreadsheet would run as a formula has an apostrophe in front.",
    request: { params: z.object({ table: schemas.PaymentTable }) },
    responses: {
      200: {
        description: "The table.",
        content: {
          "text/csv": {
            schema: z.string().openapi({
              examples: [
                "day,direction,peer,amount,items,token,symbol,decimals\n" +
                "2027-01-15,spent,0x70997970C51812dc3A010C7d01b50e0d17dc79C8,2000,2,0x0000000000000000000000000000000000000000,,\n",
              ],
            }),
          },
        },
      },
      ...failures("invalid_argument"),
    },
  }, async (_, { params: { table } }) => {
    const { list, rows } = PAYMENT_TABLES[table];
    const items: readonly PaymentRow[] = await lists[list]();
    return new Response(paymentCsv(table, rows(items), await payments.tokens()), {
      headers: {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": `attachment; filename="${table}.csv"`,
        "Cache-Control": "no-store",
      },
    });
  });
}
