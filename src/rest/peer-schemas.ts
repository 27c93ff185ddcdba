import { z } from "@hono/zod-openapi";
import { RATE_NAMES } from "../core/mod.ts";
import { Address } from "./payment-schemas.ts";
import { count, Target, text, time } from "./schema-fields.ts";

const sum = (description: string, example: number) => z.number().openapi({ description, examples: [example] });

export const PeerPlugin = z.strictObject({
  name: text("Its name.", "demo"),
  version: text("Its semantic version.", "1.0.0"),
  sha256: text("The SHA-256 of its module; empty for an external plugin.", ""),
  functions: z.array(z.string()).openapi({ description: "What tasks may call.", examples: [["greet"]] }),
  isDefault: z.boolean().openapi({ description: "Whether a task that names no plugin gets it.", examples: [true] }),
  ready: z.boolean().openapi({ description: "Whether it takes tasks.", examples: [true] }),
  gpu: z.boolean().optional().openapi({
    description: "Whether it works on a GPU; absent until the peer was asked by a version that knows.",
    examples: [false],
  }),
}).openapi("PeerPlugin", { description: "A plugin that a peer says it has." });

const Rate = z.string().regex(/^[0-9]{1,39}$/).openapi({
  description: "A whole number below 2^128, in the token's smallest unit (wei).",
  examples: ["1000000"],
});

export const PeerOffer = z.strictObject({
  chainId: z.int().openapi({ description: "The chain on which it wants to be paid.", examples: [31337] }),
  channels: Address.openapi({ description: "The Channels contract." }),
  rates: z.strictObject({
    token: Address.openapi({ description: "The ERC-20, or the zero address for the chain's coin." }),
    ...Object.fromEntries(RATE_NAMES.map((name) => [name, Rate])) as Record<typeof RATE_NAMES[number], typeof Rate>,
  }).openapi({ description: "Its prices." }),
  costTable: z.int().optional().openapi({
    description: "The version of the cost table that it counts instructions by; absent means 1.",
    examples: [1],
  }),
  expiresAt: time("Until when they hold."),
}).openapi("PeerOffer", { description: "What a peer wants for its work, by its signed offer." });

export const PeerClaims = z.strictObject({
  name: text("The operator's name for it.", "My node"),
  version: text("Version of its software.", "0.1.0"),
  region: text("Where it says it is; empty when it says nothing.", "eu-west"),
  plugins: z.array(PeerPlugin).openapi({ description: "What it says it runs." }),
  limits: z.strictObject({
    inputBytes: count("The largest input.", 16_777_216),
    outputBytes: count("The largest output.", 16_777_216),
    memoryBytes: count("The most memory.", 268_435_456),
    timeoutMs: count("The longest run.", 60_000),
    instructions: count("The most instructions.", 1_000_000_000).optional(),
  }).openapi({ description: "The bounds within which it says it accepts tasks." }),
  offer: PeerOffer.optional(),
  offerProblem: text("Why its offer is not believed.", "its offer has expired").optional(),
  keepsShards: z.boolean().openapi({ description: "Whether it keeps shards for this node.", examples: [true] }),
  moduleBytes: count("The largest module that it takes from requesters; absent when it takes none.", 33_554_432)
    .optional(),
}).openapi("PeerClaims", {
  description: "What the peer says of itself, signed. Nothing of it counts towards the score.",
});

export const Peer = z.strictObject({
  target: Target.openapi({ description: "Where it is, `host:port`, or `https://host:port` with TLS." }),
  sources: z.array(z.enum(["static", "added", "registry"])).openapi({
    description: "How the node came to know it: from its configuration, from you, from the registry.",
    examples: [["static"]],
  }),
  nodeId: Address.optional().openapi({ description: "Who answers there, proven by its signature." }),
  reachability: z.enum(["reachable", "unreachable", "unknown"]).openapi({
    description: "Whether it answered when it was last asked or used.",
    examples: ["reachable"],
  }),
  blocked: z.boolean().openapi({
    description: "Whether you removed it although the registry names it.",
    examples: [false],
  }),
  score: sum("0 to 1, from this node's own experience only.", 0.61),
  experience: z.strictObject({
    good: sum("What went well; falls by half in a week.", 12.5),
    bad: sum("What did not; lies count ten times.", 1),
    pace: sum("How much longer than others it takes, as a natural logarithm.", -0.2),
    lastError: text("What went wrong last.", "The connection was lost").optional(),
  }).openapi({ description: "What this node saw it do." }),
  latencyMs: sum("A round trip, averaged over probes.", 3.2).optional(),
  firstSeenAt: time("When it was first heard of."),
  lastSeenAt: time("When it last answered a probe.").optional(),
  lastProbeAt: time("When it was last asked.").optional(),
  failures: count("Probes in a row that failed.", 0),
  problem: text("Why it is out of reach, or not used.", "No connection").optional(),
  claims: PeerClaims.optional(),
}).openapi("Peer", { description: "Another node, as this one knows it." });

export const PeerList = z.strictObject({
  peers: z.array(Peer).openapi({ description: "The most wanted first." }),
  total: count("How many are known; more than are listed when `limit` cut the list.", 3),
}).openapi("PeerList");

export const NewPeer = z.strictObject({ target: Target }).openapi("NewPeer", {
  description: "A node to know.",
  examples: [{ target: "127.0.0.1:8081" }],
});
