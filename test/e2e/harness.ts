/** Starts real nodes and runs the real CLI: from the source, or from the executable that VELAS_SPHERE_EXE names. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestScope } from "../testing.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const exe = process.env["VELAS_SPHERE_EXE"];

/** What a node may do on Deno, as in the task "node" of deno.json. LevelDB is a native addon, hence `ffi`. */
const NODE_PERMISSIONS = ["net", "read", "write", "env", "sys", "ffi"].map((name) => `--allow-${name}`);

/** What V8 is told there. */
const V8_FLAGS = /--v8-flags=\S+/.exec(readFileSync(join(root, "deno.json"), "utf8"))![0];

/** The command line that starts the program on the runtime under test. */
export function commandLine(args: readonly string[]): [command: string, args: string[]] {
  if (exe !== undefined) return [exe, [...args]];
  const main = join(root, "src/main.ts");
  if ("Deno" in globalThis) {
    return [process.execPath, [
      "run",
      V8_FLAGS,
      ...args[0] === "node" ? NODE_PERMISSIONS : ["--allow-all"],
      "--no-prompt",
      "--no-check",
      "--quiet",
      `--config=${root}deno.json`,
      main,
      ...args,
    ]];
  }
  // As tools/run.mjs and the executable start it.
  return [process.execPath, ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=8", main, ...args]];
}

/** The program's environment: this one without anything that would configure a node. */
function environment(extra: Readonly<Record<string, string>>): Record<string, string> {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("VELAS_SPHERE_"));
  return { ...Object.fromEntries(clean) as Record<string, string>, ...extra };
}

/** A folder that goes with the test. */
export function scratch(t: TestScope): string {
  const folder = mkdtempSync(join(tmpdir(), "velas-sphere-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs the program to its end. */
export function run(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [command, all] = commandLine(args);
  const child = spawn(command, all, { cwd: options.cwd ?? tmpdir(), env: environment(options.env ?? {}) });
  const stdout: Uint8Array[] = [];
  const stderr: Uint8Array[] = [];
  child.stdout.on("data", (chunk) => stdout.push(chunk));
  child.stderr.on("data", (chunk) => stderr.push(chunk));
  child.stdin.on("error", () => {}); // the program may end without reading
  child.stdin.end(options.input);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      }));
  });
}

export interface NodeProcess {
  readonly nodeId: string;
  /** `http://127.0.0.1:port` */
  readonly rest: string;
  /** `127.0.0.1:port` */
  readonly rpc: string;
  readonly dataDir: string;
  /** Every line that it logged so far. */
  readonly log: readonly string[];
  readonly child: ChildProcess;
  /** Sends a signal, waits for the end, and returns how it ended. */
  stop(signal?: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export interface StartOptions {
  readonly dataDir: string;
  /** Written to `config.json` in the data directory's neighbour and passed by `--config`. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly args?: readonly string[];
}

/**
 * Starts a node on free ports and waits until it serves. It is killed when the test ends, unless it was stopped before. Throws with what it
 * logged when it ends instead of serving.
 */
export async function startNode(t: TestScope, options: StartOptions): Promise<NodeProcess> {
  const args = ["node", "--data-dir", options.dataDir, "--log-format", "json"];
  if (options.config !== undefined) {
    const file = `${options.dataDir}.config.json`;
    writeFileSync(file, JSON.stringify(options.config));
    t.after(() => rmSync(file, { force: true }));
    args.push("--config", file);
  }
  args.push("--rest-listen", "127.0.0.1:0", "--rpc-listen", "127.0.0.1:0", ...options.args ?? []);
  const [command, all] = commandLine(args);
  const child = spawn(command, all, { cwd: tmpdir(), env: environment({}), stdio: ["ignore", "pipe", "pipe"] });
  const log: string[] = [];
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal }))
  );
  const serving = new Promise<Record<string, unknown>>((resolve, reject) => {
    child.on("error", reject);
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on("line", (line) => {
        log.push(line);
        if (!line.startsWith("{")) return;
        const fields = JSON.parse(line) as Record<string, unknown>;
        if (fields["msg"] === "Serving") resolve(fields);
      });
    }
    ended.then(({ code }) => reject(new Error(`The node ended with ${code} instead of serving:\n${log.join("\n")}`)));
  });
  const stop = (signal: NodeJS.Signals = "SIGTERM") => {
    // Not child.kill(): after that Deno reports the signal that was sent as the way the process ended.
    if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, signal);
    return ended;
  };
  t.after(() => stop("SIGKILL"));
  const fields = await serving;
  return {
    nodeId: String(fields["nodeId"]),
    rest: String(fields["rest"]),
    rpc: String((fields["rpc"] as string[])[0]),
    dataDir: options.dataDir,
    log,
    child,
    stop,
  };
}

/** Sends JSON and returns the answer with its body as text. */
export async function post(url: string, body: unknown): Promise<{ status: number; headers: Headers; text: string }> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const PATIENCE_MS = 60_000;

/** Waits until a condition holds, asking again every 20 ms; fails when a minute has not been enough. */
export async function until<T>(condition: () => Promise<T | undefined>): Promise<T> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (performance.now() < giveUpAt) {
    const value = await condition();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`The condition did not hold within ${PATIENCE_MS} ms: ${condition}`);
}

/** Fetches JSON of a shape that the caller names. */
export async function get<T>(url: string): Promise<T> {
  return await (await fetch(url)).json() as T;
}

/** A task as `/v1/tasks/{id}` shows it. */
export interface TaskJson {
  readonly id: string;
  readonly state: string;
  readonly reason?: string;
  readonly target?: string;
  readonly finishedAt?: string;
}

/** Waits until a task satisfies a condition, and returns it. */
export function taskThat(holds: (task: TaskJson) => boolean, where: { rest: string; id: string }): Promise<TaskJson> {
  return until(async () => {
    const task = await get<TaskJson>(`${where.rest}/v1/tasks/${where.id}`);
    return holds(task) ? task : undefined;
  });
}
