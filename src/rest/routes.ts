import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { RouteConfig } from "@hono/zod-openapi";
import { type AccessScope, hasScope, missingScope, NodeError } from "../core/mod.ts";
import { readBody } from "./body.ts";
import type { BodyLimits } from "./body.ts";
import type { RestContext, RestEnv } from "./context.ts";
import { decodeUtf8, parseJson } from "./json-text.ts";
import { withStatus } from "./problem.ts";

export type RestApp = OpenAPIHono<RestEnv>;

/**
 * Which tokens may call a route: those with the scope, or with any one of several; `any` token at all; or nobody needs one (`open`, which
 * access.ts must let pass, too).
 */
export type RouteScope = AccessScope | readonly [AccessScope, ...AccessScope[]] | "any" | "open";

/** A route says who may call it. */
export type ScopedRoute = RouteConfig & { readonly scope: RouteScope };

/** The scopes of which a caller needs one; none for `any` and `open`. */
export function scopesOf(scope: RouteScope): readonly AccessScope[] {
  if (typeof scope !== "string") return scope;
  return scope === "any" || scope === "open" ? [] : [scope];
}

/** What a route declares of its path and query, as the handler gets it. */
export interface RouteInput<R extends RouteConfig> {
  readonly params: Parsed<R, "params">;
  readonly query: Parsed<R, "query">;
}

type Parsed<R extends RouteConfig, Part extends "params" | "query"> = R["request"] extends
  { [K in Part]: infer S extends z.ZodType } ? z.output<S> : undefined;

/**
 * Registers a route: its schemas go into the OpenAPI document and check path and query before the handler runs. Bodies are
 * read by the handler (see {@link readJson}), which knows whether it wants them whole. `pattern` is the path as the router
 * matches it, where that is more than a part for each parameter. A token without the scope is refused before anything else is looked at.
 */
export function addRoute<const R extends ScopedRoute>(
  app: RestApp,
  route: R,
  handler: (c: RestContext, input: RouteInput<R>) => Response | Promise<Response>,
  pattern = route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
): void {
  const { scope, ...described } = route;
  const scopes = scopesOf(scope);
  app.openAPIRegistry.registerPath({
    ...described,
    ...(scope === "open" ? { security: [] } : { [SCOPES_MEMBER]: scopes }),
  } as RouteConfig);
  const { params, query } = (route.request ?? {}) as { params?: z.ZodType; query?: z.ZodType };
  app.on([route.method.toUpperCase()], [pattern], (c) => {
    const caller = c.get("caller");
    if (!hasScope(caller, scopes)) throw missingScope(caller, scopes);
    const input = {
      params: params && check(params, c.req.param(), "path"),
      query: query && check(query, queryOf(c), "query"),
    } as RouteInput<R>;
    const needed = reachesOut(input.query) ? scopes.filter((each) => each !== "read") : scopes;
    // Of several scopes, reading alone is not enough to make the node call others.
    if (needed.length > 0 && !hasScope(caller, needed)) throw missingScope(caller, needed);
    c.set("scopes", needed);
    return handler(c, input);
  });
}

/** Whether a query has the node ask another one. */
function reachesOut(query: unknown): boolean {
  const target = (query as { target?: unknown } | undefined)?.target;
  return typeof target === "string" && target !== "";
}

/** Where the OpenAPI document tells the scopes of an operation: a token with any one of them may call it, or with none when there are none. */
export const SCOPES_MEMBER = "x-scopes";

/** A parameter given once is a string, given several times an array, which a schema takes or refuses. */
function queryOf(c: RestContext): Record<string, string | string[]> {
  const all = c.req.queries();
  return Object.fromEntries(
    Object.entries(all).map(([name, values]) => [name, values.length === 1 ? values[0]! : values]),
  );
}

/**
 * Reads a JSON body and checks it. Throws `invalid_argument` that names the member and what is wrong with it, with status
 * 415 for another media type: a form of a foreign site cannot send `application/json` unasked.
 */
export async function readJson<S extends z.ZodType>(
  c: RestContext,
  schema: S,
  limits: BodyLimits,
): Promise<z.output<S>> {
  const type = mediaType(c);
  if (type !== "application/json" && !type.endsWith("+json")) throw wrongMediaType(type, "application/json");
  const text = decodeUtf8(await readBody(c.env, limits), "The body");
  return check(schema, parseJson(text), "body");
}

/** Like {@link readJson}, but a request without a body is an empty object, whatever its media type. */
export async function readOptionalJson<S extends z.ZodType>(
  c: RestContext,
  schema: S,
  limits: BodyLimits,
): Promise<z.output<S>> {
  const { headers } = c.env.incoming;
  const hasBody = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
  return hasBody ? await readJson(c, schema, limits) : check(schema, {}, "body");
}

/** The media type of the body, in lower case and without parameters; empty when none is named. */
export function mediaType(c: RestContext): string {
  return (c.env.incoming.headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

/** The error for a body of a type that the route does not take. */
export function wrongMediaType(type: string, wanted: string): NodeError {
  const found = type === "" ? "no Content-Type" : `Content-Type "${type.slice(0, 100)}"`;
  return withStatus(new NodeError("invalid_argument", `This route takes ${wanted}, not a body with ${found}`), 415);
}

const MAX_SHOWN_ISSUES = 5;
/** Issues name what the caller sent, which may be a million names. */
const MAX_SHOWN_CHARACTERS = 300;

function shorten(text: string): string {
  return text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}…` : text;
}

function check<S extends z.ZodType>(schema: S, value: unknown, where: "path" | "query" | "body"): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  const shown = issues.slice(0, MAX_SHOWN_ISSUES).map((issue) => {
    const name = issue.path.join(".");
    return shorten(name === "" ? issue.message : `${name}: ${issue.message}`);
  });
  if (issues.length > shown.length) shown.push(`and ${issues.length - shown.length} more`);
  throw new NodeError("invalid_argument", `The ${where} is not valid: ${shown.join("; ")}`, {
    data: { where, field: shorten(issues[0]!.path.join(".")) },
  });
}
