// The one entry of `npm start`, `npm test` and their kin. Runs on any Node from 20 on, installs what package-lock.json names when
// node_modules does not match it, then hands over to the Node 24 that was installed with it.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stamp = join(root, "node_modules", ".installed-from");
const lock = createHash("sha256").update(readFileSync(join(root, "package-lock.json"))).digest("hex");

/** The scripts that this file runs, each with its first arguments. */
const COMMANDS = {
  dev: ["src/main.ts", "dev", "--paid", "if-possible"],
  node: [join(root, "src/main.ts"), "node"],
  cli: [join(root, "src/main.ts")],
  test: ["tools/test.ts"],
  check: ["tools/check.ts"],
  ok: ["tools/check.ts", "--test"],
  gen: ["tools/gen.ts"],
  "build:exe": ["tools/build-exe.ts"],
  "build:docs": ["tools/build-docs.ts"],
  bench: ["tools/bench.ts"],
  chaos: ["test/chaos/run.ts"],
  "chaos:payments": ["test/chaos/payments.ts"],
  market: ["test/payments/market.ts"],
};

const [command = "", ...rest] = process.argv.slice(2);
const script = COMMANDS[command];
if (script === undefined) {
  console.error(`Unknown command "${command}". One of: ${Object.keys(COMMANDS).join(", ")}`);
  process.exit(2);
}

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  console.error("Installing what package-lock.json names (once) ...");
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  // Not `npm ci`: it refuses a lock file without the binaries of every platform, and not every mirror has them all.
  const install = spawnSync(npm, ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (install.status !== 0) {
    console.error(
      "npm install failed; its messages are above. Check the network and the npm registry, then run this again.",
    );
    process.exit(install.status ?? 1);
  }
  writeFileSync(stamp, lock);
}

const bin = join(root, "node_modules", ".bin");
const node = join(root, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node");
const child = spawn(node, ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=8", ...script, ...rest], {
  cwd: command === "cli" || command === "node" ? process.cwd() : root,
  stdio: "inherit",
  env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` },
});
// A terminal sends Ctrl-C to the child itself; a supervisor's SIGTERM reaches only this process.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
// npm ends at SIGTERM with its shell and tells nobody below; a new parent is how that shows.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) child.kill("SIGTERM");
}, 500).unref();
child.on("error", (error) => {
  console.error(`Cannot start ${node}: ${error.message}. Remove node_modules and run this again.`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));
