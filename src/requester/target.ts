import { NodeError } from "../core/mod.ts";

const TARGET = /^(?:dns:\/\/\/)?(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?):(\d{1,5})$/;

/**
 * Reads the address of a provider, `host:port`, `[v6]:port`, or either behind `dns:///`, and returns it as `host:port` with the
 * host in lower case. Throws `invalid_argument` for anything else.
 */
export function parseTarget(target: string): string {
  const match = target.length > 300 ? null : TARGET.exec(target);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) {
    throw new NodeError(
      "invalid_argument",
      `The target ${
        JSON.stringify(target.slice(0, 300))
      } is not a provider's address: write host:port, such as 127.0.0.1:8081`,
      { data: { target: target.slice(0, 300) } },
    );
  }
  return `${match[1]!.toLowerCase()}:${port}`;
}
