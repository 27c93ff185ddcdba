import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";

const run = promisify(execFile);

/** Builds a Go program of this version into a folder, and gives its path. */
async function goInstall(folder: string, module: string): Promise<string> {
  const env = { ...process.env, GOBIN: folder, GOFLAGS: "-mod=mod" };
  await run("go", ["install", module], { cwd: folder, env });
  return join(folder, module.replace(/@.*/, "").split("/").at(-1)!);
}

test("grpcurl lists, describes and calls a node without its proto files", async (t) => {
  const folder = scratch(t);
  const grpcurl = await goInstall(folder, "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4");
  const node = await startNode(t, { dataDir: join(folder, "data") });
  const ask = async (...args: string[]) => (await run(grpcurl, ["-plaintext", ...args])).stdout;
  const services = await ask(node.rpc, "list");
  for (const service of ["velas.sphere.v1.TaskService", "resources.Provider", "grpc.health.v1.Health"]) {
    assert.ok(services.includes(service), services);
  }
  assert.match(await ask(node.rpc, "describe", "velas.sphere.v1.TaskSpec"), /string plugin = 2/);
  const task = JSON.stringify({ task: { plugin: "demo", function: "greet", input: btoa("hello") } });
  const answer = JSON.parse(await ask("-d", task, node.rpc, "velas.sphere.v1.TaskService/Run"));
  assert.equal(atob(answer.output), "world");
  const original = JSON.stringify({ id: "1", input: "hello" });
  const greeted = JSON.parse(await ask("-d", original, node.rpc, "resources.Provider/RequestTaskExecution"));
  assert.deepEqual(greeted, { id: "1", output: "world" });
});

test("ghz loads a node by reflection without a failure", async (t) => {
  const folder = scratch(t);
  const ghz = await goInstall(folder, "github.com/bojand/ghz/cmd/ghz@v0.121.0");
  const node = await startNode(t, { dataDir: join(folder, "data") });
  const data = JSON.stringify({ id: "1", input: "hello" });
  const { stdout } = await run(ghz, [
    ...["--insecure", "--call", "resources.Provider/RequestTaskExecution", "-d", data],
    ...["-n", "2000", "-c", "16", "-O", "json", node.rpc],
  ]);
  const { count, statusCodeDistribution } = JSON.parse(stdout);
  assert.equal(count, 2000);
  assert.deepEqual(statusCodeDistribution, { OK: 2000 });
});
