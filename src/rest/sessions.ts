import { z } from "@hono/zod-openapi";
import { ACCESS_SCOPES, type AccessToken, type Caller, type Clock } from "../core/mod.ts";
import { json } from "./context.ts";
import { failures, jsonContent } from "./openapi.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import type { SessionCookies } from "./session-cookie.ts";

export interface SessionRouteOptions {
  readonly cookies: SessionCookies;
  readonly clock: Clock;
}

const Session = z.object({
  token: z.string().optional().openapi({
    description: "The name of the token, never the token itself; absent when the node wants none.",
    examples: ["ci"],
  }),
  scopes: z.array(z.enum(ACCESS_SCOPES)).openapi({
    description: "What the caller may do.",
    examples: [["tasks", "read"]],
  }),
  expiresAt: z.number().optional().openapi({
    description: "When the token ends, in milliseconds since the epoch; absent when it does not.",
    examples: [1_796_083_200_000],
  }),
}).openapi("Session", { description: "Who calls, and what for." });

/** Logging in and out of the web page, and who one is. */
export function addSessionRoutes(app: RestApp, { cookies, clock }: SessionRouteOptions): void {
  addRoute(app, {
    method: "get",
    path: "/v1/session",
    tags: ["Operations"],
    operationId: "getSession",
    scope: "any",
    summary: "What may this token do?",
    responses: { 200: jsonContent(Session, "The token's name and scopes."), ...failures() },
  }, (c) => json(sessionJson(c.get("caller")), 200, { "Cache-Control": "no-store" }));

  addRoute(app, {
    method: "post",
    path: "/v1/session",
    tags: ["Operations"],
    operationId: "logIn",
    scope: "any",
    summary: "Log in a browser",
    description:
      "Bear a token once; the answer sets a cookie that stands for it for 12 hours, with the token's scopes. Programs need none.",
    responses: { 204: { description: "Logged in." }, ...failures() },
  }, (c) => {
    const secure = "encrypted" in c.env.incoming.socket;
    const cookie = cookies.issue(c.get("caller"), { nowMs: clock.now(), secure });
    return new Response(null, { status: 204, headers: cookie === undefined ? {} : { "Set-Cookie": cookie } });
  });

  addRoute(app, {
    method: "delete",
    path: "/v1/session",
    tags: ["Operations"],
    operationId: "logOut",
    scope: "any",
    summary: "Log out a browser",
    responses: { 204: { description: "Logged out." }, ...failures() },
  }, () => new Response(null, { status: 204, headers: { "Set-Cookie": cookies.clear() } }));
}

function sessionJson(caller: Caller | AccessToken) {
  const expiresAt = "expiresAt" in caller ? caller.expiresAt : undefined;
  return {
    ...(caller.name !== "" && { token: caller.name }),
    scopes: ACCESS_SCOPES.filter((scope) => caller.scopes.has(scope)),
    ...(expiresAt !== undefined && { expiresAt }),
  };
}
