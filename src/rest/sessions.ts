import type { Clock } from "../core/mod.ts";
import { failures } from "./openapi.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import type { SessionCookies } from "./session-cookie.ts";

export interface SessionRouteOptions {
  /** Absent when the node wants no token, and so no login. */
  readonly cookies?: SessionCookies | undefined;
  readonly clock: Clock;
}

/** Logging in and out of the web page. */
export function addSessionRoutes(app: RestApp, { cookies, clock }: SessionRouteOptions): void {
  addRoute(app, {
    method: "post",
    path: "/v1/session",
    tags: ["Operations"],
    operationId: "logIn",
    summary: "Log in a browser",
    description: "Bear the token once; the answer sets a cookie that stands for it for 12 hours. Programs need none.",
    responses: { 204: { description: "Logged in." }, ...failures() },
  }, (c) => {
    const secure = "encrypted" in c.env.incoming.socket;
    return new Response(null, {
      status: 204,
      headers: cookies === undefined ? {} : { "Set-Cookie": cookies.issue(clock.now(), { secure }) },
    });
  });

  addRoute(app, {
    method: "delete",
    path: "/v1/session",
    tags: ["Operations"],
    operationId: "logOut",
    summary: "Log out a browser",
    responses: { 204: { description: "Logged out." }, ...failures() },
  }, () =>
    new Response(null, {
      status: 204,
      headers: cookies === undefined ? {} : { "Set-Cookie": cookies.clear() },
    }));
}
