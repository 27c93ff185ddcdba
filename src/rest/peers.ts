import { z } from "@hono/zod-openapi";
import { type PeerAdmin, type PeerClaims, type PeerView, RATE_NAMES } from "../core/mod.ts";
import { json, withCall } from "./context.ts";
import { failures, jsonBody, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import * as schemas from "./peer-schemas.ts";
import { addRoute, readJson } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { PluginRef } from "./plugin-schemas.ts";
import { fromText, Target } from "./schema-fields.ts";
import { timeText } from "./task-json.ts";

const TAGS = ["Peers"];
const DEFAULT_LIMIT = 100;
const Params = z.strictObject({ target: Target.openapi({ description: "The peer, `host:port`." }) });
const ListQuery = z.strictObject({
  limit: fromText(z.int().min(1).max(20_000)).optional().openapi({
    description: `The most peers to return; ${DEFAULT_LIMIT} when it is left out.`,
    examples: [DEFAULT_LIMIT],
  }),
  plugin: PluginRef.optional().openapi({ description: "Only those that say they have this plugin, by name." }),
});

/** Other nodes that this one knows. */
export function addPeerRoutes(
  app: RestApp,
  { peerBook, ...options }: RestAppOptions & { readonly peerBook: PeerAdmin },
): void {
  const { limits } = options;

  addRoute(app, {
    method: "get",
    path: "/v1/peers",
    tags: TAGS,
    operationId: "listPeers",
    scope: ["read", "admin"],
    summary: "List peers",
    description:
      "Nodes from the configuration, from you and from the registry, the most wanted first. What each says of itself is under " +
      "`claims`; its score is from this node's own experience only.",
    request: { query: ListQuery },
    responses: { 200: jsonContent(schemas.PeerList, "The peers."), ...failures("invalid_argument") },
  }, (_, { query: { limit = DEFAULT_LIMIT, plugin } }) => {
    const peers = peerBook.list().filter(({ claims }) =>
      plugin === undefined || claims?.plugins.some(({ name }) => name === plugin)
    );
    return json({ peers: peers.slice(0, limit).map(peerJson), total: peers.length });
  });

  addRoute(app, {
    method: "post",
    path: "/v1/peers",
    tags: TAGS,
    operationId: "addPeer",
    scope: "admin",
    summary: "Add a peer",
    description:
      "Takes a node in, or back after it was removed, and asks it who it is. One that does not answer is kept and asked again.",
    request: { body: jsonBody(schemas.NewPeer) },
    responses: {
      201: jsonContent(schemas.Peer, "The peer."),
      ...failures("invalid_argument", "failed_precondition"),
    },
  }, async (c) => {
    const { target } = await readJson(c, schemas.NewPeer, limits);
    return json(peerJson(await withCall(c, options, ({ signal }) => peerBook.add(target, signal))), 201);
  });

  addRoute(app, {
    method: "get",
    path: "/v1/peers/{target}",
    tags: TAGS,
    operationId: "getPeer",
    scope: ["read", "admin"],
    summary: "See a peer",
    request: { params: Params },
    responses: { 200: jsonContent(schemas.Peer, "The peer."), ...failures("invalid_argument", "not_found") },
  }, (_, { params: { target } }) => json(peerJson(peerBook.get(target))));

  addRoute(app, {
    method: "delete",
    path: "/v1/peers/{target}",
    tags: TAGS,
    operationId: "removePeer",
    scope: "admin",
    summary: "Remove a peer",
    description: "Forgets a node. One that the registry names is blocked: it stays in the list and is not used.",
    request: { params: Params },
    responses: {
      204: { description: "It is removed." },
      ...failures("invalid_argument", "not_found", "failed_precondition"),
    },
  }, async (_, { params: { target } }) => {
    await peerBook.remove(target);
    return new Response(null, { status: 204 });
  });

  addRoute(
    app,
    {
      method: "post",
      path: "/v1/peers/{target}/probe",
      tags: TAGS,
      operationId: "probePeer",
      scope: "admin",
      summary: "Ask a peer who it is",
      description: "Asks at once for its description and its offer, and measures a round trip.",
      request: { params: Params },
      responses: {
        200: jsonContent(schemas.Peer, "The peer as it is known now; `problem` says why it did not answer."),
        ...failures("invalid_argument", "not_found"),
      },
    },
    async (c, { params: { target } }) =>
      json(peerJson(await withCall(c, options, ({ signal }) => peerBook.probe(target, signal)))),
  );
}

/** A peer as JSON shows it: times and amounts as text. */
export function peerJson(view: PeerView): z.input<typeof schemas.Peer> {
  const { firstSeenAt, lastSeenAt, lastProbeAt, claims, experience, ...rest } = view;
  const { at: _, ...known } = experience;
  return {
    ...rest,
    sources: [...rest.sources],
    experience: known,
    firstSeenAt: timeText(firstSeenAt),
    ...(lastSeenAt !== undefined && { lastSeenAt: timeText(lastSeenAt) }),
    ...(lastProbeAt !== undefined && { lastProbeAt: timeText(lastProbeAt) }),
    ...(claims !== undefined && { claims: claimsJson(claims) }),
  };
}

function claimsJson({ offer, plugins, ...claims }: PeerClaims): z.input<typeof schemas.PeerClaims> {
  const shown = { ...claims, plugins: plugins.map((plugin) => ({ ...plugin, functions: [...plugin.functions] })) };
  if (offer === undefined) return shown;
  const { settlement, rates, costTable, expiresAt } = offer;
  const amounts = Object.fromEntries(RATE_NAMES.map((name) => [name, String(rates[name])]));
  return {
    ...shown,
    offer: {
      ...settlement,
      rates: { token: rates.token, ...amounts as Record<typeof RATE_NAMES[number], string> },
      ...(costTable !== undefined && { costTable }),
      expiresAt: timeText(Math.min(expiresAt, MAX_TIME)),
    },
  };
}

/** The last time that RFC 3339 can tell. */
const MAX_TIME = Date.UTC(9999, 11, 31);
