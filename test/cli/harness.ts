/** Runs the CLI: in this process with a world of its own, or as a process on the runtime under test. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import process from "node:process";
import type { CliContext } from "../../src/cli/mod.ts";
import { runCli } from "../../src/cli/mod.ts";
import { createScreen } from "../../src/cli/terminal.ts";
import { isDeno } from "../../src/core/mod.ts";
import type { TestScope } from "../testing.ts";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** The module to run instead of the program's own, by its path in the project. */
  readonly main?: string;
}

export interface InProcessOptions extends RunOptions {
  /** Both outputs are terminals of 80 columns. */
  readonly terminal?: boolean;
  readonly interrupted?: AbortSignal;
  readonly homeDir?: string;
}

/** A folder that goes with the test. */
export function scratch(t: TestScope): string {
  const folder = mkdtempSync(join(tmpdir(), "velas-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a command line in this process. */
export async function runHere(args: readonly string[], options: InProcessOptions = {}): Promise<Ended> {
  const { env = {}, cwd = tmpdir(), homeDir = tmpdir(), terminal = false } = options;
  const stdout = collector(terminal);
  const stderr = collector(terminal);
  const stdin = new PassThrough();
  stdin.end(options.input ?? "");
  const cli: CliContext = {
    out: createScreen(stdout.stream, env),
    err: createScreen(stderr.stream, env),
    stdin,
    env,
    cwd,
    homeDir,
    interrupted: options.interrupted ?? new AbortController().signal,
    programName: "velas-sphere",
    exitCode: 0,
    onFault: undefined,
    onHangup: undefined,
  };
  const code = await runCli(args, cli);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function collector(isTTY: boolean) {
  const pieces: Uint8Array[] = [];
  const stream = new Writable({
    write(piece: Uint8Array, _encoding, done) {
      pieces.push(piece);
      done();
    },
  });
  return {
    stream: Object.assign(stream, isTTY ? { isTTY, columns: 80 } : {}),
    text: () => Buffer.concat(pieces).toString("utf8"),
  };
}

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Starts the program as a process; its environment has nothing that would configure it but `env`. */
export function start(args: readonly string[], options: RunOptions = {}) {
  const { env = {}, cwd = tmpdir() } = options;
  const main = root + (options.main ?? "src/main.ts");
  const before = isDeno
    ? ["run", "--allow-all", "--no-check", "--quiet", `--config=${root}deno.json`, main]
    : ["--disable-warning=ExperimentalWarning", main];
  const own = Object.entries(process.env).filter(([name]) => !/^(VELAS_SPHERE_|NO_COLOR|FORCE_COLOR)/.test(name));
  return spawn(process.execPath, [...before, ...args], { cwd, env: { ...Object.fromEntries(own), ...env } });
}

/** Runs the program as a process to its end. */
export async function runProcess(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = start(args, options);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  child.stdin.on("error", () => {}); // it may end without reading
  child.stdin.end(options.input ?? "");
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}
