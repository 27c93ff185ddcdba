/**
 * Fails when a module of `src/` imports against the direction of the table below, or when imports form a cycle. The table is the one in
 * docs/architecture.md.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const src = join(dirname(fileURLToPath(import.meta.url)), "..", "src");

/** What the composition root joins. */
const ALL_PARTS = [
  "core",
  "codec",
  "storage",
  "payments",
  "plugins",
  "discovery",
  "provider",
  "requester",
  "rpc",
  "rest",
  "config",
  "alerts",
  "tracing",
] as const;

/** What each folder may import; a single file at the top of src/ is its own folder. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  gen: [],
  http2: ["core"],
  codec: ["core"],
  storage: ["core"],
  payments: ["core"],
  plugins: ["core", "http2"],
  discovery: ["core"],
  provider: ["core", "codec"],
  requester: ["core", "codec"],
  rpc: ["core", "http2", "provider", "requester", "gen"],
  rest: ["core", "provider", "requester"],
  config: ["core"],
  alerts: ["core"],
  tracing: ["core"],
  node: ALL_PARTS,
  "node.ts": [...ALL_PARTS, "node"],
  cli: ["core", "config", "node.ts"],
  "main.ts": ["cli", "core"],
};

/** Single files that may import `gen`, which the rest of their folder may not. */
const GEN_DOORS: ReadonlySet<string> = new Set(["plugins/external-protocol.ts", "payments/contracts.ts"]);

/** `cli/plugin-command.ts`, `cli/plugin-author.ts` and `cli/doctor*.ts` run without a node and so build what they need themselves. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  "cli/plugin-command.ts": ["rpc"],
  "cli/plugin-author.ts": ["plugins"],
  "cli/doctor.ts": ["storage", "rpc"],
  "cli/doctor-files.ts": ["storage", "requester"],
};

function modules(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => normalize(name));
}

/** The relative specifiers that a module imports or re-exports, `import type` included: a type is a dependency too. */
function specifiers(text: string): string[] {
  const found: string[] = [];
  for (const match of text.matchAll(/(?:^|\n)\s*(?:import|export)\b[^;"']*?["'](\.[^"']+)["']/g)) found.push(match[1]!);
  for (const match of text.matchAll(/\bimport\(\s*["'](\.[^"']+)["']\s*\)/g)) found.push(match[1]!);
  return found;
}

const problems: string[] = [];
const graph = new Map<string, string[]>();

for (const module of modules(src)) {
  const from = module.split("/")[0]!;
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) {
    problems.push(`src/${module}: the folder "${from}" is not in the table of tools/check-imports.ts`);
    continue;
  }
  const targets: string[] = [];
  for (const specifier of specifiers(readFileSync(join(src, module), "utf8"))) {
    const target = relative(src, join(src, dirname(module), specifier));
    if (target.startsWith("..")) continue; // package.json and files outside src/
    targets.push(target);
    const to = target.split("/")[0]!;
    if (to === from || allowed.includes(to)) continue;
    if (to === "gen" && GEN_DOORS.has(module)) continue;
    if (EXCEPTIONS[module]?.includes(to)) continue;
    problems.push(`src/${module} imports src/${target}: ${from} may import only ${allowed.join(", ") || "nothing"}`);
  }
  graph.set(module, targets);
}

const state = new Map<string, "open" | "done">();
function visit(module: string, path: readonly string[]): void {
  if (state.get(module) === "done") return;
  if (state.get(module) === "open") {
    problems.push(`Import cycle: ${[...path.slice(path.indexOf(module)), module].join(" -> ")}`);
    return;
  }
  state.set(module, "open");
  for (const target of graph.get(module) ?? []) visit(target, [...path, module]);
  state.set(module, "done");
}
for (const module of graph.keys()) visit(module, []);

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`${graph.size} modules import in the right direction, without a cycle.`);
