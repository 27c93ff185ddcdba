import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { NodeError } from "../core/mod.ts";
import type { OutboundRules } from "../core/mod.ts";
import { demand } from "./asker.ts";
import type { Asker } from "./asker.ts";
import { ANSWER_BYTES } from "./host-request.ts";
import type { HostAnswer, HostRequest } from "./host-request.ts";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const HEADER_NAME = /^[a-z0-9-]{1,64}$/i;
const HEADER_VALUE = /^[\x20-\x7e\t]{0,4096}$/;
/** Headers that say where a request goes or how it is framed are the node's. */
const OWN_HEADERS = new Set(["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"]);

/**
 * One HTTP request for a plugin, to a host that it was granted by name. The name must lead to a public address, which is checked where
 * the connection is made, so that it cannot change in between, or to one of node.allowNetworks; an address that the operator granted
 * as such may be any.
 * Redirects are not followed. Throws `permission_denied`, `invalid_argument`, `target_unreachable`, `output_too_large`, `canceled`.
 */
export function fetchForPlugin(
  { request, body }: HostRequest & { readonly type: "http" },
  asker: Asker,
  outbound: OutboundRules,
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
      ...!isLiteral && { lookup: outbound.lookup },
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
    if (OWN_HEADERS.has(name.toLowerCase())) continue;
    if (!HEADER_NAME.test(name)) {
      throw new NodeError(
        "invalid_argument",
        "A header of a plugin's HTTP request has no name of 1 to 64 letters, digits and hyphens",
      );
    }
    const text = String(value);
    if (!HEADER_VALUE.test(text)) {
      throw new NodeError(
        "invalid_argument",
        `The header ${name} of a plugin's HTTP request is no line of up to 4096 printable ASCII characters`,
      );
    }
    headers[name] = text;
  }
  return { url, method, headers };
}
