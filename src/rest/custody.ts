import { z } from "@hono/zod-openapi";
import type { Hex32, PaymentAdmin } from "../core/mod.ts";
import { json } from "./context.ts";
import { failures, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import { minedJson, statementJson } from "./payment-json.ts";
import * as schemas from "./payment-schemas.ts";
import { addRoute, readJson } from "./routes.ts";
import type { RestApp } from "./routes.ts";

const TAGS = ["Payments"];
const StatementParams = z.object({ id: schemas.StatementId });

/** Stake on shards: what was promised, and what the owner does when it is not kept. */
export function addCustodyRoutes(
  app: RestApp,
  { payments, limits }: Pick<RestAppOptions, "limits"> & { readonly payments: PaymentAdmin },
): void {
  addRoute(app, {
    method: "get",
    path: "/v1/payments/custody",
    tags: TAGS,
    operationId: "listCustody",
    scope: ["read", "payments"],
    summary: "List custody statements",
    description:
      "Promises to keep a shard or to lose stake, of this node and of its providers, that can still be challenged.",
    responses: { 200: jsonContent(schemas.CustodyList, "The statements."), ...failures() },
  }, () => json({ custody: payments.custody().map(statementJson) }));

  addRoute(app, {
    method: "post",
    path: "/v1/payments/custody/{id}/challenge",
    tags: TAGS,
    operationId: "challengeCustody",
    scope: "payments",
    summary: "Challenge a provider on the chain",
    description:
      "The contract draws a leaf of the shard. The provider shows it within a day and gets the bond, or can be slashed, and the bond comes back.",
    request: { params: StatementParams },
    responses: { 200: jsonContent(schemas.ChallengeMined, "The challenge."), ...failures(...schemas.PAYMENT_PROBLEMS) },
  }, async (_, { params }) => {
    const { deadline, hash, gasUsed } = await payments.challenge(params.id as Hex32);
    return json({ hash, gasUsed: String(gasUsed), deadline: new Date(deadline * 1000).toISOString() });
  });

  addRoute(app, {
    method: "post",
    path: "/v1/payments/custody/{id}/slash",
    tags: TAGS,
    operationId: "slashCustody",
    scope: "payments",
    summary: "Slash a provider that did not answer",
    description: "It loses the penalty, half of it to the requester of the statement, as credit in the registry.",
    request: { params: StatementParams },
    responses: { 200: jsonContent(schemas.Mined, "The transaction."), ...failures(...schemas.PAYMENT_PROBLEMS) },
  }, async (_, { params }) => json(minedJson(await payments.slash(params.id as Hex32))));

  addRoute(app, {
    method: "post",
    path: "/v1/payments/pledge",
    tags: TAGS,
    operationId: "pledgeStake",
    scope: "payments",
    summary: "Promise that the stake stays",
    description: "Requesters take custody statements only for leases that end before the pledge does.",
    request: { body: { required: true, content: { "application/json": { schema: schemas.Pledge } } } },
    responses: { 200: jsonContent(schemas.Mined, "The transaction."), ...failures(...schemas.PAYMENT_PROBLEMS) },
  }, async (c) => {
    const { until } = await readJson(c, schemas.Pledge, limits);
    return json(minedJson(await payments.pledge(Math.floor(Date.parse(until) / 1000))));
  });
}
