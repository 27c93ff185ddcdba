import { createConnectTransport } from "@connectrpc/connect-web";
import { RestFiles } from "./rest-files.ts";
import { CallSigner, type Signing } from "./signing.ts";
import { SphereClient } from "./sphere-client.ts";

export * from "./mod.ts";

export interface ConnectWebOptions {
  /** The node's RPC address with its scheme: `http://127.0.0.1:8081`. The page's origin must be in `rpc.allowedOrigins`. */
  readonly url: string;
  /** The node's REST address, for files: `http://127.0.0.1:3000`. The page's origin must be in `rest.allowedOrigins`. */
  readonly restUrl: string;
  /** The node's REST token, when it has one. */
  readonly token?: string;
  /** Signs calls for tasks and payments, which nodes want that take money or serve only whom they know. */
  readonly signing?: Signing;
}

/** A client for browsers, over fetch. */
export function connectWeb(
  { url, restUrl, token, signing }: ConnectWebOptions,
): SphereClient {
  const plain = createConnectTransport({ baseUrl: url, useBinaryFormat: true });
  const transport = signing === undefined ? plain : createConnectTransport({
    baseUrl: url,
    useBinaryFormat: true,
    interceptors: [new CallSigner(signing, plain).interceptor],
  });
  return new SphereClient({
    transport,
    files: new RestFiles({
      url: restUrl,
      ...(token === undefined ? {} : { token }),
    }),
    ...(signing !== undefined && "key" in signing ? { key: signing.key } : {}),
  });
}
