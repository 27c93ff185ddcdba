import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allExamples } from "../../src/cli/reference.ts";
import { runHere } from "./harness.ts";
import { test } from "../testing.ts";

const COMMANDS = [...new Set(allExamples().map(({ command }) => command))].map((path) => path.split(" ").slice(1));

test("the script of every shell has every command and a few known options", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout } = await runHere(["completions", shell]);
    assert.equal(code, 0);
    for (const words of COMMANDS) {
      for (const word of words) assert.match(stdout, new RegExp(`\\b${word}\\b`), `${shell}: ${word}`);
    }
    for (const option of ["input-file", "rpc-listen", "data-dir", "json"]) {
      assert.match(stdout, new RegExp(`\\b${option}\\b`));
    }
  }
});

test("an unknown shell is refused", async () => {
  const { code, stderr } = await runHere(["completions", "tcsh"]);
  assert.equal(code, 2);
  assert.match(stderr, /Allowed choices are bash, zsh, fish/);
});

test("bash takes the script and completes commands, subcommands and options", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "velas-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const script = join(folder, "completion.bash");
  writeFileSync(script, (await runHere(["completions", "bash"])).stdout);
  const check = spawnSync("bash", ["-n", script], { encoding: "utf8" });
  assert.equal(check.status, 0, check.stderr);

  const complete = (...words: string[]): string[] => {
    const run =
      `source "$1"; COMP_WORDS=("\${@:2}"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _velas_sphere; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = spawnSync("bash", ["-c", run, "bash", script, "velas-sphere", ...words], { encoding: "utf8" });
    return stdout.split("\n").filter((line) => line !== "");
  };
  assert.deepEqual(complete("ta"), ["task"]);
  assert.deepEqual(complete("task", "w"), ["watch"]);
  assert.ok(complete("task", "").includes("submit"));
  assert.deepEqual(complete("task", "run", "demo", "--input"), ["--input-file"]);
  assert.ok(complete("node", "--rpc-").includes("--rpc-listen"));
  assert.deepEqual(complete("completions", "z"), ["zsh"]);
  assert.deepEqual(complete("xyzzy", "--nope"), []);
});
