import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { type Log, NodeError } from "../../src/core/mod.ts";
import {
  connectExternalPlugin,
  type ExternalPlugin,
  type ExternalPluginOptions,
} from "../../src/plugins/external-plugin.ts";
import { explainWire, ExternalConnection } from "../../src/plugins/external-protocol.ts";
import { PluginProcess } from "../../src/plugins/plugin-process.ts";
import { BURST_LINES, LINE_CHARACTERS } from "../../src/plugins/process-log.ts";
import { test, type TestScope } from "../testing.ts";
import { call, text, until } from "./external-calls.ts";
import { program } from "./program.ts";

interface Line {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function recorder(): { lines: Line[]; log: Log } {
  const lines: Line[] = [];
  const at = (inherited: Record<string, unknown>): Log => {
    const write = (message: string, fields = {}) => void lines.push({ message, fields: { ...inherited, ...fields } });
    return { debug: write, info: write, warn: write, error: write, child: (fields) => at({ ...inherited, ...fields }) };
  };
  return { lines, log: at({}) };
}

async function run(t: TestScope, fault: string, options: Partial<ExternalPluginOptions> = {}): Promise<ExternalPlugin> {
  const plugin = connectExternalPlugin({
    name: "tested",
    protocol: "velas",
    command: program("supervised-program.ts", fault),
    log: recorder().log,
    backoffMs: 5,
    maxBackoffMs: 50,
    graceMs: 1000,
    ...options,
  });
  t.after(() => plugin.close());
  await plugin.settled();
  return plugin;
}

async function ask<T>(plugin: ExternalPlugin, fn: string): Promise<T> {
  return JSON.parse(text((await plugin.execute(call(new Uint8Array(0)), fn)).output)) as T;
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<void> {
  while (runs(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
}

interface StartedNode {
  readonly node: ChildProcess;
  readonly pid: number;
  readonly parent: number;
  readonly child?: number;
}

/** A node in a process of its own, and the ids of its plugin's processes. */
async function startNode(t: TestScope, fault: string, env = process.env): Promise<StartedNode> {
  const args = program("supervised-node.ts", ...program("supervised-program.ts", fault)).slice(1);
  const node = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], env });
  t.after(() => void node.kill("SIGKILL"));
  const [line] = await once(node.stdout, "data") as [Uint8Array];
  return { node, ...JSON.parse(text(line)) as Omit<StartedNode, "node"> };
}

test("a command is started, described and called over a private socket", async (t) => {
  const plugin = await run(t, "");
  assert.equal(plugin.info().ready, true, plugin.info().problem);
  assert.equal(plugin.info().version, "2.0.0");
  assert.equal(plugin.info().address, undefined);
  const path = text((await plugin.execute(call(new Uint8Array(0)), "socket")).output);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  await plugin.close();
  assert(!existsSync(dirname(path)));
});

test("nobody without the secret can call a supervised plugin", async (t) => {
  const plugin = await run(t, "");
  const path = text((await plugin.execute(call(new Uint8Array(0)), "socket")).output);
  for (const secret of ["", "0".repeat(64)]) {
    const stranger = new ExternalConnection({ path, secret }, 5000);
    t.after(() => stranger.close());
    await assert.rejects(stranger.describe(5000, new AbortController().signal), (reason) => {
      assert.match(explainWire(reason).message, /does not carry this plugin's secret/);
      return true;
    });
  }
});

test("a command gets the folder and the variables that it is given, and no others", async (t) => {
  process.env["VELAS_TEST_PASSED"] = "yes";
  process.env["VELAS_TEST_SECRET"] = "no";
  const plugin = await run(t, "", { cwd: tmpdir(), env: ["VELAS_TEST_PASSED", "MODE=a=b", "VELAS_TEST_ABSENT"] });
  const names = await ask<string[]>(plugin, "environment");
  for (const name of ["PATH", "VELAS_TEST_PASSED", "MODE", "VELAS_SPHERE_PLUGIN_SOCKET"]) {
    assert(names.includes(name), name);
  }
  assert(!names.includes("VELAS_TEST_SECRET") && !names.includes("VELAS_TEST_ABSENT"), names.join());
  assert.equal((await ask<{ cwd: string }>(plugin, "where")).cwd, tmpdir());
});

test("a plugin whose process ends is started again, and its call fails as unavailable", async (t) => {
  const plugin = await run(t, "");
  const before = await ask<{ pid: number }>(plugin, "where");
  await assert.rejects(plugin.execute(call(new Uint8Array(0)), "end"), (reason) => {
    assert(reason instanceof NodeError);
    assert.equal(reason.code, "plugin_unavailable", reason.message);
    return true;
  });
  await until(plugin, true);
  const after = await ask<{ pid: number }>(plugin, "where");
  assert.notEqual(after.pid, before.pid);
  assert(!runs(before.pid));
});

test("a command that ends at once is tried again after growing waits, and its last words are the problem", async (t) => {
  const { lines, log } = recorder();
  const plugin = await run(t, "exits", { log });
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /exit status 3; its last words: no model to load/);
  const ends = () => lines.filter(({ message }) => message === "Plugin ended");
  while (ends().length < 5) await new Promise((resolve) => setTimeout(resolve, 10));
  const waits = ends().map(({ fields }) => fields["restartMs"] as number);
  assert.deepEqual(waits.slice(0, 5), [5, 10, 20, 40, 50]);
});

test("the last words of a program that throws are the error, not what the runtime prints below it", async (t) => {
  const plugin = await run(t, "throws");
  assert.match(plugin.info().problem!, /its last words: .*Error: no weights/);
});

test("a program that is not there is a problem in words", async (t) => {
  const plugin = await run(t, "", { command: ["velas-no-such-program"] });
  assert.match(plugin.info().problem!, /exit status 127; its last words: .*velas-no-such-program/);
  const other = await run(t, "", { cwd: "/velas/no/such/folder" });
  assert.match(other.info().problem!, /cannot be started/);
});

test("a command that does not serve in time is stopped", async (t) => {
  const plugin = await run(t, "silent", { startTimeoutMs: 500 });
  assert.match(plugin.info().problem!, /did not serve on VELAS_SPHERE_PLUGIN_SOCKET within 500 ms/);
});

test("a process that no longer answers is replaced", async (t) => {
  const plugin = await run(t, "", { probeTimeoutMs: 200, healthIntervalMs: 50 });
  const { pid } = await ask<{ pid: number }>(plugin, "where");
  const stalled = call(new Uint8Array(0), { limits: { timeoutMs: 300, memoryBytes: 1, outputBytes: 1 } });
  await assert.rejects(plugin.execute(stalled, "stall"));
  await gone(pid);
  await until(plugin, true);
  assert.notEqual((await ask<{ pid: number }>(plugin, "where")).pid, pid);
});

for (const [fault, is] of [["parent", "a parent"], ["deaf", "deaf to signals"]] as const) {
  test(`close() ends a plugin that is ${is}, with its children`, async (t) => {
    const plugin = await run(t, fault);
    const { pid, child } = await ask<{ pid: number; child: number }>(plugin, "where");
    await plugin.close();
    await gone(pid);
    await gone(child);
  });

  test(`a plugin that is ${is} ends with a node that is killed`, async (t) => {
    const { node, pid, child } = await startNode(t, fault);
    node.kill("SIGKILL");
    await gone(pid);
    await gone(child!);
  });
}

test("what watches a plugin ends with a node that is killed, also when the plugin's PATH leads nowhere", async (t) => {
  const { node, parent } = await startNode(t, "", { PATH: "/nowhere" });
  assert.equal(runs(-parent), true, "the group of its processes");
  node.kill("SIGKILL");
  await gone(-parent);
});

test("what a plugin prints is in the node's log with its name, in bounds", async (t) => {
  const { lines, log } = recorder();
  const plugin = await run(t, "noisy", { log });
  assert.equal(plugin.info().ready, true, plugin.info().problem);
  await plugin.close();
  const printed = lines.filter(({ fields }) => fields["stream"] === "stdout");
  assert(printed.every(({ fields }) => fields["plugin"] === "tested"));
  assert.equal(printed[0]!.message, `${"x".repeat(LINE_CHARACTERS)} (cut)`);
  assert(printed.length >= BURST_LINES && printed.length < 5000, `${printed.length}`);
  assert(lines.some(({ message }) => /^\d+ lines of the plugin were dropped/.test(message)));
});

test("a folder for the socket that cannot be made is told in the same words each time, so that it is logged once", async (t) => {
  const child = new PluginProcess({
    command: program("supervised-program.ts", ""),
    environment: process.env,
    log: recorder().log,
    startTimeoutMs: 1000,
    graceMs: 1000,
    backoffMs: 5,
    maxBackoffMs: 50,
    stableMs: 1000,
    onExit: () => {},
  });
  t.after(() => child.close());
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = "/no/such/folder";
  t.after(() => {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  });
  const told = async () => {
    const error = await child.socket(new AbortController().signal).then(() => undefined, (error: Error) => error);
    return error?.message ?? "It started";
  };
  const first = await told();
  assert.match(
    first,
    /^No folder for its socket can be made in \/no\/such\/folder \(TMPDIR names another\): .*velas-plugin-\*/,
  );
  assert.equal(await told(), first);
});
