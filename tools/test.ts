/**
 * Runs the tests: `npm test [-- --runtime deno] [-- files or folders below test/]`. End-to-end tests run against the source unless
 * VELAS_SPHERE_EXE names an executable. Tests in `test/interop` need other tool chains or root, those in `test/ui` Debian's chromium: they run only when named, as CI
 * does.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runtime: { type: "string", default: "node" } },
});

const patterns = positionals.length === 0
  ? ["test/**/*.test.ts"]
  : positionals.map((place) => place.endsWith(".ts") ? place : `${place.replace(/\/$/, "")}/**/*.test.ts`);
const named = positionals.length > 0;
const files = patterns.flatMap((pattern) => globSync(pattern)).filter((file) =>
  named || !/^test\/(interop|ui)\//.test(file)
).sort();
if (files.length === 0) {
  console.error(`No test files match ${patterns.join(" ")}. Name files or folders such as test/core.`);
  process.exit(2);
}

const command = values.runtime === "deno"
  ? ["deno", "test", "--allow-all", "--no-check", "--quiet", ...files]
  : [process.execPath, "--disable-warning=ExperimentalWarning", "--test", ...files];
const run = spawnSync(command[0]!, command.slice(1), { stdio: "inherit" });
process.exit(run.status ?? 1);
