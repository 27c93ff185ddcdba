/**
 * Builds the TypeScript client's package into `client/dist`: modules for Node, Deno and bundlers, one file for browsers that needs nothing
 * else, and types. `npm pack` in `client/` runs it. With `--to FOLDER`, the whole package is laid out there, ready to be packed.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as esbuild from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const client = join(root, "client");
const { values: { to = client } } = parseArgs({ options: { to: { type: "string" } } });
const dist = join(to, "dist");

interface Package {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly scripts?: unknown;
}

const own = JSON.parse(readFileSync(join(client, "package.json"), "utf8")) as Package;
const node = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as
  & Package
  & { readonly devDependencies: Readonly<Record<string, string>> };
const wanted = { ...node.devDependencies, ...node.dependencies };
for (const [name, version] of Object.entries(own.dependencies)) {
  if (wanted[name] === version) continue;
  throw new Error(`client/package.json wants ${name} ${version}, and package.json ${wanted[name]}: make them the same`);
}
if (own.version !== node.version) {
  throw new Error(
    `client/package.json is version ${own.version}, and package.json ${node.version}: make them the same`,
  );
}

rmSync(dist, { recursive: true, force: true });
const common: esbuild.BuildOptions = {
  bundle: true,
  outdir: dist,
  format: "esm",
  target: ["es2022", "chrome123", "firefox121", "safari17.5"],
  legalComments: "none",
  logLevel: "warning",
};
await esbuild.build({
  ...common,
  entryPoints: ["mod", "node", "web"].map((name) => join(client, `${name}.ts`)),
  external: Object.keys(own.dependencies),
  platform: "neutral",
  splitting: true,
});
// Whatever only Node has would fail here: nothing of it resolves for a browser.
await esbuild.build({
  ...common,
  entryPoints: { browser: join(client, "web.ts") },
  platform: "browser",
  minify: true,
});
const tsc = spawnSync(process.execPath, [
  join(root, "node_modules/typescript/bin/tsc"),
  "-p",
  client,
  "--outDir",
  join(dist, "types"),
], {
  stdio: "inherit",
});
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
// npm packs the licence of the package's own folder only.
copyFileSync(join(root, "LICENSE"), join(dist, "LICENSE"));
if (to !== client) {
  mkdirSync(to, { recursive: true });
  const { scripts: _, ...laidOut } = own;
  writeFileSync(join(to, "package.json"), JSON.stringify(laidOut, undefined, 2));
  copyFileSync(join(client, "README.md"), join(to, "README.md"));
}
