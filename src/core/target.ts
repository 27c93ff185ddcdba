import { NodeError } from "./errors.ts";

/** Where a peer or an external plugin is dialled. */
export interface TargetAddress {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
  /** Whether it is dialled with TLS. */
  readonly tls: boolean;
  /** `host:port`, lower case, with brackets around an IPv6 address. */
  readonly authority: string;
  /** The authority, behind `https://` where it is dialled with TLS: the same for every spelling of one target. */
  readonly name: string;
}

const FORMS = "host:port, [IPv6 address]:port or dns:///host:port, or https://host:port for TLS";
const TLS_SCHEME = /^https:\/\//i;
const HOST = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?$/;
const IPV6 = /^[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]{1,32})?$/;

/**
 * Reads a target: `host:port`, `[v6]:port`, or either behind `dns:///`, as gRPC's name syntax writes it, or behind `https://` for TLS.
 * Throws `invalid_argument` for anything else; the port is never guessed.
 */
export function parseTarget(target: string): TargetAddress {
  const tls = TLS_SCHEME.test(target);
  const rest = tls
    ? target.slice("https://".length).replace(/\/$/, "")
    : target.startsWith("dns:///")
    ? target.slice("dns:///".length)
    : target;
  if (rest.includes("/")) throw malformed(target, `write ${FORMS}, without a path`);
  const colon = rest.lastIndexOf(":");
  const bracketed = rest.startsWith("[");
  if (colon < 0 || rest.endsWith("]")) throw malformed(target, `it has no port; write ${FORMS}`);
  const host = bracketed ? rest.slice(1, colon - 1) : rest.slice(0, colon);
  if (bracketed ? rest[colon - 1] !== "]" || !isIpv6(host) : !HOST.test(host)) {
    throw malformed(target, `"${host.slice(0, 80)}" is no host; write ${FORMS}`);
  }
  const digits = rest.slice(colon + 1);
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0;
  if (port < 1 || port > 65535) {
    throw malformed(target, `"${digits.slice(0, 80)}" is no port from 1 to 65535; write ${FORMS}`);
  }
  const lower = host.toLowerCase();
  const authority = bracketed ? `[${lower}]:${port}` : `${lower}:${port}`;
  return { host: lower, port, tls, authority, name: tls ? `https://${authority}` : authority };
}

/** The one spelling of a target. Throws like {@link parseTarget}. */
export function targetName(target: string): string {
  return parseTarget(target).name;
}

function isIpv6(host: string): boolean {
  return IPV6.test(host) && host.includes(":");
}

function malformed(target: string, problem: string): NodeError {
  const shown = target.length > 80 ? `${target.slice(0, 80)}…` : target;
  return new NodeError("invalid_argument", `Cannot read the target "${shown}": ${problem}`, {
    data: { target: shown },
  });
}
