import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { ConnectFiles } from "./connect-files.ts";
import { SphereClient } from "./sphere-client.ts";

export interface ConnectNodeOptions {
  /** The node's RPC address with its scheme: `http://127.0.0.1:8081`. */
  readonly url: string;
  /** The node's REST token: its files want it when other machines reach the port. */
  readonly token?: string;
}

/** A client for Node and Deno, over one HTTP/2 connection that opens with the first call. Close it at the end. */
export function connectNode({ url, token }: ConnectNodeOptions): SphereClient {
  const sessionManager = new Http2SessionManager(url);
  const authorize: Interceptor = (next) => (request) => {
    if (token !== undefined) {
      request.header.set("Authorization", `Bearer ${token}`);
    }
    return next(request);
  };
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: "2",
    sessionManager,
    interceptors: [authorize],
  });
  return new SphereClient({
    transport,
    files: new ConnectFiles(transport),
    close: () => sessionManager.abort(),
  });
}
