import { request as requestHttp } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { NodeError } from "../core/mod.ts";
import type { OutboundRules } from "../core/mod.ts";

export interface FetchModuleOptions {
  readonly maxBytes: number;
  readonly timeoutMs: number;
  /** Where the URL, and each that it redirects to, may lead. */
  readonly outbound: OutboundRules;
  readonly signal: AbortSignal;
}

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Downloads a module over HTTP or HTTPS, uncompressed, following a few redirects. Throws `invalid_argument` for another kind of URL,
 * `permission_denied` when it leads to an address that is not public, `target_unreachable` when there is no connection,
 * `target_failed` for an answer other than 200, `input_too_large`, `deadline_exceeded`, `canceled`.
 */
export async function fetchModule(address: string, options: FetchModuleOptions): Promise<Uint8Array> {
  const { timeoutMs, signal } = options;
  let url = parse(address);
  const timeout = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, timeout]);
  try {
    for (let redirects = 0;; redirects++) {
      const response = await open(url, { ...options, signal: either });
      const { statusCode: status = 0 } = response;
      const { location } = response.headers;
      if (status === 200) return await read(response, { ...options, url });
      response.destroy();
      if (!REDIRECTS.has(status) || location === undefined) {
        throw new NodeError(
          "target_failed",
          `${url.host} answered ${status} to ${url.pathname}; check the URL`,
          { data: { status } },
        );
      }
      if (redirects === MAX_REDIRECTS) {
        throw new NodeError("target_failed", `${url.host} redirects more than ${MAX_REDIRECTS} times; check the URL`);
      }
      const next = URL.parse(location, url);
      url = parse(next?.href ?? location);
    }
  } catch (cause) {
    if (cause instanceof NodeError) throw cause;
    if (signal.aborted) throw new NodeError("canceled", "The download was canceled", { cause });
    if (timeout.aborted) {
      throw new NodeError("deadline_exceeded", `${url.host} did not send the module within ${timeoutMs} ms`, { cause });
    }
    throw new NodeError("target_unreachable", `Cannot download from ${url.host}; check the URL and the network`, {
      cause,
    });
  }
}

function parse(address: string): URL {
  const url = URL.parse(address);
  if (url !== null && (url.protocol === "https:" || url.protocol === "http:")) return url;
  throw new NodeError(
    "invalid_argument",
    `A plugin is installed from an http or https URL, not from "${address.slice(0, 200)}"`,
  );
}

/** Sends the request and gives the answer when its head is there. */
function open(
  url: URL,
  { outbound, signal }: Pick<FetchModuleOptions, "outbound" | "signal">,
): Promise<IncomingMessage> {
  outbound.checkLiteral(url);
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    request(url, {
      headers: { accept: "application/wasm", "accept-encoding": "identity" },
      // A connection of its own: one that is kept was checked for another name.
      agent: false,
      lookup: outbound.lookup,
      signal,
    }, resolve).on("error", reject).end();
  });
}

async function read(
  response: IncomingMessage,
  { url, maxBytes }: { readonly url: URL; readonly maxBytes: number },
): Promise<Uint8Array> {
  const encoding = response.headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") {
    response.destroy();
    throw new NodeError(
      "target_failed",
      `${url.host} sent the module compressed (${encoding}), which was not asked for`,
    );
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    // Leaving the loop cancels the download.
    if (length > maxBytes) {
      throw new NodeError(
        "input_too_large",
        `The module at ${url.host} has more than ${maxBytes} bytes (plugins.maxModuleBytes)`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
