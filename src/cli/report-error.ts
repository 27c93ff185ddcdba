import { NodeError } from "../core/mod.ts";
import { EXIT_CODES } from "./exit-codes.ts";
import { printable, type Screen } from "./terminal.ts";

/** What a node needs on Deno, in full; the documentation says how far each can be narrowed. */
const NODE_PERMISSIONS = "--allow-net --allow-read --allow-write --allow-env --allow-sys --allow-ffi";

export interface ReportOptions {
  /** Show causes and where they were thrown. */
  readonly verbose: boolean;
  /** One JSON object instead of words. */
  readonly json: boolean;
}

/** Tells an error on a screen, one line unless verbose, and returns the exit code that goes with it. */
export function reportError(error: unknown, screen: Screen, { verbose, json }: ReportOptions): number {
  const known = describeFault(error);
  if (json) {
    const { code, message, retryable, retryAfterMs, data } = known;
    screen.line(JSON.stringify({ error: { code, message, retryable, retryAfterMs, data } }));
  } else {
    const { red, bold, dim } = screen.colors;
    screen.line(`${bold(red("error:"))} ${printable(known.message)} ${dim(`(${known.code})`)}`);
  }
  if (verbose) { for (const line of causes(error)) screen.line(screen.colors.dim(printable(line))); }
  return EXIT_CODES[known.code];
}

/** Whether Deno refused something for which the program was given no permission. */
export function isRefusedByDeno(error: unknown): error is Error {
  return error instanceof Error && error.name === "NotCapable";
}

/** The CLI runs for its own user, so unlike a node it shows what a fault of its own says. */
function describeFault(error: unknown): NodeError {
  if (error instanceof NodeError && error.code !== "internal") return error;
  const fault = error instanceof NodeError && error.cause !== undefined ? error.cause : error;
  if (isRefusedByDeno(fault)) {
    return new NodeError(
      "failed_precondition",
      `Deno does not let the program do what it must: ${fault.message}. A node needs ` +
        `${NODE_PERMISSIONS} (docs/security.md#permissions-on-deno)`,
      { cause: error },
    );
  }
  const words = fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault);
  return new NodeError("internal", `${words}. This is a fault of the software; --verbose shows where it is`, {
    cause: error,
  });
}

function causes(error: unknown): string[] {
  const lines: string[] = [];
  // A cycle of causes is cut at the tenth.
  for (let each = error, depth = 0; each !== undefined && depth < 10; depth++) {
    const text = each instanceof Error ? each.stack ?? String(each) : String(each);
    lines.push(...`${depth === 0 ? "" : "caused by: "}${text}`.split("\n"));
    each = each instanceof Error ? each.cause : undefined;
  }
  return lines;
}
