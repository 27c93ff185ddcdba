import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { TEMPLATES } from "../../src/cli/plugin-templates.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { problem, startFake } from "./fake-node.ts";
import { runHere } from "./harness.ts";

const DEMO = new URL("../../wasm-plugins/demo-as/demo-as.wasm", import.meta.url);

function scratch(t: TestScope): string {
  const folder = mkdtempSync(join(tmpdir(), "velas-author-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("plugins new writes a plugin with the folder's name, in each language, and never over anything", async (t) => {
  const folder = scratch(t);
  for (const language of Object.keys(TEMPLATES)) {
    const path = join(folder, `My ${language}`);
    assert.match((await runHere(["plugins", "new", path, "--lang", language])).stdout, /README\.md/);
    const { folder: source, files } = TEMPLATES[language]!;
    if (source.startsWith("wasm-plugins/")) {
      const manifest = JSON.parse(readFileSync(join(path, "manifest.json"), "utf8")) as { name: string };
      assert.equal(manifest.name, `my-${language}`);
      assert.match(readFileSync(join(path, "build.sh"), "utf8"), new RegExp(`my-${language}\\.wasm`));
    } else {
      const main = files.find((file) => /^(main|plugin)\.[a-z]+$/.test(file))!;
      assert.match(readFileSync(join(path, main), "utf8"), new RegExp(`"my-${language}"`));
      assert.match(readFileSync(join(path, "README.md"), "utf8"), new RegExp(`my-${language}`));
      assert(statSync(join(path, "run.sh")).mode & 0o100);
      assert(statSync(join(path, "plugin.proto")).isFile());
    }
    assert(statSync(join(path, "build.sh")).mode & 0o100);
    const again = await runHere(["plugins", "new", path, "--lang", language]);
    assert.equal(again.code, 6);
    assert.match(again.stderr, /is there already/);
  }
  assert.equal((await runHere(["plugins", "new", join(folder, "7up")])).code, 2);
  assert.equal((await runHere(["plugins", "new", join(folder, "x"), "--lang", "cobol"])).code, 2);
});

test("plugins test runs a plugin's cases and tells what each spent", async (t) => {
  const folder = scratch(t);
  const cases = join(folder, "cases.json");
  const run = (list: unknown, ...flags: string[]) => {
    writeFileSync(cases, JSON.stringify(list));
    return runHere(["plugins", "test", DEMO.pathname, "--cases", cases, ...flags]);
  };
  const good = await run([
    { function: "greet", input: "hello", output: "world" },
    { function: "echo", inputBase64: "AP8=", outputBase64: "AP8=" },
    { function: "primes", input: "x", error: "plugin_failed" },
    { function: "primes", input: "1000000", error: "budget_exceeded", instructions: 1_000_000 },
  ], "--json");
  assert.equal(good.code, 0, good.stderr);
  const { cases: outcomes } = JSON.parse(good.stdout) as { cases: { passed: boolean; instructions: number }[] };
  assert(outcomes.every(({ passed }) => passed), good.stdout);
  assert(outcomes[0]!.instructions > 1000);
  const bad = await run([{ function: "greet", input: "hello", output: "globe" }, { function: "absent" }]);
  assert.equal(bad.code, 8);
  assert.match(bad.stdout, /failed {2}1 greet .*\n.*gave "world", and should have given "globe"/);
  assert.match(bad.stdout, /function_not_found/);
  assert.equal((await run([])).code, 2);
});

test("the cases that the plugins of each language bring along pass", async () => {
  for (const name of ["demo", "demo-go", "demo-as"]) {
    const folder = new URL(`../../wasm-plugins/${name}/`, import.meta.url).pathname;
    const wasm = `${folder}${name}.wasm`;
    const { code, stdout, stderr } = await runHere([
      "plugins",
      "test",
      wasm,
      "--cases",
      `${folder}cases.json`,
      "--json",
    ]);
    assert.equal(code, 0, stderr + stdout);
    const { cases } = JSON.parse(stdout) as { cases: { passed: boolean }[] };
    assert.equal(cases.length, (JSON.parse(readFileSync(`${folder}cases.json`, "utf8")) as unknown[]).length, name);
  }
});

test("plugins test runs the cases of a program, and says why one does not serve", async (t) => {
  const folder = scratch(t);
  writeFileSync(
    join(folder, "cases.json"),
    JSON.stringify([{ function: "where" }, { function: "absent", error: "function_not_found" }]),
  );
  const fixture = fileURLToPath(new URL("../plugins/supervised-program.ts", import.meta.url));
  const runtime = [process.execPath, ..."Deno" in globalThis ? ["run", "-A"] : []];
  const program = join(folder, "run.sh");
  const run = (fault: string) => {
    writeFileSync(program, `#!/bin/sh\nexec ${[...runtime, fixture, fault].join(" ")}\n`, { mode: 0o755 });
    return runHere(["plugins", "test", program]);
  };
  const good = await run("");
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /^passed {2}1 where\npassed {2}2 absent\n$/);
  const bad = await run("exits");
  assert.notEqual(bad.code, 0);
  assert.match(bad.stderr, /^no model to load$/m);
  assert.match(bad.stderr, /its last words: no model to load/);
});

test("plugins pack puts a manifest in, in place of another, and checks the whole", async (t) => {
  const folder = scratch(t);
  const manifest = join(folder, "manifest.json");
  const output = join(folder, "packed.wasm");
  const pack = (content: unknown) => {
    writeFileSync(manifest, JSON.stringify(content));
    return runHere(["plugins", "pack", DEMO.pathname, "--manifest", manifest, "--output-file", output]);
  };
  const packed = await pack({ name: "renamed", version: "2.0.0", functions: [{ name: "echo" }] });
  assert.match(packed.stdout, /^renamed@2\.0\.0, \d+ bytes, SHA-256 [0-9a-f]{64}\n$/);
  const again = await runHere([
    "plugins",
    "pack",
    output,
    "--manifest",
    manifest,
    "--output-file",
    join(folder, "b.wasm"),
  ]);
  assert.equal(again.stdout, packed.stdout);
  const wrong = await pack({ name: "renamed", version: "2.0.0", functions: [{ name: "absent" }] });
  assert.equal(wrong.code, 8);
  assert.match(wrong.stderr, /absent/);
});

test("task run --wasm uploads a module and runs it by its hash", async (t) => {
  const sha256 = "a".repeat(64);
  const digest = createHash("sha256").update(readFileSync(DEMO)).digest("hex");
  const module = { sha256, functions: ["greet"] };
  let uploaded = false;
  const { url, seen } = await startFake(t, {
    [`GET /v1/modules/${digest}`]: () => uploaded ? { json: module } : problem("plugin_not_found", "not here", 404),
    "POST /v1/modules": () => {
      uploaded = true;
      return { status: 201, json: module };
    },
    [`POST /v1/run/${sha256}/echo`]: { body: "said" },
    [`POST /v1/run/${sha256}/greet`]: { body: "first" },
  });
  const run = (...args: string[]) => runHere(["task", "run", "--wasm", DEMO.pathname, "--url", url, ...args]);
  assert.equal((await run("--function", "echo", "said")).stdout, "said");
  assert.deepEqual(seen.map(({ method, path }) => `${method} ${path}`), [
    `GET /v1/modules/${digest}`,
    `POST /v1/modules?sha256=${digest}`,
    `POST /v1/run/${sha256}/echo`,
  ]);
  assert.equal(seen[2]!.body.toString(), "said");
  assert.equal((await run("--target", "127.0.0.1:1")).stdout, "first");
  assert.deepEqual(seen.slice(3).map(({ method, path }) => `${method} ${path}`), [
    `GET /v1/modules/${digest}`,
    `POST /v1/run/${sha256}/greet?target=127.0.0.1%3A1`,
  ]);
  assert.equal((await run("input", "more")).code, 2);
  assert.equal((await runHere(["task", "run", "demo", "--function", "greet", "--url", url])).code, 2);
});
