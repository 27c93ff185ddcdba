import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import type { TestScope } from "../testing.ts";
import { commandLine } from "./harness.ts";

/** Starts the media plugin on a free port; returns its address. */
export async function startMediaPlugin(t: TestScope, args: readonly string[] = []): Promise<string> {
  const [command, all] = commandLine(["plugin", "media", "--json", "--listen", "127.0.0.1:0", ...args]);
  const child = spawn(command, all, { cwd: tmpdir(), stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  t.after(() => {
    if (child.exitCode === null && child.signalCode === null) process.kill(child.pid!, "SIGTERM");
    return ended;
  });
  return await new Promise((resolve, reject) => {
    ended.then(() => reject(new Error("The plugin ended instead of serving")));
    createInterface({ input: child.stderr! }).on("line", (line) => {
      const { rpc } = JSON.parse(line) as { rpc?: string };
      if (rpc !== undefined) resolve(rpc);
    });
  });
}
