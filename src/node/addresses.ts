import { type Address, type Config, isLoopback, parseAddress } from "../config/mod.ts";

/**
 * The names that REST requests may carry. On loopback this keeps websites out; elsewhere a token does, and the names by which
 * others reach the node are not known here, so only configured ones are checked.
 */
export function hostCheck({ rest }: Config, { host }: Address): { allowedHosts?: readonly string[] } {
  if (!isLoopback(host) && rest.allowedHosts.length === 0) return {};
  return { allowedHosts: ["localhost", "127.0.0.1", "[::1]", showHost(host), ...rest.allowedHosts] };
}

/** The address in a text that the configuration's schema has checked. */
export function addressOf(text: string): Address {
  return parseAddress(text)!;
}

function showHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** An address as `host:port`. */
export function showAddress({ host, port }: Address): string {
  return `${showHost(host)}:${port}`;
}

/** Whether only programs of this machine reach the RPC ports. */
export function isRpcLocal({ rpc }: Config): boolean {
  return rpc.listen.every((listen) => isLoopback(addressOf(listen).host));
}
