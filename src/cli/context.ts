import type { Readable } from "node:stream";
import type { Screen } from "./terminal.ts";

/** What the commands have of the world; tests make their own. */
export interface CliContext {
  /** Results. */
  readonly out: Screen;
  /** Everything else: errors, progress, notices, the log. */
  readonly err: Screen;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly homeDir: string;
  /** Aborts at the first Ctrl-C or SIGTERM, for commands that end by it. */
  readonly interrupted: AbortSignal;
  /** How the program was called, for lines that say what to type next. */
  readonly programName: string;
  /** What the program ends with when no error says otherwise. */
  exitCode: number;
  /** Set by commands that serve: what to do with an error that nothing caught, before the program ends. */
  onFault: ((error: unknown) => void) | undefined;
  /** Set by commands that serve: what SIGHUP means when it does not come from a terminal; without it, to end. */
  onHangup: (() => void) | undefined;
}
