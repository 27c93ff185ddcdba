import { homedir } from "node:os";
import { basename, relative } from "node:path";
import process from "node:process";
import { isDeno, isSingleExecutable, NodeError } from "../core/mod.ts";
import type { CliContext } from "./context.ts";
import { EXIT } from "./exit-codes.ts";
import { runCli } from "./program.ts";
import { isRefusedByDeno, reportError } from "./report-error.ts";
import { createScreen } from "./terminal.ts";

const OLDEST_NODE = 24;

/** Runs this process: its arguments, environment, streams and signals. Never throws; ends the process with the exit code. */
export async function runMain(): Promise<void> {
  try {
    const interruption = new AbortController();
    const cli = makeContext(interruption.signal);
    handleSignals(interruption, cli);
    handleFaults(cli);
    handleGoneReaders(cli);
    assertNodeVersion();
    await end(await runCli(process.argv.slice(2), cli));
  } catch (error) {
    // Deno may not even let it look at the environment.
    const screen = createScreen(process.stderr, {});
    await end(reportError(error, screen, { verbose: !isRefusedByDeno(error), json: false }));
  }
}

/** Throws what Deno throws when it may not look at its environment. */
function makeContext(interrupted: AbortSignal): CliContext {
  return {
    out: createScreen(process.stdout, process.env),
    err: createScreen(process.stderr, process.env),
    get stdin() {
      return process.stdin; // opened only by commands that read it
    },
    env: process.env,
    cwd: process.cwd(),
    homeDir: homedir(),
    interrupted,
    programName: programName(),
    exitCode: EXIT.ok,
    onFault: undefined,
    onHangup: undefined,
  };
}

/** The first signal asks the command to end, the second ends the process. */
function handleSignals(interruption: AbortController, cli: CliContext): void {
  const numbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
  for (const [signal, number] of Object.entries(numbers)) {
    process.on(signal, () => {
      // A terminal that is closed sends it too, and then it means the end.
      if (signal === "SIGHUP" && cli.onHangup !== undefined && !process.stdin.isTTY) return cli.onHangup();
      if (interruption.signal.aborted) process.exit(128 + number);
      interruption.abort(new NodeError("canceled", "Canceled"));
    });
  }
}

/** After an error that nothing caught the state is unknown: it is told once, and the process ends. */
function handleFaults(cli: CliContext): void {
  let told = false;
  const onFault = (error: unknown): void => {
    if (told) return;
    told = true;
    if (cli.onFault === undefined) reportError(error, cli.err, { verbose: true, json: false });
    else cli.onFault(error);
    process.exit(EXIT.fault);
  };
  process.on("uncaughtException", onFault);
  process.on("unhandledRejection", onFault);
}

/** `velas-sphere task list | head`: nobody reads on, so the command is done. One that serves goes on. */
function handleGoneReaders(cli: CliContext): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: { code?: string }) => {
      if (error.code === "EPIPE" && cli.onFault === undefined) process.exit(EXIT.ok);
    });
  }
}

/** Ends the process when both streams have taken what was written; sockets that linger do not hold it up. */
async function end(code: number): Promise<void> {
  process.exitCode = code;
  const flushed = (stream: NodeJS.WriteStream) => new Promise<void>((resolve) => stream.write("", () => resolve()));
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code);
}

function assertNodeVersion(): void {
  const major = Number(process.versions.node.split(".")[0]);
  if (isDeno || major >= OLDEST_NODE) return;
  throw new NodeError(
    "runtime_unsupported",
    `Node ${process.versions.node} is too old: use Node ${OLDEST_NODE}, which "npm run velas-sphere" does by itself`,
  );
}

/** What to type to call this program again. */
function programName(): string {
  if (isSingleExecutable) return process.argv0;
  if (process.env["npm_lifecycle_event"] !== undefined) return "npm run -s velas-sphere --";
  const script = process.argv[1] ?? "";
  if (!script.endsWith("main.ts")) return basename(script) || "velas-sphere";
  return `${isDeno ? "deno run -A" : "node"} ${relative(process.cwd(), script)}`;
}
