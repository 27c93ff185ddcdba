import { createConnectTransport } from "@connectrpc/connect-web";
import { RestFiles } from "./rest-files.ts";
import { SphereClient } from "./sphere-client.ts";

export interface ConnectWebOptions {
  /** The node's RPC address with its scheme: `http://127.0.0.1:8081`. The page's origin must be in `rpc.allowedOrigins`. */
  readonly url: string;
  /** The node's REST address, for files: `http://127.0.0.1:3000`. The page's origin must be in `rest.allowedOrigins`. */
  readonly restUrl: string;
  /** The node's REST token, when it has one. */
  readonly token?: string;
}

/** A client for browsers, over fetch. */
export function connectWeb(
  { url, restUrl, token }: ConnectWebOptions,
): SphereClient {
  const transport = createConnectTransport({ baseUrl: url });
  return new SphereClient({
    transport,
    files: new RestFiles({
      url: restUrl,
      ...(token === undefined ? {} : { token }),
    }),
  });
}
