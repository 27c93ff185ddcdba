import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What a generated file of the project is made of, and by what. */
export interface Origin {
  readonly sources: string;
  readonly tool: string;
}

/** Writes a generated file, or with `--check` on the command line only tells whether it is what its sources compile to, and has the process fail if not. */
export function writeOrCheck(target: string, text: string, { sources, tool }: Origin): void {
  const file = join(root, target);
  if (!process.argv.includes("--check")) {
    writeFileSync(file, text);
    console.log(`Wrote ${target}.`);
  } else if (existsSync(file) && readFileSync(file, "utf8") === text) {
    console.log(`${target} is what ${sources} compiles to.`);
  } else {
    console.error(`${target} is not what ${sources} compiles to. Run: node ${tool}`);
    process.exitCode = 1;
  }
}
