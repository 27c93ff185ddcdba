import { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { AccessToken, AccessTokens, Caller } from "../core/mod.ts";

/** How long a login lasts, in milliseconds. */
export const SESSION_MS = 12 * 3_600_000;

/**
 * Logins of the web page. A page cannot put a header on what `<video>`, `<img>` and EventSource load, so it trades a token
 * for a cookie that no script can read (`HttpOnly`) and no other site can make a browser send (`SameSite=Strict`). Its value is the
 * time when it ends, the digest of the token, and an HMAC of both under a secret of the node: nothing is stored, logins outlive a restart, and
 * those of a token end with it. Browsers share cookies between the ports of a host, so the name tells which node it is for.
 */
export interface SessionCookies {
  /** A `Set-Cookie` value that logs in with a token; undefined for a caller without one. */
  issue(
    caller: Caller | AccessToken,
    options: { readonly nowMs: number; readonly secure: boolean },
  ): string | undefined;
  /** A `Set-Cookie` value that logs out. */
  clear(): string;
  /** The token that the request's cookie stands for, if both are still good. */
  caller(incoming: IncomingMessage, nowMs: number): AccessToken | undefined;
}

export interface SessionCookieOptions {
  readonly tokens: AccessTokens;
  /** A secret of the node; without it logins end with the process. */
  readonly key?: Uint8Array | undefined;
  readonly nodeId: string;
}

export function createSessionCookies(
  { tokens, key = randomBytes(32), nodeId }: SessionCookieOptions,
): SessionCookies {
  const name = `velas_session_${nodeId.slice(2, 10).toLowerCase()}`;
  const pattern = new RegExp(`(?:^|; *)${name}=([0-9]{1,16})\\.([A-Za-z0-9_-]{43})\\.([A-Za-z0-9_-]{43})(?:;|$)`);
  const sign = (endsAt: string, digest: string) =>
    createHmac("sha256", key).update(`velas-sphere web session v2 ${name} ${endsAt} ${digest}`).digest();
  const attributes = "Path=/; HttpOnly; SameSite=Strict";

  return {
    issue(caller, { nowMs, secure }) {
      if (!("digest" in caller)) return undefined;
      const endsAt = String(nowMs + SESSION_MS);
      const digest = Buffer.from(caller.digest).toString("base64url");
      const value = `${endsAt}.${digest}.${sign(endsAt, digest).toString("base64url")}`;
      return `${name}=${value}; Max-Age=${SESSION_MS / 1000}; ${attributes}${secure ? "; Secure" : ""}`;
    },
    clear: () => `${name}=; Max-Age=0; ${attributes}`,
    caller({ headers }, nowMs) {
      const found = pattern.exec(headers.cookie ?? "");
      if (found === null) return undefined;
      const [, endsAt, digest, mac] = found as unknown as [string, string, string, string];
      const isGood = timingSafeEqual(Buffer.from(mac, "base64url"), sign(endsAt, digest)) && nowMs < Number(endsAt);
      return isGood ? tokens.withDigest(Buffer.from(digest, "base64url"), nowMs) : undefined;
    },
  };
}
