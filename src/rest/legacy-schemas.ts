import { z } from "@hono/zod-openapi";
import { Target } from "./schema-fields.ts";

// What the calls of Velas Sphere Node take and give.

export const LegacyTask = z.object({
  target: Target.optional(),
  id: z.string().optional().openapi({
    description: "Echoed in the answer; it does not make the task idempotent.",
    examples: ["1"],
  }),
  input: z.string().optional().openapi({ description: "The input.", examples: ["hello"] }),
}).openapi("LegacyTask", { description: "A task as Velas Sphere Node took it. Keys match in any case." });

export const LegacyResult = z.object({
  id: z.string().optional().openapi({ description: "The id of the request; absent when empty.", examples: ["1"] }),
  output: z.string().openapi({ description: "The output.", examples: ["world"] }),
}).openapi("LegacyResult");

const LegacyFileKey = z.string().openapi({
  description: "The file's id: `/` and its name.",
  examples: ["/my_awesome_file"],
});
const LegacyBase64 = z.string().openapi({ description: "The content in base64.", examples: ["aGVsbG8="] });

export const LegacyFile = z.object({
  target: Target.optional(),
  name: z.string().openapi({ description: "The file's name.", examples: ["my_awesome_file"] }),
  data: LegacyBase64,
}).openapi("LegacyFile", { description: "A file as Velas Sphere Node took it. Keys match in any case." });

export const LegacyFileId = z.object({ id: LegacyFileKey }).openapi("LegacyFileId");

export const LegacyFileQuery = z.object({ target: Target.optional(), id: LegacyFileKey }).openapi("LegacyFileQuery");

export const LegacyFileData = z.object({
  id: LegacyFileKey,
  invoiceID: z.string().openapi({ description: "Always the same.", examples: ["my_awesome_invoice_id"] }),
  data: LegacyBase64.optional(),
}).openapi("LegacyFileData");

export const LegacyInfo = z.object({
  name: z.string().openapi({ description: "The operator's name for the node.", examples: ["My node"] }),
  version: z.string().openapi({ description: "Version of its software.", examples: ["0.1.0"] }),
}).openapi("LegacyInfo");
