import { PassThrough } from "node:stream";
import type { CliContext } from "../../src/cli/mod.ts";
import { createScreen } from "../../src/cli/terminal.ts";

/** A world in which nothing is shown. */
export function silentContext(): CliContext {
  const screen = createScreen(new PassThrough().resume(), {});
  return {
    out: screen,
    err: screen,
    stdin: new PassThrough(),
    env: {},
    cwd: "/",
    homeDir: "/",
    interrupted: new AbortController().signal,
    programName: "velas-sphere",
    exitCode: 0,
    onFault: undefined,
    onHangup: undefined,
  };
}
