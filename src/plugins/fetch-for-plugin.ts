import { lookup } from "node:dns";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { BlockList, isIP } from "node:net";
import { NodeError } from "../core/mod.ts";
import { demand } from "./asker.ts";
import type { Asker } from "./asker.ts";
import { ANSWER_BYTES } from "./host-request.ts";
import type { HostAnswer, HostRequest } from "./host-request.ts";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
/** Headers that say where a request goes or how it is framed are the node's. */
const OWN_HEADERS = new Set(["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"]);

/** Addresses that names may not lead to: this machine, private networks, and what is no single host (IANA special-purpose registries). */
const SPECIAL = new BlockList();
for (
  const [network, prefix] of [
    ...[["0.0.0.0", 8], ["10.0.0.0", 8], ["100.64.0.0", 10], ["127.0.0.0", 8], ["169.254.0.0", 16]] as const,
    ...[["172.16.0.0", 12], ["192.0.0.0", 24], ["192.168.0.0", 16], ["198.18.0.0", 15], ["224.0.0.0", 3]] as const,
  ]
) SPECIAL.addSubnet(network, prefix, "ipv4");
for (
  const [network, prefix] of [["::", 96], ["64:ff9b::", 96], ["fc00::", 7], ["fe80::", 10], ["ff00::", 8]] as const
) {
  SPECIAL.addSubnet(network, prefix, "ipv6");
}

/** Whether an address is one that only this machine or its networks reach. */
export function isPrivateAddress(address: string): boolean {
  if (isIP(address) === 4) return SPECIAL.check(address, "ipv4");
  // No resolver has to give IPv4 in IPv6's clothes. (A rule for them would also match plain IPv4 in a BlockList.)
  return /^::ffff:/i.test(address) || SPECIAL.check(address, "ipv6");
}

/**
 * One HTTP request for a plugin, to a host that it was granted by name. The name must lead to a public address, which is checked where
 * the connection is made, so that it cannot change in between; an address that the operator granted as such may be any.
 * Redirects are not followed. Throws `permission_denied`, `invalid_argument`, `target_unreachable`, `output_too_large`, `canceled`.
 */
export function fetchForPlugin(
  { request, body }: HostRequest & { readonly type: "http" },
  asker: Asker,
): Promise<HostAnswer> {
  const { url, method, headers } = parse(request);
  const isLiteral = isIP(url.hostname.replace(/^\[|\]$/g, "")) !== 0;
  demand(asker, `http:${url.port === "" ? url.hostname : url.host}`);
  const open = url.protocol === "https:" ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(
        error instanceof NodeError
          ? error
          : asker.signal.aborted
          ? new NodeError("canceled", "The call was canceled")
          : new NodeError("target_unreachable", `The plugin cannot reach ${url.host}: ${error.message}`, {
            cause: error,
          }),
      );
    const outgoing = open(url, {
      method,
      headers,
      signal: asker.signal,
      agent: false,
      ...!isLiteral && { lookup: lookupPublic as typeof lookup },
    }, (response) => {
      const pieces: Buffer[] = [];
      let length = 0;
      response.on("data", (piece: Buffer) => {
        length += piece.length;
        if (length > ANSWER_BYTES) {
          outgoing.destroy(
            new NodeError("output_too_large", `${url.host} answered with more than ${ANSWER_BYTES} bytes to a plugin`),
          );
        } else pieces.push(piece);
      });
      response.on("error", fail);
      response.on("end", () =>
        resolve({
          bytes: Buffer.concat(pieces),
          number: response.statusCode ?? 0,
          headers: JSON.stringify(Object.fromEntries(
            Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
          )).slice(0, 1 << 15),
        }));
    });
    outgoing.on("error", fail);
    outgoing.end(body);
  });
}

type LookupDone = (error: Error | null, addresses: unknown, family?: number) => void;

function lookupPublic(name: string, options: { readonly all?: boolean }, done: LookupDone): void {
  lookup(name, { all: true }, (error, addresses) => {
    if (error !== null) return done(error, []);
    const hidden = addresses.find(({ address }) => isPrivateAddress(address));
    if (hidden !== undefined || addresses.length === 0) {
      return done(
        new NodeError(
          "permission_denied",
          `A plugin may not reach ${name}: it leads to ${hidden?.address ?? "nothing"}`,
        ),
        [],
      );
    }
    if (options.all === true) return done(null, addresses);
    done(null, addresses[0]!.address, addresses[0]!.family);
  });
}

function parse(text: string): { url: URL; method: string; headers: Record<string, string> } {
  let request: { url?: unknown; method?: unknown; headers?: unknown };
  try {
    request = JSON.parse(text) as typeof request;
  } catch (cause) {
    throw new NodeError("invalid_argument", "A plugin's HTTP request is not JSON", { cause });
  }
  const url = URL.parse(String(request?.url));
  const method = String(request?.method ?? "GET").toUpperCase();
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:") || !METHODS.has(method)) {
    throw new NodeError("invalid_argument", "A plugin's HTTP request must have an http or https URL and a method");
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries((request.headers ?? {}) as Record<string, unknown>)) {
    if (!/^[a-z0-9-]{1,64}$/i.test(name) || OWN_HEADERS.has(name.toLowerCase())) continue;
    headers[name] = String(value).replace(/[^\x20-\x7e]/g, "").slice(0, 4096);
  }
  return { url, method, headers };
}
