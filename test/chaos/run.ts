/**
 * Kills nodes of a swarm on demand: `npm run chaos -- --kills 200 --seed 7`. Prints a summary in JSON, and ends with code 1 when anything was lost,
 * wrong or left over. `--max-minutes` (30 by default) bounds it: no more kills are begun after that. `--folder` keeps the data for a look.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { runChaos } from "./chaos.ts";

const USAGE = `Usage: npm run chaos -- [options]

Kills nodes of a swarm that stores files, and tells what was lost, wrong or left over.

  --kills <n>        how many (default: 200)
  --seed <n>         of what happens when (default: another each time)
  --max-minutes <n>  no more kills are begun after so long (default: 30)
  --folder <path>    keeps the data there, for a look`;

function readArgs() {
  try {
    return parseArgs({
      options: {
        kills: { type: "string", default: "200" },
        seed: { type: "string", default: String(Date.now() % 1_000_000) },
        "max-minutes": { type: "string", default: "30" },
        folder: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

const args = readArgs();
if (args.help) {
  console.log(USAGE);
  process.exit();
}

function count(name: "kills" | "seed" | "max-minutes"): number {
  const value = Number(args[name]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`--${name} is a whole number, not ${args[name]}`);
  process.exit(2);
}

const options = { kills: count("kills"), seed: count("seed"), maxMs: count("max-minutes") * 60_000 };
const folder = args.folder ?? mkdtempSync(join(tmpdir(), "velas-sphere-chaos-"));
mkdirSync(folder, { recursive: true });
console.error(`Seed ${options.seed}, in ${folder}`);
const summary = await runChaos({ ...options, folder, say: (line) => console.error(line) });
if (args.folder === undefined) rmSync(folder, { recursive: true, force: true });
console.log(JSON.stringify(summary, undefined, 2));
process.exit(summary.violations.length === 0 ? 0 : 1);
