import { z } from "@hono/zod-openapi";
import { isTaskReceiptSigned, type TaskReceipt } from "../core/mod.ts";
import { json } from "./context.ts";
import { failures, jsonBody, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import * as schemas from "./receipt-schemas.ts";
import { addRoute, readJson } from "./routes.ts";
import type { RestApp } from "./routes.ts";

const Checked = z.strictObject({
  signed: z.boolean().openapi({
    description: "Whether the provider that it names has signed just this.",
    examples: [true],
  }),
}).openapi("CheckedReceipt", { description: "What a look at a receipt's signatures showed." });

/** Receipts, which prove themselves: whoever has one may ask any node whether it holds. */
export function addReceiptRoutes(app: RestApp, { limits }: RestAppOptions): void {
  addRoute(app, {
    method: "post",
    path: "/v1/receipts/check",
    tags: ["Tasks"],
    operationId: "checkReceipt",
    scope: ["read", "tasks", "payments"],
    summary: "Check a task's receipt",
    description:
      "Checks both signatures of a receipt, of whichever task and provider. It asks nobody, and says nothing of whether the " +
      "receipt is of the task that you mean: compare its id and hashes.",
    request: { body: jsonBody(schemas.TaskReceipt) },
    responses: { 200: jsonContent(Checked, "Whether it is signed."), ...failures("invalid_argument") },
  }, async (c) => json({ signed: isTaskReceiptSigned(await readJson(c, schemas.TaskReceipt, limits) as TaskReceipt) }));
}
