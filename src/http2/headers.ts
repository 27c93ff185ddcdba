import { type IncomingHttpHeaders, type OutgoingHttpHeaders, sensitiveHeaders } from "node:http2";
import { UNINDEXED } from "./engine.ts";

/** Headers of which one value makes sense: a second one is dropped, as node:http2 does. */
const SINGLE = new Set([
  ...[":authority", ":method", ":path", ":scheme", ":protocol", "age", "authorization", "content-encoding"],
  ...["content-language", "content-length", "content-location", "content-md5", "content-range", "content-type"],
  ...["date", "dnt", "etag", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range"],
  ...["if-unmodified-since", "last-modified", "location", "max-forwards", "proxy-authorization", "range", "referer"],
  ...["retry-after", "tk", "upgrade-insecure-requests", "user-agent", "x-content-type-options"],
]);

/** What HTTP/2 has no place for (RFC 9113 §8.2.2). */
const OF_CONNECTION = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);

const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const NO_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

/** Names and values in turns, as an object in which each name is once. */
export function headersOf(raw: readonly string[]): IncomingHttpHeaders {
  const headers: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    const known = headers[name];
    if (known === undefined) headers[name] = name === "set-cookie" ? [value] : value;
    else if (Array.isArray(known)) known.push(value);
    else if (!SINGLE.has(name)) headers[name] = known + (name === "cookie" ? "; " : ", ") + value;
  }
  return headers;
}

/** Headers as `name\0value\0` each, those of HTTP/2 itself first. Throws a TypeError for what cannot be sent. */
export function textOf(headers: OutgoingHttpHeaders): string {
  const unindexed = headers[sensitiveHeaders as unknown as string] as readonly string[] | undefined;
  let own = "";
  let rest = "";
  for (const key in headers) {
    const value = headers[key];
    if (value === undefined) continue;
    const name = key.toLowerCase();
    if (!NAME.test(name)) throw new TypeError(`A header cannot have the name ${JSON.stringify(key)}`);
    if (OF_CONNECTION.has(name)) throw new TypeError(`HTTP/2 has no header ${name}`);
    for (const each of Array.isArray(value) ? value : [value]) {
      const text = `${each}`.trim();
      if (NO_VALUE.test(text)) throw new TypeError(`The header ${name} has a character that cannot be sent`);
      if (name.startsWith(":")) own += `${name}\0${text}\0`;
      else rest += `${unindexed?.includes(name) === true ? UNINDEXED : ""}${name}\0${text}\0`;
    }
  }
  return own + rest;
}
