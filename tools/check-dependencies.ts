/**
 * Fails when a package that npm installs breaks a rule of docs/dependencies.md. It needs no network. With `--audit` it also asks the registry
 * for known vulnerabilities, fails on those that are high or critical, and says so when the registry does not answer that.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { faultsOf, readAudit, unpinnedRequirements } from "./dependency-rules.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const text = (name: string) => readFileSync(join(root, name), "utf8");

const lock = JSON.parse(text("package-lock.json"));
const faults = faultsOf({
  manifest: JSON.parse(text("package.json")),
  lock,
  reasons: text("docs/dependencies.md"),
  // Binaries of other platforms are locked and not installed.
  installed: (place) =>
    existsSync(join(root, place, "package.json")) ? JSON.parse(text(join(place, "package.json"))) : undefined,
});
const skipped = (name: string) => name === "node_modules" || name === "dist";
for (const file of globSync("**/requirements*.txt", { cwd: root, exclude: skipped })) {
  faults.push(...unpinnedRequirements(file, text(file)));
}
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exit(1);
console.log(`${Object.keys(lock.packages).length - 1} packages are pinned, hashed, licensed and explained`);

if (process.argv.includes("--audit")) {
  const run = spawnSync("npm", ["audit", "--json"], { cwd: root, encoding: "utf8", timeout: 120_000 });
  const result = readAudit(run.stdout ?? "");
  if (!result.isOffered) {
    console.log(`NOT LOOKED UP: known vulnerabilities, since this registry does not offer npm audit (${result.why})`);
  } else {
    console.log(`npm audit: ${JSON.stringify(result.found)}`);
    for (const one of result.severe) console.error(`Known to be vulnerable: ${one}; take another version`);
    if (result.severe.length > 0) process.exit(1);
  }
}
