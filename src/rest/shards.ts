import { z } from "@hono/zod-openapi";
import { isNodeId, NodeError, type ShardKey, type ShardRecord } from "../core/mod.ts";
import { json } from "./context.ts";
import { failures, jsonContent } from "./openapi.ts";
import type { RestAppOptions, ShardKeeping } from "./options.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { DEFAULT_PAGE_SIZE, fromText, PageSize, Sha256 } from "./schema-fields.ts";
import { timeText } from "./task-json.ts";

const TAGS = ["Operations"];

const bytes = (description: string, example: number) => z.int().min(0).openapi({ description, examples: [example] });
const time = (description: string) =>
  z.iso.datetime().openapi({ description: `${description} RFC 3339, UTC.`, examples: ["2026-11-23T20:38:16.000Z"] });

export const ShardUsage = z.object({
  shards: bytes("Shards that are kept.", 1200),
  bytes: bytes("Their bytes.", 78_643_200),
  uploadBytes: bytes("Bytes set aside for uploads, those that were interrupted too.", 0),
  quotaBytes: bytes("The most bytes that are kept (`storage.quotaBytes`).", 10_737_418_240),
  freeBytes: bytes("What the quota leaves.", 10_658_775_040),
}).openapi("ShardUsage", { description: "What the node keeps for others." });

export const Shard = z.object({
  id: z.string().openapi({ description: "The shard's id.", examples: ["0f8a3c5d9b2e47618c0d4e7fa1b2c3d4"] }),
  owner: z.string().openapi({
    description: "The node whose shard it is.",
    examples: ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
  }),
  sizeBytes: bytes("Its size.", 65_536),
  root: Sha256.openapi({ description: "The root of the Merkle tree over its bytes, in hex." }),
  storedAt: time("When it came."),
  expiresAt: time("When its lease ends."),
  graceMs: bytes("How long after that it is still kept, in milliseconds.", 259_200_000),
}).openapi("Shard", { description: "A shard that the node keeps for another." });

export const ShardPage = z.object({
  shards: z.array(Shard).openapi({ description: "In the order of owners and ids." }),
  nextPageToken: z.string().openapi({
    description: "The `pageToken` of the next page; empty on the last one.",
    examples: [""],
  }),
}).openapi("ShardPage");

/** What the node keeps for others, for its operator. */
export function addShardRoutes(app: RestApp, { shards }: RestAppOptions & { readonly shards: ShardKeeping }): void {
  addRoute(app, {
    method: "get",
    path: "/v1/shards/usage",
    tags: TAGS,
    operationId: "getShardUsage",
    scope: "read",
    summary: "What is kept for others",
    responses: { 200: jsonContent(ShardUsage, "Counts and quota."), ...failures() },
  }, () => json(shards.usage()));

  addRoute(app, {
    method: "get",
    path: "/v1/shards",
    tags: TAGS,
    operationId: "listShards",
    scope: "read",
    summary: "List the shards that are kept for others",
    request: {
      query: z.strictObject({
        pageSize: fromText(
          PageSize.openapi({ description: `The most shards to return; ${DEFAULT_PAGE_SIZE} when it is left out.` }),
        ).optional(),
        pageToken: z.string().max(128).optional().openapi({
          description: "The `nextPageToken` of the page before.",
          examples: [""],
        }),
      }),
    },
    responses: { 200: jsonContent(ShardPage, "A page of shards."), ...failures("invalid_argument") },
  }, async (_, { query: { pageSize = DEFAULT_PAGE_SIZE, pageToken = "" } }) => {
    const page = await shards.list(pageToken === "" ? undefined : keyOf(pageToken), pageSize);
    const last = page.length < pageSize ? undefined : page.at(-1);
    return json({
      shards: page.map(shardJson),
      nextPageToken: last === undefined ? "" : `${last.owner}/${last.id}`,
    });
  });
}

function keyOf(token: string): ShardKey {
  const [owner = "", id = ""] = token.split("/");
  if (isNodeId(owner) && /^[0-9a-f]{32}$/.test(id)) return { owner, id };
  throw new NodeError("invalid_argument", "This page token is none that a page before it gave");
}

function shardJson({ storedAt, expiresAt, ...rest }: ShardRecord): z.input<typeof Shard> {
  return { ...rest, storedAt: timeText(storedAt), expiresAt: timeText(expiresAt) };
}
