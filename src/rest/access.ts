import type { IncomingMessage } from "node:http";
import type { AccessTokens, Caller, Clock } from "../core/mod.ts";
import { NOBODY, NodeError, OWNER } from "../core/mod.ts";
import type { SessionCookies } from "./session-cookie.ts";

export interface AccessOptions {
  /** Without them, or while they are not required, everybody who reaches the node is its owner. */
  readonly tokens?: AccessTokens | undefined;
  readonly allowedHosts?: readonly string[] | undefined;
  readonly allowedOrigins?: readonly string[] | undefined;
  /** Logins of the web page, which count as their token. */
  readonly cookies?: SessionCookies | undefined;
  readonly clock: Pick<Clock, "now">;
}

/** What needs no token: a supervisor's question, prices for everybody, and the files of the web page, which hold nothing of the node. */
const OPEN_PATH = /^\/(?:healthz|\.well-known\/velas-sphere\/offer|ui\/[a-z.]+)(?:\?|$)/;
const PAGE_PATH = /^\/(?:\?|$)/;

/** Who sends a request, or the error that refuses it. What the caller may do its route decides, by its scopes. */
export type AccessCheck = (incoming: IncomingMessage) => Caller | NodeError;

/**
 * Decides who may call at all. In this order:
 *
 * 1. Host, when `allowedHosts` is set: a page of a foreign site whose name was made to resolve to this machine (DNS
 *    rebinding) still sends its own name.
 * 2. Origin: a browser names the page's site on every request of another site that could change something. Only the node's
 *    own pages and `allowedOrigins` pass; programs such as curl send none.
 * 3. Token, when the node wants one; or a login of the web page, which for anything but reading must come with an Origin, as
 *    browsers send it.
 */
export function createAccessCheck(options: AccessOptions): AccessCheck {
  const { tokens, allowedHosts, allowedOrigins = [], cookies, clock } = options;
  const hosts = allowedHosts && new Set(allowedHosts.map((host) => host.toLowerCase()));
  const origins = new Set(allowedOrigins.map((origin) => origin.toLowerCase()));

  const isKnown = (host: string) => hosts === undefined || hosts.has(host) || hosts.has(host.replace(/:[0-9]+$/, ""));
  // Nearly every request names the same host.
  let lastKnown: string | undefined;

  return (incoming) => {
    const { headers, url = "", method } = incoming;
    if (namesHosts(incoming)) return new NodeError("invalid_argument", "The request has more than one Host: send one");
    const host = headers.host?.toLowerCase() ?? "";
    if (host !== lastKnown && isKnown(host)) lastKnown = host;
    if (host !== lastKnown) {
      return new NodeError(
        "permission_denied",
        `The host "${shorten(host)}" is not one of this node's names (${allowedHosts!.join(", ")}); ` +
          "use one of them, or add it to the allowed hosts of the REST listener",
        { data: { host: shorten(host) } },
      );
    }
    const origin = headers.origin?.toLowerCase();
    if (origin !== undefined && !isSameSite(origin, host) && !origins.has(origin)) return foreignOrigin(origin);
    // Browsers that keep the origin back still tell this much; a GET changes nothing and may come from a link.
    if (
      origin === undefined && headers["sec-fetch-site"] === "cross-site" && headers["sec-fetch-mode"] !== "navigate"
    ) {
      return foreignOrigin("a cross-site request");
    }
    if (tokens === undefined || !tokens.required) return OWNER;
    if (OPEN_PATH.test(url)) return NOBODY;
    if (PAGE_PATH.test(url) && method === "GET" && headers.accept?.includes("text/html")) return NOBODY;
    const reads = method === "GET" || method === "HEAD";
    if (headers.authorization === undefined && headers.cookie !== undefined && (reads || origin !== undefined)) {
      const caller = cookies?.caller(incoming, clock.now());
      if (caller !== undefined) return caller;
    }
    return tokens.bearer(headers.authorization, clock.now());
  };
}

/** Whether a request names its host more than once: whoever is between may have gone by another one than this node (RFC 9112 §3.2). */
function namesHosts({ rawHeaders }: IncomingMessage): boolean {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === "host") count++;
  }
  return count > 1;
}

function isSameSite(origin: string, host: string): boolean {
  return origin === `http://${host}` || origin === `https://${host}`;
}

function foreignOrigin(origin: string): NodeError {
  return new NodeError(
    "permission_denied",
    `The origin "${shorten(origin)}" may not call this node; open the node's own pages, ` +
      "or add the origin to the allowed origins of the REST listener",
    { data: { origin: shorten(origin) } },
  );
}

/** What is foreign is shown, but not at any length. */
function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
