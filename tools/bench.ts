/** Runs a benchmark of `bench/`: `npm run bench -- NAME [--runtime deno] [its own options]`. Without a name, lists them. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import process from "node:process";

const names = readdirSync("bench").filter((file) => file.endsWith(".ts")).map((file) => file.slice(0, -3)).sort();
const [name = "", ...rest] = process.argv.slice(2);
if (!names.includes(name)) {
  console.error(`Name a benchmark: ${names.join(", ")}`);
  process.exit(2);
}
const at = rest.indexOf("--runtime");
const [, runtime = "node"] = at < 0 ? [] : rest.splice(at, 2);
const file = `bench/${name}.ts`;
const run = runtime === "deno"
  ? spawnSync("deno", ["run", "--allow-all", "--no-check", "--quiet", file, ...rest], { stdio: "inherit" })
  : spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", file, ...rest], { stdio: "inherit" });
process.exit(run.status ?? 1);
