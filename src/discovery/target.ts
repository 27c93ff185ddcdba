import { isIP } from "node:net";
import { type OutboundRules, parseTarget } from "../core/mod.ts";

/**
 * The target in a url of the registry: `host:port` or `http://host:port` of plaintext RPC, or `https://host:port` of RPC with TLS, with nothing
 * behind the port. Undefined for anything else.
 */
export function targetOfUrl(url: string): string | undefined {
  const bare = url.replace(/^(?:http|grpc):\/\//, "").replace(/\/$/, "");
  try {
    return parseTarget(bare).name;
  } catch {
    return undefined;
  }
}

/** Numbers that are no address in dotted form, such as 2130706433 or 0x7f.1, and that many resolvers take for one. */
const NUMBERS = /^(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+))*\.?$/i;

/** The host of a target, without brackets. */
export function hostOf(target: string): string {
  return parseTarget(target).host;
}

/** Whether the rules forbid the address in a target. What a name leads to is checked when it is dialled. */
export function isForbidden(target: string, rules: Pick<OutboundRules, "check">): boolean {
  const host = hostOf(target);
  if (isIP(host) === 0) return NUMBERS.test(host);
  try {
    rules.check(host);
    return false;
  } catch {
    return true;
  }
}
