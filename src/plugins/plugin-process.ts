import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Log } from "../core/mod.ts";
import { ProcessLog } from "./process-log.ts";

/** The environment variable with the Unix socket on which a supervised plugin must serve. */
export const SOCKET_VARIABLE = "VELAS_SPHERE_PLUGIN_SOCKET";
/** The one with the secret that every call of the node carries as metadata {@link SECRET_HEADER}. */
export const SECRET_VARIABLE = "VELAS_SPHERE_PLUGIN_SECRET";
export const SECRET_HEADER = "velas-plugin-secret";

/** A program that serves a plugin, as the operator configured it. */
export interface PluginCommand {
  /** Program and arguments; no shell reads them. */
  readonly command: readonly string[];
  readonly cwd?: string | undefined;
  /** Variables beside {@link PASSED_VARIABLES}: `NAME` is passed on from the node, `NAME=value` set. */
  readonly env?: readonly string[] | undefined;
}

export interface PluginProcessOptions extends PluginCommand {
  /** The node's environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** How long it may take to open its socket and describe itself, in milliseconds. */
  readonly startTimeoutMs: number;
  /** How long it may take to stop when it is asked to, before it is killed. */
  readonly graceMs: number;
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** A process that served for so long begins with the shortest wait when it ends. */
  readonly stableMs: number;
  /** Told when it ended by itself. */
  readonly onExit: () => void;
}

/** How to reach the process that runs now. */
export interface PluginSocket {
  readonly path: string;
  readonly secret: string;
}

/** What a plugin sees of the node's environment without being named; no secret is among them. */
export const PASSED_VARIABLES = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER"] as const;

const POLL_MS = 10;
/** The watch kills the group after the grace; the node does so itself when that took longer than this. */
const STOP_SLACK_MS = 2000;

/**
 * Runs the plugin in a process group of its own, beside a watch: when the pipe from the node closes, whether the node asked for it or was
 * killed, the group is told to end, and killed after the grace. The plugin has the same pipe, and Node makes it non-blocking when it reads it:
 * a `cat` that begins later then fails, which is not the pipe's end. The plugin's own PATH need not lead to the watch's programs; where
 * none does, there is no watch, rather than one that turns for ever. Arguments: grace in seconds, the folder of the socket, the command.
 */
const WATCH = `
exec 3<&0
grace=$1; folder=$2; shift 2
trap : TERM
"$@" <&3 3<&- &
plugin=$!
( trap "" TERM INT HUP
  PATH=$PATH:/usr/bin:/bin
  until cat <&3 >/dev/null; do sleep 1 || exit; done
  kill -TERM 0
  sleep "$grace"
  rm -rf "$folder"
  kill -KILL 0
) >/dev/null 2>&1 &
exec 3<&-
while :; do
  wait $plugin
  status=$?
  kill -0 $plugin 2>/dev/null || exit $status
done
`;

interface Running extends PluginSocket {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly startedAt: number;
  readonly lines: ProcessLog;
  readonly exited: Promise<string>;
  /** Why it ended, in words; undefined while it runs. */
  ended: string | undefined;
}

/**
 * The process of a supervised plugin: started when it is asked for, with a private socket and a secret of its own each time, started
 * again after waits that double, and never left behind.
 */
export class PluginProcess {
  readonly #options: PluginProcessOptions;
  #running: Running | undefined;
  #servedSince: number | undefined;
  #failures = 0;
  #nextStartAt = 0;
  /** What ended the last one. */
  #lastEnd = "";
  #closed = false;

  constructor(options: PluginProcessOptions) {
    this.#options = options;
  }

  /** Where the plugin is, for people. */
  get shown(): string {
    return this.#options.command.join(" ").slice(0, 200);
  }

  get pid(): number | undefined {
    return this.#running?.child.pid;
  }

  /** Milliseconds until it may be started again. */
  get waitMs(): number {
    return this.#running === undefined ? Math.max(0, this.#nextStartAt - performance.now()) : 0;
  }

  /** The socket of the running plugin, starting one if there is none. Throws an Error that says why there is none. */
  async socket(signal: AbortSignal): Promise<PluginSocket> {
    if (this.#closed || signal.aborted) throw new Error("it is being closed");
    if (this.#running === undefined) {
      const waitMs = Math.ceil(this.waitMs);
      if (waitMs > 0) throw new Error(`${this.#lastEnd}; it is started again in ${waitMs} ms`);
      this.#start();
    }
    const running = this.#running!;
    while (!existsSync(running.path)) {
      await Promise.race([running.exited, new Promise((resolve) => setTimeout(resolve, POLL_MS))]);
      if (running.ended !== undefined) throw new Error(running.ended);
      if (signal.aborted) throw new Error("it is being closed");
      if (this.isLate) {
        const { startTimeoutMs } = this.#options;
        await this.stop(`It did not serve on ${SOCKET_VARIABLE} within ${startTimeoutMs} ms and was stopped`);
        throw new Error(this.#lastEnd);
      }
    }
    return running;
  }

  /** Whether it runs, has not served yet, and its time for that is over. */
  get isLate(): boolean {
    const running = this.#running;
    return running !== undefined && this.isStarting &&
      performance.now() - running.startedAt > this.#options.startTimeoutMs;
  }

  /** Whether it runs and has not served yet. */
  get isStarting(): boolean {
    return this.#running !== undefined && this.#servedSince === undefined;
  }

  /** Notes that the plugin has answered. */
  serves(): void {
    this.#servedSince ??= performance.now();
  }

  /** Ends the process, if there is one, and resolves when its whole group is gone. */
  async stop(reason: string): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    running.ended = reason;
    running.child.stdin?.destroy();
    const timer = setTimeout(() => killGroup(running.child), this.#options.graceMs + STOP_SLACK_MS);
    await running.exited;
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.stop("It was stopped");
  }

  #start(): void {
    const { command, cwd, graceMs, log } = this.#options;
    const folder = makeSocketFolder();
    const path = join(folder, "s");
    const secret = randomBytes(32).toString("hex");
    // Any sleep(1) takes whole seconds.
    const args = ["-c", WATCH, "velas-plugin", String(Math.ceil(graceMs / 1000)), folder, ...command];
    let child;
    try {
      child = spawn("/bin/sh", args, {
        detached: true,
        stdio: ["pipe", "pipe", "pipe"],
        env: { ...this.#environment(), [SOCKET_VARIABLE]: path, [SECRET_VARIABLE]: secret },
        ...cwd !== undefined && { cwd },
      });
    } catch (error) {
      // As on Deno without --allow-run; it is tried again.
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
    const lines = new ProcessLog({ log, now: () => performance.now() });
    lines.read(child.stdout!, "stdout");
    lines.read(child.stderr!, "stderr");
    child.stdin!.on("error", () => {});
    const exit = Promise.withResolvers<string>();
    const running: Running = {
      child,
      folder,
      path,
      secret,
      lines,
      startedAt: performance.now(),
      exited: exit.promise,
      ended: undefined,
    };
    this.#running = running;
    this.#servedSince = undefined;
    let over = false;
    const end = (how: string) => {
      if (over) return;
      over = true;
      this.#ended(running, how);
      exit.resolve(running.ended!);
    };
    child.once("error", (error) => end(`It cannot be started with /bin/sh: ${error.message}`));
    child.once("exit", (status, sent) => {
      // What it printed last is often the reason, and may still be on its way.
      const said = lines.lastLine;
      const by = sent === null ? `with exit status ${status}` : `by ${sent}`;
      setTimeout(() => end(`It ended ${by}${quoted(lines.lastLine || said)}`), POLL_MS);
      killGroup(child);
    });
    log.info("Plugin started", { pid: child.pid, command: this.shown });
  }

  #ended(running: Running, how: string): void {
    const { backoffMs, maxBackoffMs, stableMs, onExit, log } = this.#options;
    const byItself = running.ended === undefined;
    running.ended ??= how;
    running.lines.close();
    rmSync(running.folder, { recursive: true, force: true });
    const now = performance.now();
    if (this.#servedSince !== undefined && now - this.#servedSince >= stableMs) this.#failures = 0;
    this.#nextStartAt = now + Math.min(maxBackoffMs, backoffMs * 2 ** this.#failures++);
    this.#lastEnd = running.ended;
    this.#running = undefined;
    if (this.#closed) log.info("Plugin stopped");
    else log.warn("Plugin ended", { reason: running.ended, restartMs: Math.round(this.waitMs) });
    if (byItself) onExit();
  }

  #environment(): Record<string, string> {
    const { environment, env = [] } = this.#options;
    const passed: Record<string, string> = {};
    for (const entry of [...PASSED_VARIABLES, ...env]) {
      const at = entry.indexOf("=");
      const name = at < 0 ? entry : entry.slice(0, at);
      const value = at < 0 ? environment[name] : entry.slice(at + 1);
      if (value !== undefined) passed[name] = value;
    }
    return passed;
  }
}

/** Kills what is left of the process group. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It is gone.
  }
}

function quoted(line: string): string {
  return line === "" ? "" : `; its last words: ${line.slice(0, 300)}`;
}

/** Throws an Error whose message is the same each time the cause is, without the folder's name, so that it is logged once. */
function makeSocketFolder(): string {
  try {
    const folder = mkdtempSync(join(tmpdir(), "velas-plugin-"));
    chmodSync(folder, 0o700);
    return folder;
  } catch (error) {
    const reason = (error as Error).message.replaceAll(/velas-plugin-\w+/g, "velas-plugin-*");
    throw new Error(`No folder for its socket can be made in ${tmpdir()} (TMPDIR names another): ${reason}`, {
      cause: error,
    });
  }
}
