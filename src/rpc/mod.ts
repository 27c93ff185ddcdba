/**
 * The RPC face of a node. One port speaks gRPC, gRPC-Web and Connect over HTTP/2 and HTTP/1.1: a connection's first bytes (or ALPN) say
 * which HTTP it is, then a call goes one of two ways to the same function. Unary gRPC in its plain form, which is nearly all the
 * traffic between nodes, takes the fast path, a few hundred lines over the stream API of node:http2; everything else goes through
 * @connectrpc/connect. `route.ts` ties each method to its function and validates its requests; `calls.ts` keeps the open calls with
 * their deadlines, so that the server can drain. Threads may stand in front of all that (`fronts/`).
 */
export { AllowList } from "./allow-list.ts";
export { Authenticator, type AuthenticatorOptions } from "./authenticator.ts";
export * from "./errors.ts";
export type { PluginExecution, PluginImplementation, PluginInput, PluginOutput } from "./plugin-api.ts";
export { createPluginServer, supervision } from "./plugin-server.ts";
export type { PluginServerOptions, Supervision } from "./plugin-server.ts";
export { assertRuntimeSupported } from "./runtime-check.ts";
export { createRpcServer, DEFAULT_RPC_LIMITS } from "./server.ts";
export type { RpcLimits, RpcServer, RpcServerOptions } from "./server.ts";
export { HealthState } from "./services/health.ts";
export type { HealthSource } from "./services/health.ts";
