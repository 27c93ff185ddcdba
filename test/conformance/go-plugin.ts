// A plugin of the original kind, written in Go with grpc-go, works behind a node. Run by run.sh, which needs Go anyway.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { NodeError } from "../../src/core/mod.ts";
import { bytes, call, connect, text, until } from "../plugins/external-calls.ts";

const source = fileURLToPath(new URL("../../grpc-plugins/go-original", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "velas-go-plugin-"));
const binary = join(folder, "plugin");
const children = new Set<ChildProcess>();

before(() => {
  execFileSync("go", ["build", "-trimpath", "-o", binary, "."], { cwd: source, stdio: "inherit" });
});

after(async () => {
  await Promise.all([...children].map(stop));
  rmSync(folder, { recursive: true });
});

async function start(listen: string): Promise<{ child: ChildProcess; address: string }> {
  const child = spawn(binary, ["-listen", listen], { stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  const [line] = await once(createInterface(child.stdout!), "line") as [string];
  return { child, address: line.replace("listening on ", "") };
}

async function stop(child: ChildProcess): Promise<void> {
  children.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

test("a Go plugin of the original protocol is found by auto, answers, fails, dies and comes back", async () => {
  const first = await start("127.0.0.1:0");
  const plugin = await connect(first.address, { healthIntervalMs: 20 });
  assert.equal(plugin.info().ready, true, plugin.info().problem);
  assert.equal(text((await plugin.execute(call(bytes("hello")), "run")).output), "world");
  assert.equal(text((await plugin.execute(call(bytes("zoë")), "run")).output), "hello, zoë");
  await assert.rejects(plugin.execute(call(bytes("")), "run"), (error) => {
    assert(error instanceof NodeError);
    // Its status INVALID_ARGUMENT keeps its meaning.
    assert.equal(error.code, "invalid_argument");
    assert.match(error.message, /nobody to greet/);
    return true;
  });
  const many = Array.from({ length: 200 }, (_, i) => plugin.execute(call(bytes(`${i}`)), "run"));
  assert.deepEqual((await Promise.all(many)).map(({ output }) => text(output)), many.map((_, i) => `hello, ${i}`));
  let { child } = first;
  // Five times, since what goes wrong with the end of a connection does so only sometimes.
  for (let i = 0; i < 5; i++) {
    await stop(child);
    await until(plugin, false);
    ({ child } = await start(first.address));
    await until(plugin, true);
    assert.equal(text((await plugin.execute(call(bytes("hello")), "run")).output), "world");
  }
  await plugin.close();
  await stop(child);
});
