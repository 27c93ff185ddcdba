import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { ConnectFiles } from "./connect-files.ts";
import { CallSigner, type Signing } from "./signing.ts";
import { SphereClient } from "./sphere-client.ts";

export * from "./mod.ts";

export interface ConnectNodeOptions {
  /** The node's RPC address with its scheme: `http://127.0.0.1:8081`. */
  readonly url: string;
  /** The node's REST token: its files want it when other machines reach the port. */
  readonly token?: string;
  /** Signs all calls, which nodes want that take money or serve only whom they know. */
  readonly signing?: Signing;
}

/** A client for Node and Deno, over one HTTP/2 connection that opens with the first call. Close it at the end. */
export function connectNode({ url, token, signing }: ConnectNodeOptions): SphereClient {
  const sessionManager = new Http2SessionManager(url);
  const authorize: Interceptor = (next) => (request) => {
    if (token !== undefined) {
      request.header.set("Authorization", `Bearer ${token}`);
    }
    return next(request);
  };
  const transportWith = (interceptors: Interceptor[]) =>
    createConnectTransport({ baseUrl: url, httpVersion: "2", sessionManager, interceptors });
  const plain = transportWith([authorize]);
  const transport = signing === undefined
    ? plain
    : transportWith([authorize, new CallSigner(signing, plain).interceptor]);
  return new SphereClient({
    transport,
    files: new ConnectFiles(transport),
    close: () => sessionManager.abort(),
    ...(signing !== undefined && "key" in signing ? { key: signing.key } : {}),
  });
}
