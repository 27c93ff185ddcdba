import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** How long a login lasts, in milliseconds. */
export const SESSION_MS = 12 * 3_600_000;

/**
 * Logins of the web page. A page cannot put a header on what `<video>`, `<img>` and EventSource load, so it trades the token
 * for a cookie that no script can read (`HttpOnly`) and no other site can make a browser send (`SameSite=Strict`). Its value is the
 * time when it ends and an HMAC of it under a key made from the token: nothing is stored, logins outlive a restart, and a new token ends
 * them all. Browsers share cookies between the ports of a host, so the name tells which node it is for.
 */
export interface SessionCookies {
  /** A `Set-Cookie` value that logs in. */
  issue(nowMs: number, options: { readonly secure: boolean }): string;
  /** A `Set-Cookie` value that logs out. */
  clear(): string;
  /** Whether the request has a cookie that is still good. */
  accepts(incoming: IncomingMessage, nowMs: number): boolean;
}

export function createSessionCookies(
  { token, nodeId }: { readonly token: string; readonly nodeId: string },
): SessionCookies {
  const name = `velas_session_${nodeId.slice(2, 10).toLowerCase()}`;
  const key = createHmac("sha256", token).update("velas-sphere web session v1").digest();
  const pattern = new RegExp(`(?:^|; *)${name}=([0-9]{1,16})\\.([A-Za-z0-9_-]{43})(?:;|$)`);
  const sign = (endsAt: string) => createHmac("sha256", key).update(`${name} ${endsAt}`).digest();
  const attributes = "Path=/; HttpOnly; SameSite=Strict";

  return {
    issue(nowMs, { secure }) {
      const endsAt = String(nowMs + SESSION_MS);
      const value = `${endsAt}.${sign(endsAt).toString("base64url")}`;
      return `${name}=${value}; Max-Age=${SESSION_MS / 1000}; ${attributes}${secure ? "; Secure" : ""}`;
    },
    clear: () => `${name}=; Max-Age=0; ${attributes}`,
    accepts({ headers }, nowMs) {
      const found = pattern.exec(headers.cookie ?? "");
      if (found === null) return false;
      const [, endsAt, mac] = found as unknown as [string, string, string];
      return timingSafeEqual(Buffer.from(mac, "base64url"), sign(endsAt)) && nowMs < Number(endsAt);
    },
  };
}
