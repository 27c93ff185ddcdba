import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:http2";
import process from "node:process";
import { createInterface } from "node:readline";
import { checkGrpcHealth } from "../../src/cli/grpc-health.ts";
import { start } from "./harness.ts";
import { test } from "../testing.ts";

interface Serving {
  readonly child: ChildProcess;
  /** What it logged so far. */
  readonly log: Record<string, unknown>[];
  /** Resolves with the line that has this message. */
  logged(message: string): Promise<Record<string, unknown>>;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
}

/** Starts `velas-sphere plugin` on a free port. */
function startPlugin(
  t: { after(f: () => void): void },
  { main, env }: { main?: string; env?: Record<string, string> } = {},
): Serving {
  const args = ["plugin", "--listen", "127.0.0.1:0", "--grace", "1h", "--json"];
  const child = start(args, { ...(main && { main }), ...(env && { env }) });
  t.after(() => child.kill("SIGKILL"));
  const log: Record<string, unknown>[] = [];
  const waiting: [string, (line: Record<string, unknown>) => void][] = [];
  createInterface({ input: child.stderr }).on("line", (text) => {
    const line = JSON.parse(text) as Record<string, unknown>;
    log.push(line);
    for (const [message, resolve] of waiting) if (line["msg"] === message) resolve(line);
  });
  const ended = once(child, "close").then(([code]) => code as number | null);
  const logged = (message: string) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const line = log.find(({ msg }) => msg === message);
      if (line !== undefined) return resolve(line);
      waiting.push([message, resolve]);
      ended.then((code) =>
        reject(new Error(`It ended with ${code} before it logged ${message}: ${JSON.stringify(log)}`))
      );
    });
  return { child, log, logged, ended };
}

/** Deno's child.kill() would make the exit code null. */
function signal({ child }: Serving, name: NodeJS.Signals): void {
  process.kill(child.pid!, name);
}

test("plugin serves until SIGTERM, and then ends with 0", async (t) => {
  const plugin = startPlugin(t);
  const { rpc } = await plugin.logged("Serving");
  await checkGrpcHealth(String(rpc));
  signal(plugin, "SIGTERM");
  assert.equal(await plugin.ended, 0);
  assert.deepEqual(plugin.log.map(({ msg }) => msg), ["Serving", "Draining", "Stopped"]);
});

test("the first signal waits for what runs, the second ends the process", async (t) => {
  const plugin = startPlugin(t);
  const { rpc } = await plugin.logged("Serving");
  const session = connect(`http://${String(rpc)}`);
  session.on("error", () => {});
  const call = session.request({
    ":method": "POST",
    ":path": "/velas.sphere.v1.PluginService/Execute",
    "content-type": "application/grpc",
    te: "trailers",
  });
  call.on("error", () => {});
  // Two ExecuteRequests in gRPC frames: start {function: "echo"}, and the chunk "a"; the call stays open.
  call.write(Uint8Array.of(0, 0, 0, 0, 8, 0x0a, 6, 0x12, 4, 0x65, 0x63, 0x68, 0x6f));
  call.write(Uint8Array.of(0, 0, 0, 0, 3, 0x12, 1, 0x61));
  await once(call, "data");
  signal(plugin, "SIGTERM");
  await plugin.logged("Draining");
  signal(plugin, "SIGTERM");
  assert.equal(await plugin.ended, 143);
  session.destroy();
});

for (const fault of ["throw", "reject"]) {
  test(`an error that nothing catches (${fault}) is logged once and ends the process with 1`, async (t) => {
    const plugin = startPlugin(t, { main: "test/cli/faulty-main.ts", env: { FAULT: fault } });
    await plugin.logged("Serving");
    signal(plugin, "SIGUSR2");
    assert.equal(await plugin.ended, 1);
    const errors = plugin.log.filter(({ level }) => level === "error");
    assert.equal(errors.length, 1);
    assert.equal((errors[0]!["error"] as { message: string }).message, "boom");
  });
}
