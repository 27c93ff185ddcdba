import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { toHex } from "../../src/core/mod.ts";
import { drawSecretKey, keyOf } from "../../client/mod.ts";
import { scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const modules = join(root, "node_modules");
const node = join(modules, "node/bin/node");
const execute = promisify(execFile);

/** Runs npm without a network. */
function npm(cwd: string, ...args: string[]) {
  const quiet = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"];
  return execute("npm", [...args, ...quiet], { cwd });
}

/** What the package needs, and what those need, from where this project has them. */
function needed(names: readonly string[], found = new Set<string>()): Set<string> {
  for (const name of names) {
    if (found.has(name)) continue;
    found.add(name);
    const { dependencies = {} } = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8")) as {
      dependencies?: Record<string, string>;
    };
    needed(Object.keys(dependencies), found);
  }
  return found;
}

const PROGRAM = `
import { connectNode, keyOf, SphereError } from "@velas-sphere/client/node";
import { connectWeb } from "@velas-sphere/client/web";
import * as parts from "@velas-sphere/client";

const [url, restUrl, secret] = process.argv.slice(2);
const signing = { key: keyOf(secret!) };
const client = connectNode({ url: url!, signing });
const answers: string[] = [];
answers.push((await client.tasks.run("hello")).text());
client.close();
answers.push((await connectWeb({ url: url!, restUrl: restUrl!, signing }).tasks.run("hello")).text());
const unsigned = connectWeb({ url: url!, restUrl: restUrl! });
answers.push(await unsigned.tasks.run("hello").then(() => "served", (error: SphereError) => error.code));
answers.push(String(new SphereError("a", "b") instanceof parts.SphereError));
console.log(answers.join(" "));
`;

test("the packed client is installed into an empty folder, type-checks there, and runs tasks", async (t) => {
  const folder = scratch(t);
  const layout = join(folder, "layout");
  await execute(node, ["--disable-warning=ExperimentalWarning", join(root, "tools/build-client.ts"), "--to", layout], {
    cwd: root,
  });
  await npm(folder, "pack", layout);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  assert.match(tarball, /^velas-sphere-client-\d+\.\d+\.\d+\.tgz$/);

  const app = join(folder, "app");
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  const { dependencies } = JSON.parse(readFileSync(join(layout, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const folders = [...needed(Object.keys(dependencies))].map((name) => join(modules, name));
  await npm(app, "install", "--install-links", "--ignore-scripts", join(folder, tarball), ...folders);
  assert.deepEqual(readdirSync(join(app, "node_modules/@velas-sphere/client")).sort(), [
    "README.md",
    "dist",
    "package.json",
  ]);

  writeFileSync(join(app, "main.ts"), PROGRAM);
  const options = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    target: "es2024",
    lib: ["es2024", "dom"],
    types: ["node"],
    typeRoots: [join(modules, "@types")],
    exactOptionalPropertyTypes: true,
  };
  writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["main.ts"] }));
  await execute(node, [join(modules, "typescript/bin/tsc"), "-p", app]).catch((error) => {
    throw new Error(`The types do not hold:\n${error.stdout}`);
  });

  const secret = drawSecretKey();
  const served = await startNode(t, {
    dataDir: join(folder, "data"),
    config: { rpc: { allow: [keyOf(secret).nodeId] } },
  });
  const program = ["main.ts", `http://${served.rpc}`, served.rest, toHex(secret)];
  const args = "Deno" in globalThis
    ? ["run", "--allow-net", "--allow-env", "--allow-read", "--no-check", ...program]
    : program;
  const { stdout } = await execute(process.execPath, args, { cwd: app });
  assert.equal(stdout.trim(), "world world unauthenticated true");
});
