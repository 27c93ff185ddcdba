import { z } from "@hono/zod-openapi";
import { Plugin } from "./plugin-schemas.ts";
import { count, nodeId, text, time } from "./schema-fields.ts";

export const Node = z.object({
  nodeId: nodeId("The node's id: its Ethereum address."),
  name: text("The operator's name for it.", "My node"),
  version: text("Version of its software.", "0.1.0"),
  plugins: z.array(Plugin).openapi({ description: "The plugins that it offers." }),
  issuedAt: time("When this was said."),
  limits: z.object({
    inputBytes: count("The largest input, in bytes.", 16_777_216),
    outputBytes: count("The largest output, in bytes.", 16_777_216),
    memoryBytes: count("The largest memory, in bytes.", 268_435_456),
    timeoutMs: count("The longest run, in milliseconds.", 60_000),
    instructions: count("The most metered instructions.", 1_000_000_000_000).optional(),
  }).openapi({ description: "The bounds within which it accepts tasks." }),
  region: z.string().optional().openapi({ description: "Where it says it is.", examples: ["eu-west"] }),
  chainId: z.int().optional().openapi({ description: "The chain that it pays and is paid on.", examples: [31337] }),
  moduleBytes: count("The largest module that it takes from requesters; absent when it takes none.", 33_554_432)
    .optional(),
}).openapi("Node", { description: "What a node says of itself." });

export const Health = z.object({
  status: z.enum(["ok", "failing"]).openapi({ description: "Whether the process works.", examples: ["ok"] }),
}).openapi("Health");

export const Readiness = z.object({
  ready: z.boolean().openapi({ description: "Whether the node takes requests.", examples: [true] }),
  reasons: z.array(z.string()).openapi({ description: "Why it does not.", examples: [[]] }),
}).openapi("Readiness");

export const Landing = z.object({
  name: text("The operator's name for the node.", "My node"),
  version: text("Version of its software.", "0.1.0"),
  nodeId: nodeId("The node's id."),
  links: z.record(z.string(), z.string()).openapi({
    description: "Where to go on.",
    examples: [{ docs: "/v1/docs" }],
  }),
}).openapi("Landing");
