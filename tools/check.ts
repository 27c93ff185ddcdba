/** The gate: format, lint, types, import direction, protocol. With `--test`, the tests too. Prints one line a step, and a failing step's output. */
import { spawnSync } from "node:child_process";
import process from "node:process";

const STEPS: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ["format", "deno", "fmt", "--check"],
  ["lint", "deno", "lint"],
  ["types", "tsc", "-p", "."],
  ["types of the web page", "tsc", "-p", "web"],
  ["types of the example page", "tsc", "-p", "examples/browser"],
  ["dependencies", process.execPath, "tools/check-dependencies.ts"],
  ["import direction", process.execPath, "tools/check-imports.ts"],
  ["protocol: lint", "buf", "lint"],
  ["protocol: format", "buf", "format", "--diff", "--exit-code"],
  ["protocol: compatible with v1", "buf", "breaking", "--against", "test/vectors/proto-v1.binpb"],
  ["codec kernel is fresh", process.execPath, "tools/build-kernel.ts", "--check"],
  ["web page is fresh", process.execPath, "tools/build-web.ts", "--check"],
  ["generated code is fresh", process.execPath, "tools/gen.ts", "--check"],
];

const failed: string[] = [];
for (const [name, command, ...args] of STEPS) {
  const startedAt = performance.now();
  const run = spawnSync(command, args, { encoding: "utf8" });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const passed = run.status === 0;
  console.log(`${passed ? "ok  " : "FAIL"}  ${name} (${seconds} s)`);
  if (passed) continue;
  failed.push(name);
  console.log(run.error?.message ?? `${run.stdout}${run.stderr}`);
}

if (failed.length > 0) {
  console.log(`\nThe gate is closed: ${failed.join(", ")}. "deno fmt" and "npm run gen" mend the first and the last.`);
  process.exit(1);
}

if (process.argv.includes("--test")) {
  const run = spawnSync(process.execPath, ["tools/test.ts"], { stdio: "inherit" });
  process.exit(run.status ?? 1);
}
