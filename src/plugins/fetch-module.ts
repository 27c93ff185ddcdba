import { NodeError } from "../core/mod.ts";

export interface FetchModuleOptions {
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Downloads a module over HTTP or HTTPS. Throws `invalid_argument` for another kind of URL, `target_unreachable` when there is no
 * connection, `target_failed` for an answer other than 200, `input_too_large`, `deadline_exceeded`, `canceled`.
 */
export async function fetchModule(address: string, options: FetchModuleOptions): Promise<Uint8Array> {
  const { maxBytes, timeoutMs, signal } = options;
  const url = parse(address);
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, timeout]),
      headers: { accept: "application/wasm" },
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new NodeError(
        "target_failed",
        `${url.host} answered ${response.status} to ${url.pathname}; check the URL`,
        {
          data: { status: response.status },
        },
      );
    }
    return await read(response, { url, maxBytes });
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

async function read(response: Response, { url, maxBytes }: { url: URL; maxBytes: number }): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
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
