/**
 * Runs the tests: `npm test [-- --runtime deno] [-- files or folders below test/]`. End-to-end tests run against the source unless
 * VELAS_SPHERE_EXE names an executable. Tests in `test/interop` need other tool chains or root, those in `test/ui` Debian's chromium: they run only when named, as CI
 * does. Files run side by side, one more than there are cores since tests wait a lot; those of `test/interop` and `test/ui` one by one. Deno
 * would run them as threads of one process, where tests that look at its memory or descriptors see each other's: it gets a process for a few
 * files each.
 */
import { spawn, spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { Buffer } from "node:buffer";
import { availableParallelism } from "node:os";
import process from "node:process";
import { parseArgs, stripVTControlCharacters } from "node:util";

/** Enough that starting Deno counts little, and few enough that processes end at about the same time. */
const FILES_A_PROCESS = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runtime: { type: "string", default: "node" } },
});

/** Whether a test takes the machine's disks, browsers or other tool chains. */
const isLarge = (file: string) => /^test\/(interop|ui)\//.test(file);

const patterns = positionals.length === 0
  ? ["test/**/*.test.ts"]
  : positionals.map((place) => place.endsWith(".ts") ? place : `${place.replace(/\/$/, "")}/**/*.test.ts`);
const named = positionals.length > 0;
const files = patterns.flatMap((pattern) => globSync(pattern)).filter((file) => named || !isLarge(file)).sort();
if (files.length === 0) {
  console.error(`No test files match ${patterns.join(" ")}. Name files or folders such as test/core.`);
  process.exit(2);
}

const atOnce = files.some(isLarge) ? 1 : availableParallelism() + 1;

/** Runs files in one process of Deno, and gives back what it printed. */
function onDeno(some: readonly string[]): Promise<{ readonly passed: boolean; readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn("deno", ["test", "--allow-all", "--no-check", "--quiet", ...some], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => void output.push(bytes));
    const end = (passed: boolean, why = "") =>
      resolve({ passed, output: `${Buffer.concat(output).toString()}${why === "" ? "" : `${why}\n`}` });
    child.on("error", (error) => end(false, `deno does not start: ${error.message}`));
    child.on("close", (code, signal) => end(code === 0, signal === null ? "" : `Deno was ended by ${signal}`));
  });
}

/** Runs all files on Deno, several processes at once. Returns the exit code. */
async function allOnDeno(): Promise<number> {
  const groups: string[][] = [];
  for (let at = 0; at < files.length; at += FILES_A_PROCESS) groups.push(files.slice(at, at + FILES_A_PROCESS));
  const failed: string[] = [];
  const outputs: string[] = [];
  let passedTests = 0;
  let failedTests = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
      const { passed, output } = await onDeno(group);
      process.stdout.write(output);
      const counts = /\| (\d+) passed.*?\| (\d+) failed/.exec(stripVTControlCharacters(output));
      passedTests += Number(counts?.[1] ?? 0);
      failedTests += Number(counts?.[2] ?? 0);
      if (passed) continue;
      failed.push(...group);
      outputs.push(output);
    }
  }));
  if (outputs.length > 0) console.log("\nOnce more, what was printed where not all passed:\n");
  for (const output of outputs) process.stdout.write(output);
  console.log(`On Deno ${passedTests} tests passed, ${failedTests} failed, in ${files.length} files.`);
  if (failed.length > 0) console.log(`Not all passed in: ${failed.join(" ")}`);
  return failed.length === 0 ? 0 : 1;
}

if (values.runtime === "deno") process.exit(await allOnDeno());
const flags = ["--disable-warning=ExperimentalWarning", "--test", `--test-concurrency=${atOnce}`];
const run = spawnSync(process.execPath, [...flags, ...files], { stdio: "inherit" });
process.exit(run.status ?? 1);
