import { isDeno, NodeError } from "../core/mod.ts";

/** The Deno releases whose `node:http2` a peer can crash by opening and closing connections (denoland/deno#36788). */
const FAULTY_DENO = /^2\.9\.[456](?![0-9])/;

/** The version of Deno that runs the program; undefined on Node. */
function denoVersion(): string | undefined {
  if (!isDeno) return undefined;
  return (globalThis as unknown as { Deno: { version: { deno: string } } }).Deno.version.deno;
}

/**
 * Throws `runtime_unsupported` on a runtime that a peer can crash: Deno 2.9.4 to 2.9.6. To be called before anything listens.
 */
export function assertRuntimeSupported(deno: string | undefined = denoVersion()): void {
  if (deno !== undefined && FAULTY_DENO.test(deno)) {
    throw new NodeError(
      "runtime_unsupported",
      `Deno ${deno} cannot serve HTTP/2 safely: a peer that opens and closes connections ends the process. ` +
        "Use Node 24, Deno 2.8.3, or a Deno that is newer than 2.9.6",
      { data: { runtime: "deno", version: deno } },
    );
  }
}
