/**
 * Writes what is generated: `src/gen/` from `proto/` and `contracts/src/`, the code in templates of
 * plugins, and the reference pages of `docs/`. With `--check`, writes nothing and fails when a file of generated code is not fresh (tests look after the pages).
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { contractsModule } from "./build-contracts.ts";
import { genTemplates } from "./gen-templates.ts";

function buf(args: readonly string[]): void {
  const run = spawnSync("buf", args, { stdio: "inherit" });
  if (run.status !== 0) process.exit(run.status ?? 1);
}

/** The files below a folder with their texts. */
function texts(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(path.slice(folder.length), readFileSync(path, "utf8"));
  }
  return found;
}

const scratch = mkdtempSync(join(tmpdir(), "velas-sphere-gen-"));
try {
  buf(["generate", "--output", scratch]);
  const fresh = join(scratch, "src", "gen");
  writeFileSync(join(fresh, "contracts.ts"), contractsModule());
  const isCheck = process.argv.includes("--check");
  const staleTemplates = genTemplates(scratch, { check: isCheck });
  for (const problem of staleTemplates) console.error(problem);
  if (staleTemplates.length > 0) process.exitCode = 1;
  if (isCheck) {
    const wanted = texts(fresh);
    const present = texts("src/gen");
    const stale = [...new Set([...wanted.keys(), ...present.keys()])].filter((name) =>
      wanted.get(name) !== present.get(name)
    );
    for (const name of stale) {
      console.error(`src/gen${name} is not what proto/ and contracts/src/ generate. Run: npm run gen`);
    }
    if (stale.length > 0) process.exitCode = 1;
    else if (staleTemplates.length === 0) console.log(`${wanted.size} generated files are fresh.`);
  } else {
    rmSync("src/gen", { recursive: true, force: true });
    cpSync(fresh, "src/gen", { recursive: true });
    for (const tool of ["tools/gen-docs.ts", "tools/build-web.ts"]) {
      const run = spawnSync(process.execPath, [tool], { stdio: "inherit" });
      if (run.status !== 0) process.exitCode = run.status ?? 1;
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
