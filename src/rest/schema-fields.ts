import { z } from "@hono/zod-openapi";

// Fields that several schemas share. Requests are validated with the schemas, the OpenAPI document is generated from them, and the tests
// hold every answer against them.

export const EXAMPLE_SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
export const EXAMPLE_TIME = "2026-11-23T20:38:16.000Z";
export const EXAMPLE_NODE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

/** A count of bytes, microseconds, instructions. */
export const count = (description: string, example: number) =>
  z.int().min(0).max(Number.MAX_SAFE_INTEGER).openapi({ description, examples: [example] });
export const time = (description: string) =>
  z.iso.datetime().openapi({ description: `${description} RFC 3339, UTC.`, examples: [EXAMPLE_TIME] });
export const contentType = (description: string) =>
  z.string().max(255).regex(/^[\x20-\x7e]*$/).openapi({ description, examples: ["text/plain"] });
export const text = (description: string, example: string) => z.string().openapi({ description, examples: [example] });
export const nodeId = (description: string) => text(description, EXAMPLE_NODE);
/** A SHA-256 in hex that an answer gives; may be empty. */
export const hash = (description: string) => text(description, EXAMPLE_SHA256);

export const Target = z.string().max(300).openapi({
  description:
    "The node to ask, as `host:port` or `dns:///host:port`, or with TLS as `https://host:port`; this node when it is left out.",
  examples: ["127.0.0.1:8081"],
});

export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/).openapi({
  description: "A SHA-256, 64 lower-case hex digits.",
  examples: [EXAMPLE_SHA256],
});

export const DEFAULT_PAGE_SIZE = 50;
export const PageSize = z.int().min(1).max(1000).openapi({
  description: `The most tasks to return; ${DEFAULT_PAGE_SIZE} when it is left out.`,
  examples: [DEFAULT_PAGE_SIZE],
});

/** A number as a query carries it, checked by the schema that JSON has for it. */
export function fromText<S extends z.ZodType>(schema: S) {
  return z.preprocess((value) => typeof value === "string" && value !== "" ? Number(value) : value, schema);
}
