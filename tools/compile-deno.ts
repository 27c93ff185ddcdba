/** Makes dist/velas-sphere-deno, one executable that runs on Deno, with every file that the program reads in it (`deno task compile`). */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ASSETS, WORKERS } from "./assets.ts";

/** What `deno` is called with. */
export function compileArgs(): string[] {
  return [
    "compile",
    "--no-check", // the gate checks types
    "--v8-flags=--heap-growing-percent=300,--max-semi-space-size=8",
    "--allow-all",
    ...[...WORKERS, ...ASSETS].flatMap((file) => ["--include", file]),
    "--output",
    "dist/velas-sphere-deno",
    "src/main.ts",
  ];
}

if (import.meta.main) {
  const cwd = fileURLToPath(new URL("../", import.meta.url));
  const { status } = spawnSync("deno", compileArgs(), { cwd, stdio: "inherit" });
  process.exitCode = status ?? 1;
}
