/**
 * The command line. `program.ts` holds the tree of commands (commander); each `…-command(s).ts` adds its own. `node`, `plugin` and
 * `dev` serve, `doctor` and `config` look at this machine, and everything else is a client of a node's `/v1` through {@link NodeClient}.
 * Commands print results on standard output and all else on standard error, throw NodeErrors, and know the world only through
 * {@link CliContext}; `run-main.ts` joins that to the process, its signals and its end.
 */
export { type CliContext } from "./context.ts";
export { EXIT, EXIT_CODES } from "./exit-codes.ts";
export { createProgram, runCli } from "./program.ts";
export { manPage } from "./man-page.ts";
export { cliReference } from "./reference.ts";
export { runMain } from "./run-main.ts";
