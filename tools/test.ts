/**
 * Runs the tests: `npm test [-- --runtime deno] [-- files or folders below test/]`. End-to-end tests run against the source unless
 * VELAS_SPHERE_EXE names an executable. Tests in `test/interop` need other tool chains or root, those in `test/ui` Debian's chromium: they run only when named, as CI
 * does. On Node files run side by side, one more than there are cores since tests wait a lot; those of `test/interop` and `test/ui` one by
 * one. Deno would run them as threads of one process, where tests that look at its memory or descriptors see each other's.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";

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
const command = values.runtime === "deno"
  ? ["deno", "test", "--allow-all", "--no-check", "--quiet", ...files]
  : [process.execPath, "--disable-warning=ExperimentalWarning", "--test", `--test-concurrency=${atOnce}`, ...files];
const run = spawnSync(command[0]!, command.slice(1), { stdio: "inherit" });
process.exit(run.status ?? 1);
