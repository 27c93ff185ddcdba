import { z } from "@hono/zod-openapi";
import type { ErrorCode } from "../core/mod.ts";
import { PROBLEMS } from "./problem.ts";

export const ErrorCodeSchema = z.enum(Object.keys(PROBLEMS) as ErrorCode[]).openapi("ErrorCode", {
  description: "Why something failed, for programs. The set is closed.",
  examples: ["plugin_not_found"],
});

export const ProblemSchema = z.object({
  type: z.string().openapi({
    description: "Where the error is explained, relative to the node.",
    examples: ["/v1/docs#error-plugin_not_found"],
  }),
  title: z.string().openapi({ description: "The kind of error.", examples: ["There is no such plugin"] }),
  status: z.int().min(400).max(599).openapi({ description: "The HTTP status.", examples: [404] }),
  detail: z.string().openapi({
    description: "What failed, with which value, and what to do about it.",
    examples: ['No plugin "demp" here; GET /v1/plugins lists them'],
  }),
  code: ErrorCodeSchema,
  retryable: z.boolean().openapi({
    description: "Whether the same call may succeed later without a change.",
    examples: [false],
  }),
  retryAfterMs: z.int().min(0).optional().openapi({
    description: "When it may, in milliseconds from now; also the Retry-After header, in seconds.",
    examples: [1000],
  }),
  data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional().openapi({
    description: "The values that the detail names.",
    examples: [{ plugin: "demp" }],
  }),
  requestId: z.string().optional().openapi({
    description: "Names the call in the node's log; also the X-Request-Id header.",
    examples: ["01JDC5R7W3ZP9T6H2KXQ4V8MNB"],
  }),
}).openapi("Problem", { description: "The body of every failed call (RFC 9457)." });
