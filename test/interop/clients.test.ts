import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const run = promisify(execFile);
const PROTO = resolve("proto");

/** A node with one provider for its files, and a copy of an example to build in. */
async function prepare(t: TestScope, example: string) {
  const folder = scratch(t);
  const provider = await startNode(t, { dataDir: join(folder, "provider") });
  const node = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: { requester: { providers: [provider.rpc] } },
  });
  const place = join(folder, example);
  cpSync(join("examples", example), place, { recursive: true });
  return { folder, place, target: node.rpc };
}

test("a client generated for Go runs a task and keeps a file", async (t) => {
  const { folder, place, target } = await prepare(t, "go");
  const bin = join(folder, "bin");
  const env = { ...process.env, GOBIN: bin, GOFLAGS: "-mod=mod", PATH: `${bin}:${process.env["PATH"]}` };
  for (
    const plugin of [
      "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11",
      "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1",
    ]
  ) await run("go", ["install", plugin], { cwd: folder, env });
  await run(resolve("node_modules/.bin/buf"), ["generate", PROTO, "--template", "buf.gen.yaml"], { cwd: place, env });
  await run("go", ["mod", "tidy"], { cwd: place, env });
  const { stdout } = await run("go", ["run", ".", target], { cwd: place, env });
  assert.match(stdout, /^world\nexamples\/go\.bin 1040000 [0-9a-f]{64}\n$/);
});

test("a client generated for Python runs a task and keeps a file", async (t) => {
  const { folder, place, target } = await prepare(t, "python");
  const venv = join(folder, "venv");
  const python = join(venv, "bin/python");
  await run("python3", ["-m", "venv", venv]);
  await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"], {
    cwd: place,
  });
  await run(python, [
    ...["-m", "grpc_tools.protoc", "-I", PROTO, "--python_out", ".", "--grpc_python_out", "."],
    ...["velas/sphere/v1/task.proto", "velas/sphere/v1/file.proto", "buf/validate/validate.proto"],
  ], { cwd: place });
  const { stdout } = await run(python, ["client.py", target], { cwd: place });
  assert.match(stdout, /^world\nexamples\/python\.bin 1048576 [0-9a-f]{64}\n$/);
});
