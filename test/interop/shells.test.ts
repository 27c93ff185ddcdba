import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { run, scratch } from "../e2e/harness.ts";
import { test, type TestScope } from "../testing.ts";

/*
 * The completion scripts in the shells themselves (Debian's packages bash, zsh and fish), as when somebody presses Tab. The command itself
 * is not called: the scripts hold all that can follow it.
 */

/** What is typed before Tab, and what the line is after it. */
const TYPED = [
  ["velas-sphere ta", "velas-sphere task"],
  ["velas-sphere task w", "velas-sphere task watch"],
  ["velas-sphere task run demo --input", "velas-sphere task run demo --input-file"],
  ["velas-sphere node --rpc-li", "velas-sphere node --rpc-listen"],
  ["velas-sphere completions z", "velas-sphere completions zsh"],
  ["velas-sphere xyzzy --nope", "velas-sphere xyzzy --nope"],
] as const;
const LINES = TYPED.map(([typed]) => typed);

/** Writes the completions of a shell into a file. */
async function completionsFor(shell: string, t: TestScope): Promise<string> {
  const { code, stdout, stderr } = await run(["completions", shell]);
  assert.equal(code, 0, stderr);
  const file = join(scratch(t), `completions.${shell}`);
  writeFileSync(file, stdout);
  return file;
}

const inThisFolder = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

for (const [shell, ...words] of [["bash", "--norc", inThisFolder("tab.sh")], ["zsh", "-f", inThisFolder("tab.zsh")]]) {
  test(`Tab in ${shell} completes commands, subcommands, options and choices`, async (t) => {
    const file = await completionsFor(shell!, t);
    const { stdout } = await promisify(execFile)(shell!, [...words, file, ...LINES]);
    const completed = stdout.trimEnd().split("\n").map((line) => line.trim());
    assert.deepEqual(completed, TYPED.map(([, line]) => line));
  });
}

test("Tab in fish completes the same, says what each is, and offers no files where a subcommand belongs", async (t) => {
  const file = await completionsFor("fish", t);
  const folder = scratch(t);
  writeFileSync(join(folder, "watermark.png"), "");
  const script = "source $argv[1]; for line in $argv[2..-1]; echo (complete -C $line | string join ' | '); end";
  const { stdout } = await promisify(execFile)("fish", ["--no-config", "-c", script, file, ...LINES], { cwd: folder });
  assert.deepEqual(stdout.split("\n").slice(0, TYPED.length).map((line) => line.split("\t")[0]), [
    "task",
    "watch",
    "--input-file",
    "--rpc-listen",
    "zsh",
    "",
  ]);
  assert.equal(stdout.split("\n")[1], "watch\tfollow a task to its end");
});
